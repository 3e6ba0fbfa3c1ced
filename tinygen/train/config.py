"""Config: everything a run depends on besides the data.  Resolved in layers, stored whole, compared on resume.

    Config's defaults < the model's settings for the data < recipe < configuration file < flags < key=value

Every layer is a nested dict of JSON values.  A key that does not exist, or a value of another type than its place takes
(read from the signatures of the model, the optimizer and the schedule), is a ConfigError that names the nearest key.
"""

from __future__ import annotations

import difflib
import inspect
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import ConfigError
from ..kernels._precision import PRECISIONS
from ..models import FAMILIES, DataSpec
from ..optim import SGD, Adadelta, Adam, Adamax, AdamW, RMSprop, schedules
from .files import parse_json
from .recipes import recipe_for

Layer = Mapping[str, Any]
Argument = tuple[Any, Any]  # annotation and default

TABLES = ("optimizer", "schedule", "model")  # fields that hold settings of their own
CHANGEABLE = ("epochs", "steps", "device", "precision")  # when a run goes on
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": SGD, "adam": Adam, "adamw": AdamW, "adamax": Adamax, "rmsprop": RMSprop, "adadelta": Adadelta,
}  # fmt: skip
SCHEDULES: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        schedules.constant, schedules.step_decay, schedules.exponential, schedules.linear_warmup, schedules.cosine,
    )
}  # fmt: skip
GIVEN = {"self", "key", "params", "total"}  # arguments that are no settings: the trainer passes them
LOWEST = {"seed": 0, "epochs": 0, "steps": 0, "batch_size": 1, "validate_every": 1, "log_every": 1, "patience": 1,
          "checkpoint_seconds": 0}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """A resolved configuration.

    levels              grey levels of integer data that are given by a path; None where the data know theirs.
    seed                of weights, data order and every draw.
    device              "cpu" or "cuda".  The same keys and batches on both; figures agree to rounding, not in bits.
    precision           "float32", or "tf32" for training steps whose products use a GPU's tensor cores, see
                        `tg.float32_matmul_precision`; figures and samples of a model are float32's always.
    epochs, steps       when to stop: after `steps` if given, else after `epochs` passes over the training data.
    validate_every      steps between validations; None: once an epoch.
    log_every           steps between lines of training figures in metrics.jsonl.
    patience            validations without a better figure after which training stops; None: never.
    ema                 decay of the moving average of the weights, which then serves for evaluation and sampling.
    checkpoint_seconds  the least time between checkpoints; 0: one after every step.
    optimizer           {"name": ..., and its arguments}; one is made for each objective of the model.
    schedule            {"name": ..., and its arguments}, of the optimizer's lr; "cosine" ends where the run does.
    model               arguments of the model's constructor.
    """

    family: str
    data: str
    levels: int | None = None
    seed: int = 0
    device: str = "cpu"
    precision: str = "float32"
    epochs: int = 20
    steps: int | None = None
    batch_size: int = 64
    validate_every: int | None = None
    log_every: int = 50
    patience: int | None = None
    ema: float | None = None
    checkpoint_seconds: float = 30.0
    optimizer: dict[str, Any] = field(default_factory=lambda: {"name": "adam"})
    schedule: dict[str, Any] = field(default_factory=lambda: {"name": "constant"})
    model: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Nested dict of JSON values."""
        return asdict(self)


def resolve(family: str, data: str, spec: DataSpec, layers: Iterable[Layer] = ()) -> Config:
    """The configuration of a model family on data of this kind, the later layers over the earlier ones.

    Raises ConfigError for unknown keys and values out of place, ArgumentError for data that the model cannot take.
    """
    family = known(family, FAMILIES, "model")
    base = Config(family, data, model=FAMILIES[family].settings_for(spec)).as_dict()
    for layer in (recipe_for(family, data, spec.kind), *layers):
        base = overlay(base, layer)
    return checked(base)


def overlay(base: Layer, layer: Layer) -> dict[str, Any]:
    """`base` with the entries of `layer` over it.  Another optimizer or schedule drops the arguments of the old one
    (a learning rate stays)."""
    merged = dict(base)
    for key, value in layer.items():
        if key in TABLES and isinstance(value, Mapping):
            before = merged.get(key)
            before = before if isinstance(before, Mapping) else {}
            if "name" in value and value["name"] != before.get("name"):
                before = {k: v for k, v in before.items() if k == "lr"}
            merged[key] = {**before, **value}
        else:
            merged[key] = value
    return merged


def checked(raw: Layer) -> Config:
    """The Config of a nested dict, every key and every type checked, defaults of arguments filled in."""
    tables = _tables(raw)
    settings = {name: (hint, None) for name, hint in get_type_hints(Config).items() if name not in TABLES}
    for table, (_, arguments) in tables.items():
        settings.update({f"{table}.{name}": argument for name, argument in arguments.items()})
    for key, value in _flat(raw).items():
        hint, _ = settings[known(key, settings, "setting")]
        if not _fits(value, hint):
            raise ConfigError(f"{key}: {value!r} is not {_shown(hint)}.")
    filled = {table: {**kind, **_filled(table, raw[table], arguments)} for table, (kind, arguments) in tables.items()}
    config = Config(**{**raw, **filled})
    for name, low in LOWEST.items():
        value = getattr(config, name)
        if value is not None and value < low:
            raise ConfigError(f"{name} is {value}; it must be at least {low}.")
    if config.precision not in PRECISIONS:
        raise ConfigError(f"precision is {config.precision!r}; it is 'float32' or 'tf32'.")
    if config.ema is not None and not 0 < config.ema < 1:
        raise ConfigError(f"ema is {config.ema}; the decay of a moving average lies between 0 and 1.")
    return config


def continued(saved: Config, layers: Iterable[Layer]) -> Config:
    """The configuration a resumed run goes on with: the saved one, changed where that is asked and CHANGEABLE.

    Raises ConfigError when a layer wants anything else than the run has.
    """
    raw = saved.as_dict()
    for layer in layers:
        raw = overlay(raw, layer)
    wanted = checked(raw)
    for f in fields(Config):
        mine, its = getattr(wanted, f.name), getattr(saved, f.name)
        if f.name in CHANGEABLE or mine == its:
            continue
        name, mine, its = _difference(f.name, mine, its)
        raise ConfigError(
            f"resume: {name} is {its!r} in this run, not {mine!r}. Leave it out, or start a new run in another folder "
            f"(only epochs, steps, device and precision may change)."
        )
    return wanted


# Layers


def read_layer(path: str | Path) -> dict[str, Any]:
    """The layer in a .json or .toml file.  Raises ConfigError, naming the file, for what cannot be read."""
    path = Path(path)
    try:
        content = path.read_bytes()
        if path.suffix == ".toml":
            layer = tomllib.loads(content.decode("utf-8"))
        elif path.suffix == ".json":
            layer = parse_json(content)
        else:
            raise ConfigError(f"{path}: a configuration is a .json or a .toml file.")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}.") from error
    except ValueError as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"{path}: {error}.") from error
    if not isinstance(layer, dict):
        raise ConfigError(f"{path}: holds a {type(layer).__name__}, not a table of settings.")
    return layer


def assignment(text: str) -> dict[str, Any]:
    """`model.hidden=256` -> {"model": {"hidden": 256}}; the value is JSON where it reads as JSON, else a word."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {text}: expected key=value, as in model.hidden=256.")
    try:
        parsed = parse_json(value.encode())
    except ValueError:
        parsed = value
    keys = path.strip().split(".")
    if len(keys) > 2 or (len(keys) == 2 and keys[0] not in TABLES):
        raise ConfigError(f"--set {text}: a key is a setting, or {', '.join(f'{t}.NAME' for t in TABLES)}.")
    for key in reversed(keys):
        parsed = {key: parsed}
    return parsed


