"""The rules of the house, read from the sources.

Imports go down, nothing unpickles, files stay small, kernels keep their contract.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tinygen import kernels

ROOT = Path(__file__).parent.parent
FOLDERS = {"tinygen": ROOT / "tinygen", "tinygen.kernels": ROOT / "kernels", "tinygen.benchmarks": ROOT / "benchmarks"}

# A module may import from its own row and the rows above it.
LAYERS = (
    {"kernels"},
    {"errors"},
    {"_arithmetic", "autograd", "convert", "device", "functional", "modes", "primitive", "random", "step", "tensor"},
    {"ops"},
    {"distributions", "nn", "optim"},
    {"models", "data", "metrics"},
    {"train", "testing"},
    {""},  # tinygen/__init__.py, which gathers the public names
    {"benchmarks"},
    {"cli", "__main__"},
)
RANK = {part: rank for rank, row in enumerate(LAYERS) for part in row}

KERNELS_ONLY = {"numba", "llvmlite", "cupy", "cupyx", "cuda"}
FRAMEWORKS = {"torch", "torchvision", "jax", "jaxlib", "tensorflow", "keras", "tinygrad"}
HEAVY = {"scipy", "matplotlib", "sklearn", "tqdm", "rich", "safetensors"}  # imported by the function that needs them
UNSAFE_MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


class Import(NamedTuple):
    """One imported module, absolute, as seen from the file that imports it."""

    target: str
    line: int
    in_function: bool


@cache
def sources() -> dict[str, Path]:
    """Dotted module name -> file, for everything that is installed."""
    found: dict[str, Path] = {}
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def imports(module: str, path: Path) -> Iterator[Import]:
    """Every import of a file, those inside functions too; an `if TYPE_CHECKING:` block is for readers of types only."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def walk(node: ast.AST, in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, in_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:  # `from . import ops` imports a module, `from .ops import exp` a name out of one
                name = f"{base}.{alias.name}"
                yield Import(name if name in sources() else base, node.lineno, in_function)
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    yield from walk(tree(path), False)


def part(module: str) -> str:
    """The piece of the house a module lies in: `tinygen.nn.linear` -> `nn`, `tinygen` -> ``."""
    return module.removeprefix("tinygen").lstrip(".").partition(".")[0]


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_every_module_has_a_place_in_the_layers() -> None:
    homeless = sorted(module for module in sources() if part(module) not in RANK)
    assert not homeless, f"give them a row in LAYERS: {homeless}"


def test_every_folder_is_a_package() -> None:
    """A folder without `__init__.py` works in an editable install and is missing from the wheel."""
    bare = {str(p.parent.relative_to(ROOT)) for p in sources().values() if not (p.parent / "__init__.py").exists()}
    assert not bare


def test_imports_go_down() -> None:
    wrong = [
        f"{where(path, found.line)}: {module} imports {found.target}"
        for module, path in sources().items()
        for found in imports(module, path)
        if found.target.split(".")[0] == "tinygen" and RANK[part(found.target)] > RANK[part(module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_kernels_know_arrays_only() -> None:
    allowed = KERNELS_ONLY | {"numpy"} | set(sys.stdlib_module_names)
    wrong = [
        f"{where(path, found.line)}: {found.target}"
        for module, path in sources().items()
        if part(module) == "kernels"
        for found in imports(module, path)
        if not found.target.startswith("tinygen.kernels") and found.target.split(".")[0] not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_of_other_packages() -> None:
    """numba and cupy below one door, frameworks only as oracles, heavy packages only when their function is called."""
    wrong = []
    for module, path in sources().items():
        home = part(module)
        for target, line, in_function in imports(module, path):
            root = target.split(".")[0]
            if root in KERNELS_ONLY and home not in ("kernels", "device"):
                wrong.append(f"{where(path, line)}: {root} is for kernels/ and device.py")
            if root in FRAMEWORKS and not (in_function and home in ("testing", "benchmarks")):
                wrong.append(f"{where(path, line)}: {root} is for functions of testing/ and benchmarks/")
            if root in HEAVY and not in_function and home not in ("testing", "benchmarks"):
                wrong.append(f"{where(path, line)}: import {root} in the function that needs it")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", ["tinygen", "tinygen.kernels"])
def test_import_is_light(module: str) -> None:
    heavy = KERNELS_ONLY | FRAMEWORKS | HEAVY
    program = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_nothing_unpickles_or_evaluates_text() -> None:
    """A file that is read must never be able to run code."""
    wrong = []
    tests = {f"tests.{path.stem}": path for path in (ROOT / "tests").rglob("*.py")}
    for module, path in (sources() | tests | {"setup": ROOT / "setup.py"}).items():
        wrong += [
            f"{where(path, found.line)}: imports {found.target}"
            for found in imports(module, path)
            if found.target.split(".")[0] in UNSAFE_MODULES
        ]
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            if name in ("eval", "exec", "__import__", "torch.load"):
                wrong.append(f"{where(path, node.lineno)}: {name}(...)")
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                ):
                    wrong.append(f"{where(path, node.lineno)}: allow_pickle={ast.unparse(keyword.value)}")
    assert not wrong, "\n".join(wrong)


def lines(path: Path) -> int:
    return path.read_text("utf-8").count("\n")


def test_files_stay_small() -> None:
    """When a file grows past 400 lines, a second idea has moved in."""
    files = [*sources().values(), *(ROOT / "tests").rglob("*.py")]
    long = {str(path.relative_to(ROOT)): lines(path) for path in files if lines(path) > 400}
    assert not long


def test_the_core_stays_small() -> None:
    core = {name: lines(ROOT / "tinygen" / name) for name in ("primitive.py", "autograd.py", "tensor.py")}
    assert sum(core.values()) <= 600, core


def implemented(name: str, backend: str) -> bool:
    """Whether the family has that backend: CUDA comes family by family."""
    return backend != "cuda" or importlib.util.find_spec(f"{kernels.registry[name].plan.__module__}.cuda") is not None


@pytest.mark.parametrize(
    ("name", "backend"),
    [(n, b) for b in ("reference", "cpu", "cuda") for n in sorted(kernels.registry) if implemented(n, b)],
)
def test_kernel_contract(name: str, backend: str) -> None:
    """Declared, specified and implemented under one name: inputs, then outputs; parameters by keyword."""
    kernel = kernels.registry[name]
    assert kernel.__doc__, f"{name}: no docstring"
    if any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(kernel.plan).parameters.values()):
        arrays = ["one", "two", "three", *kernel.outs]
    else:
        arrays = [*kernel.inputs, *kernel.outs]
    signature = inspect.signature(kernel.implementation(backend))
    try:
        signature.bind(*arrays, **kernel.params)
    except TypeError as error:
        pytest.fail(f"{name} ({backend}) is called with {arrays} and {sorted(kernel.params)}: {error}")
