"""step(fn): eager once, recorded once, replayed after.

    @tg.step
    def train_step(x, *, key):
        loss = model.loss(x, key=key)
        adam.update(tg.grad(loss, model.parameters()))
        return loss

The first call runs as written.  The second runs as written too and records the flat list of kernels that it launches;
pairs that can share a kernel are fused and every intermediate array gets a place in one planned block of memory.  Later
calls copy the arguments in and run the list: no Python of the model, no tape, no allocation, the same bits.

A replay repeats what was recorded.  So what changes from call to call must be an argument (an array, a Tensor, a Key)
or live in an array that a kernel changes in place (parameters, an optimizer's step count and learning rate, running
statistics).  The first two calls are compared, launch by launch: a number that differs between them, a key made of a
counter for example, is an error.  So is reading a value on the host (`float(loss)`) inside, and another shape, dtype
or static argument later.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from . import modes
from .errors import StepError, shape_text
from .kernels._devices import address, beside, device_of, to_numpy
from .kernels._kernel import forced_backend, observe
from .kernels._precision import precision
from .kernels.replay import fusion
from .kernels.replay import plan as planning
from .kernels.replay.recording import Action, Launch, Place, Recorder, View, root
from .random import Key
from .tensor import Array, Tensor

_current: ContextVar[_Recording | None] = ContextVar("tinygen_step", default=None)


class _Recording(Recorder):
    """Launches, and what must hold before a replay."""

    def __init__(self) -> None:
        super().__init__()
        self.guards: list[Callable[[], None]] = []

    def launched(self, op: str, inputs: Sequence[Array], outs: Sequence[Array]) -> None:
        """Refuse an op whose outputs no kernel made: a replay would not make them."""
        mine = [root(x) for x in inputs]
        for y in outs:
            if not isinstance(self.place(y), View) and not any(root(y) is x for x in mine):
                raise StepError(
                    f"step: {op} computes with NumPy and launches no kernel, so no replay could repeat it. "
                    f"Give it a kernel, or call its definition in plain ops."
                )


# -- what other modules say of themselves while they are recorded -----------------------------------------------------


def guard(check: Callable[[], None]) -> None:
    """Call `check`, which raises if something is wrong: now, and before every replay of a step that is recorded now."""
    check()
    recording = _current.get()
    if recording is not None:
        recording.guards.append(check)


def replayed(action: Callable[[], None]) -> None:
    """Do it now, and at this place of every replay: for what is no kernel, such as counting versions."""
    action()
    recording = _current.get()
    if recording is not None:
        recording.launches.append(Action(action))


def static(what: str, read: Callable[[], Any]) -> Any:
    """read(), a setting that decides what is launched: a replay with another value raises StepError, naming `what`."""
    value = read()

    def unchanged() -> None:
        now = read()
        if now is not value and now != value:
            raise StepError(f"step: {what} was {value!r} when it was recorded and is {now!r} now. Make a new one.")

    guard(unchanged)
    return value


# -- arguments --------------------------------------------------------------------------------------------------------


def _flatten(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of tuples, lists and dicts, with names such as x or batch[0]."""
    if isinstance(value, tuple | list):
        for i, part in enumerate(value):
            yield from _flatten(f"{name}[{i}]", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _flatten(f"{name}[{key!r}]", part)
    else:
        yield name, value


def _rebuild(value: Any, leaves: Iterator[Any]) -> Any:
    """The same nest of containers with other leaves."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_rebuild(part, leaves) for part in value))
    if isinstance(value, tuple | list):
        return type(value)(_rebuild(part, leaves) for part in value)
    if isinstance(value, dict):
        return {key: _rebuild(part, leaves) for key, part in value.items()}
    return next(leaves)


def _array(value: Any) -> Array | None:
    """The array inside a leaf, None for a static one."""
    if isinstance(value, Tensor | Key):
        return value.data
    return value if isinstance(value, np.ndarray) or device_of(value) != "cpu" else None


def _wrapped(value: Any, array: Array) -> Any:
    """`array` as what `value` is."""
    if isinstance(value, Key):
        return Key.from_data(array)
    return Tensor(array) if isinstance(value, Tensor) else array


def _fresh(value: Any, array: Array) -> Any:
    """A copy of `array` as what `value` is."""
    return _wrapped(value, array.copy())


def _kind(value: Any) -> Any:
    """What must be equal from call to call."""
    array = _array(value)
    return value if array is None else (type(value), array.shape, array.dtype, device_of(array))


def _kind_text(value: Any) -> str:
    array = _array(value)
    if array is None:
        return repr(value)
    where = "" if device_of(array) == "cpu" else " on cuda"
    return f"Key{where}" if isinstance(value, Key) else f"{array.dtype} {shape_text(array.shape)}{where}"


# -- the step ---------------------------------------------------------------------------------------------------------


def step(fn: Callable[..., Any]) -> Step:
    """Make fn a step that is replayed from its third call on; see this module's first paragraphs.

    Arguments and results may be arrays, Tensors, Keys, and tuples, lists or dicts of them; any other argument is
    static.  Results are constants, fresh in every call.  Raises StepError where a replay could not follow fn.
    """
    return Step(fn)


class Step:
    """What `step` makes.  `plan` is what a replay runs, None until two calls were made; `print(step)` tells of it."""

    def __init__(self, fn: Callable[..., Any]):
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.name = getattr(fn, "__name__", type(fn).__name__)
        self.plan: planning.Plan | None = None
        self._first: _Recording | None = None  # the first call, to compare the second with
        self._lock = threading.Lock()  # a step has one block of memory

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _current.get() is not None or modes.anomaly():  # part of another step, or every op is to be looked at
            return self.fn(*args, **kwargs)
        values = [value for _, value in _flatten("", (args, kwargs))]
        with self._lock:
            if self._first is None:
                self._begin(args, kwargs, values)
            elif self._kinds_of(values) != self._kinds:
                raise StepError(
                    f"{self.name}: recorded for {self._signature}, called with {self._describe(args, kwargs)}. "
                    f"Make another step for that: tg.step({self.name}.fn)."
                )
            for place, array in zip(self._inputs, map(_array, values)):
                if place is not None and array is not None:
                    place[...] = array
            if self.plan is None:
                return self._record(args, kwargs, values)
            for check in self._guards:
                check()
            self.plan.run()
            made = iter(self.plan.results)
            return _rebuild(self._result, (None if a is None else _fresh(a, next(made)) for a in self._leaves))

    def __repr__(self) -> str:
        if self.plan is None:
            return f"<step {self.name}: not recorded yet>"
        used, named = (f"{n / 2**20:.1f}" for n in (self.plan.bytes_used, self.plan.bytes_named))
        return f"<step {self.name}: {len(self.plan.calls)} launches, {used} MiB for {named} MiB of arrays>"

    # -- the signature ------------------------------------------------------------------------------------------------

    def _kinds_of(self, values: list[Any]) -> list[Any]:
        return [*map(_kind, values), modes.recording(), forced_backend(), precision()]

    def _describe(self, args: Any, kwargs: Any) -> str:
        """(x: float32 (64,784), key: Key)."""
        try:
            named = inspect.signature(self.fn).bind(*args, **kwargs).arguments
        except (TypeError, ValueError):  # no signature, or the call does not fit it: fn will say so
            named = {**{f"argument {i}": a for i, a in enumerate(args)}, **kwargs}
        words = [f"{name}: {_kind_text(v)}" for label, value in named.items() for name, v in _flatten(label, value)]
        words += [] if modes.recording() else ["no_grad"]
        words += [f"backend {forced}"] if (forced := forced_backend()) else []
        words += [precision()] if precision() != "float32" else []
        return f"({', '.join(words)})"

    # -- the first two calls ------------------------------------------------------------------------------------------

    def _begin(self, args: Any, kwargs: Any, values: list[Any]) -> None:
        for value in values:
            if isinstance(value, Tensor) and value.node is not None:
                raise StepError(
                    f"{self.name}: an argument requires gradients, and none flow through a replay. Use parameters "
                    f"from outside, and pass data detached."
                )
        self._kinds = self._kinds_of(values)
        self._signature = self._describe(args, kwargs)
        self._inputs = [None if a is None else beside(a).empty(a.shape, a.dtype) for a in map(_array, values)]

    def _record(self, args: Any, kwargs: Any, values: list[Any]) -> Any:
        recording = _Recording()
        leaves = iter([v if a is None else _wrapped(v, a) for v, a in zip(values, self._inputs)])
        token = _current.set(recording)
        try:
            with observe(recording), modes.unreadable(self.name), modes.witnessed(recording.launched):
                result = self.fn(*_rebuild(args, leaves), **_rebuild(kwargs, leaves))
        finally:
            _current.reset(token)
        self._leaves = [leaf for _, leaf in _flatten("", result)]
        places = [recording.place(self._result_array(leaf)) for leaf in self._leaves if leaf is not None]
        fresh = [None if leaf is None else _fresh(leaf, _array(leaf)) for leaf in self._leaves]
        result = self._result = _rebuild(result, iter(fresh))
        self._leaves = fresh
        if self._first is None:
            self._first = recording
            return result
        _compare(self.name, self._first.launches, recording.launches)
        self._first.launches.clear()
        launches = fusion.drop_unused(recording.launches, places)
        launches = fusion.fuse(launches, recording.sizes, places)
        self._guards = recording.guards
        self.plan = planning.plan(launches, recording.sizes, places, recording.module or np)
        return result

    def _result_array(self, leaf: Any) -> Array:
        array = _array(leaf)
        if array is None:
            raise StepError(f"{self.name}: it returns {leaf!r}, which no replay could renew. Return Tensors.")
        return array


# -- are two recordings the same? -------------------------------------------------------------------------------------


def _compare(name: str, first: list[Launch | Action], second: list[Launch | Action]) -> None:
    """Raise StepError unless the second call launched what the first did, on the same constants."""
    for i, (a, b) in enumerate(zip(first, second)):
        if isinstance(a, Action) and isinstance(b, Action):
            continue
        if not (isinstance(a, Launch) and isinstance(b, Launch)) or (a.kernel, a.precision) != (b.kernel, b.precision):
            raise StepError(
                f"{name}: launch {i} was {_launch_text(a)} in the first call and {_launch_text(b)} in the second. "
                f"What is launched may not change from call to call: do work that is done once before the step."
            )
        for key, value in a.params.items():
            if not _equal(value, b.params[key]):
                raise StepError(
                    f"{name}: launch {i}, {_launch_text(a)}, had {key}={value!r} in the first call and "
                    f"{b.params[key]!r} in the second. A replay cannot follow a number that lives in Python: "
                    f"make it a Tensor and pass it as an argument."
                )
        for x, y in zip((*a.inputs, *a.outs), (*b.inputs, *b.outs)):
            if not _same_place(x, y):
                raise StepError(
                    f"{name}: launch {i}, {_launch_text(a)}, was given another constant in the second call than in "
                    f"the first. A replay would repeat one of them: pass as an argument what changes (a key made of "
                    f"a counter, an array), or make a constant once, outside."
                )
    if len(first) != len(second):
        raise StepError(
            f"{name}: the first call made {len(first)} launches, the second {len(second)}. What is launched may not "
            f"change from call to call: do work that is done once before the step."
        )


def _launch_text(launch: Launch | Action) -> str:
    if isinstance(launch, Action):
        return "an action"
    within = "" if launch.precision == "float32" else f" in {launch.precision}"
    return f"{launch.kernel.family}.{launch.kernel.__name__}{within}"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return a is b or bool(a == b)


def _same_place(a: Place, b: Place) -> bool:
    if isinstance(a, View) or isinstance(b, View):
        return isinstance(a, View) and isinstance(b, View) and a == b
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    if root(a) is root(b):
        return address(a) == address(b) and a.strides == b.strides
    return to_numpy(a).tobytes() == to_numpy(b).tobytes()
