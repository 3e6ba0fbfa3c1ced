"""Compiles every kernel for GPUs, without one, and holds what each takes to a table that may not grow unnoticed.

    python -m tinygen.kernels._cuda.gate            compare with resources.json; exit code 1 where something grew
    python -m tinygen.kernels._cuda.gate --write    make it anew

Warnings are errors, and so are spills: registers that do not suffice, and go to memory.  Needs nvcc, but neither a GPU
nor its driver.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .source import Source

ARCHITECTURES = "sm_80", "sm_90"
TABLE = Path(__file__).parent / "resources.json"
FLAGS = (
    "-cubin", "-std=c++17", "--fmad=false", "-Werror", "all-warnings", "-Xptxas", "-v", "-x", "cu", "-o", "/dev/null",
)  # fmt: skip
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?(?P<spills>\d+) bytes spill stores.*?Used (?P<registers>\d+) registers"
    r"(?:[^\n]*?(?P<shared>\d+) bytes smem)?",
    re.DOTALL,
)

Resources = dict[str, list[int]]  # kernel -> [registers, bytes of shared memory], the most over the architectures


class Refused(RuntimeError):
    """nvcc refuses a kernel, warns of it, or has to spill."""


def nvcc() -> str | None:
    """The path of nvcc, if it is installed."""
    return shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")


def every_source() -> list[Source]:
    """The .cu files of all families."""
    found: list[Source] = []
    for path in sorted(Path(__file__).parent.parent.glob("*/cuda.py")):
        module = importlib.import_module(f"..{path.parent.name}.cuda", __package__)
        found += [value for value in vars(module).values() if isinstance(value, Source)]
    return found


def name_of(source: Source, types: dict[str, str]) -> str:
    """A line of the table: "elementwise/elementwise.cu T=float32"."""
    return " ".join([f"{source.path.parent.name}/{source.path.name}", *(f"{m}={t}" for m, t in types.items())])


def measure(source: Source, types: dict[str, str], scratch: Path) -> Resources:
    """Compile for all architectures.  Raises Refused with the compiler's words."""
    found: Resources = {}
    path = scratch / source.path.name
    path.write_text(source.text(host=False, **types))
    for architecture in ARCHITECTURES:
        command = [nvcc() or "nvcc", f"-arch={architecture}", *FLAGS, str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        said = done.stdout + done.stderr
        if done.returncode:
            raise Refused(f"{name_of(source, types)} for {architecture}:\n{said}")
        for entry in ENTRY.finditer(said):
            if int(entry["spills"]):
                raise Refused(f"{entry['name']} ({name_of(source, types)}) for {architecture} spills registers")
            taken = [int(entry["registers"]), int(entry["shared"] or 0)]
            found[entry["name"]] = [*map(max, taken, found.get(entry["name"], taken))]
    return found


def measure_all(scratch: Path) -> dict[str, Resources]:
    """The whole table."""
    return {name_of(s, types): measure(s, types, scratch) for s in every_source() for types in s.variants()}


def grown(now: dict[str, Resources], then: dict[str, Resources]) -> list[str]:
    """What the table does not know, knows otherwise, or knows in vain, a sentence each."""
    said = [f"{name} is in the table and not among the sources" for name in then.keys() - now.keys()]
    for name, kernels in now.items():
        known = then.get(name, {})
        said += [f"{kernel} ({name}) is gone" for kernel in known.keys() - kernels.keys()]
        for kernel, taken in kernels.items():
            if kernel not in known:
                said.append(f"{kernel} ({name}) is new: {taken[0]} registers, {taken[1]} bytes of shared memory")
            elif any(a > b for a, b in zip(taken, known[kernel])):
                said.append(f"{kernel} ({name}) grew from {known[kernel]} to {taken} (registers, shared memory)")
    return sorted(said)


def written(table: dict[str, Resources]) -> str:
    """As JSON, a kernel a line."""
    parts = []
    for name, kernels in sorted(table.items()):
        lines = [f"  {json.dumps(kernel)}: {json.dumps(taken)}" for kernel, taken in sorted(kernels.items())]
        parts.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(arguments: list[str]) -> int:
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        now = measure_all(Path(scratch))
    kernels = sum(map(len, now.values()))
    if "--write" in arguments:
        TABLE.write_text(written(now))
        print(f"{kernels} kernels written to {TABLE}")
        return 0
    said = grown(now, json.loads(TABLE.read_text()))
    print(
        "\n".join(said) or f"{kernels} kernels compiled for {', '.join(ARCHITECTURES)}: no warning, no spill, none grew"
    )
    return bool(said)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