# Checking


def known(name: Any, table: Iterable[str], what: str) -> Any:
    """`name` itself if the table has it; ConfigError that names the nearest one if not."""
    names = list(table)
    if name in names:
        return name
    ends = {n.rpartition(".")[2]: n for n in reversed(names)}  # model.hidden is found for hidden and for modl.hidden
    near = difflib.get_close_matches(str(name), names, n=1) or difflib.get_close_matches(
        str(name).rpartition(".")[2], ends, n=1
    )
    hint = f"Did you mean {ends.get(near[0], near[0])}?" if near else f"Known: {', '.join(names)}."
    raise ConfigError(f"unknown {what} {name!r}. {hint}")


def _flat(raw: Layer) -> dict[str, Any]:
    """Settings by dotted name, the names of optimizer and schedule apart."""
    flat = {}
    for key, value in raw.items():
        if key not in TABLES:
            flat[key] = value
        elif isinstance(value, Mapping):
            flat.update({f"{key}.{name}": v for name, v in value.items() if name != "name" or key == "model"})
        else:
            raise ConfigError(f"{key}: {value!r} is not a table of settings.")
    return flat


def _tables(raw: Layer) -> dict[str, tuple[dict[str, str], dict[str, Argument]]]:
    """For each table what names its kind, and the arguments of that kind."""
    for name in ("family", "data", *TABLES):
        if name not in raw:
            raise ConfigError(f"configuration: {name} is missing.")
    model = FAMILIES[known(raw["family"], FAMILIES, "model")]
    tables: dict[str, tuple[dict[str, str], dict[str, Argument]]] = {"model": ({}, _arguments(model.__init__))}
    for table, kinds in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        if not isinstance(raw[table], Mapping) or "name" not in raw[table]:
            raise ConfigError(f"{table}.name is missing. Known: {', '.join(kinds)}.")
        name = known(raw[table]["name"], kinds, table)
        kind = kinds[name]
        tables[table] = {"name": name}, _arguments(kind.__init__ if inspect.isclass(kind) else kind)
    del tables["schedule"][1]["lr"]  # it is the optimizer's
    return tables


def _arguments(function: Callable[..., Any]) -> dict[str, Argument]:
    """name -> (annotation, default) of the arguments that are settings."""
    hints = get_type_hints(function)
    taken = [p for p in inspect.signature(function).parameters.values() if p.name not in GIVEN]
    return {p.name: (hints.get(p.name, Any), p.default) for p in taken}


def _filled(table: str, given: Layer, arguments: Mapping[str, Argument]) -> dict[str, Any]:
    filled = {}
    for name, (_, default) in arguments.items():
        value = given.get(name, default)
        if value is inspect.Parameter.empty:
            raise ConfigError(f"{table}.{name} is missing.")
        filled[name] = list(value) if isinstance(value, tuple) else value
    return filled


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value can stand where `hint` is annotated.  A whole number is a float, a bool is no number."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, h) for h in inner)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return type(value) is int
    if hint is None or hint is types.NoneType:
        return value is None
    if (origin or hint) in (list, tuple, Sequence):
        items = [h for h in inner if h is not ...]
        return isinstance(value, list | tuple) and all(not items or any(_fits(v, h) for h in items) for v in value)
    if (origin or hint) is dict:
        return isinstance(value, dict)
    return inspect.isclass(hint) and isinstance(value, hint)


def _shown(hint: Any) -> str:
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    names = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", types.NoneType: "null"}
    shown = [names.get(h, "a table" if (get_origin(h) or h) is dict else "a list") for h in members if not _callable(h)]
    return " or ".join(dict.fromkeys(shown))


def _callable(hint: Any) -> bool:
    return (get_origin(hint) or hint) is Callable


def _difference(name: str, mine: Any, its: Any) -> tuple[str, Any, Any]:
    """The first entry of two tables that differs, under its dotted name; other values as they are."""
    if isinstance(mine, dict):
        key = next(k for k in {**its, **mine} if mine.get(k) != its.get(k))
        return f"{name}.{key}", mine.get(key), its.get(key)
    return name, mine, its
