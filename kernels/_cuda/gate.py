"""Compiles every kernel for GPUs, without one, and holds what each takes to a table that may not grow unnoticed.

    python -m tinygen.kernels._cuda.gate            compare with resources.json; exit code 1 where something grew
    python -m tinygen.kernels._cuda.gate --write    make it anew, with nvcc

Warnings are errors, and so are spills: registers that do not suffice, and go to memory.  Needs nvcc, or else NVRTC
(see compilers.py), but neither a GPU nor its driver.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .compilers import Compiler, Nvcc, Refused, compiler
from .source import Source

ARCHITECTURES = "sm_80", "sm_90"
TABLE = Path(__file__).parent / "resources.json"
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?(?P<spills>\d+) bytes spill stores.*?Used (?P<registers>\d+) registers"
    r"(?:[^\n]*?(?P<shared>\d+) bytes smem)?",
    re.DOTALL,
)
# The table is of nvcc.  NVRTC's first half is another program, and orders some kernels otherwise: 6 registers more at
# most were seen, in 8 of 348.  GPUs give registers in eights.
NVRTC_SLACK = 8

Resources = dict[str, list[int]]  # kernel -> [registers, bytes of shared memory], the most over the architectures


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


def measure(source: Source, types: dict[str, str], by: Compiler) -> Resources:
    """Compile for all architectures.  Raises Refused with the compiler's words."""
    found: Resources = {}
    for architecture in ARCHITECTURES:
        said = by.report(source.text(host=False, **types), name_of(source, types), architecture)
        entries = list(ENTRY.finditer(said))
        if len(entries) != said.count("Compiling entry function"):
            raise Refused(f"{name_of(source, types)} for {architecture}: {by.name} tells of its kernels otherwise")
        for entry in entries:
            if int(entry["spills"]):
                raise Refused(f"{entry['name']} ({name_of(source, types)}) for {architecture} spills registers")
            taken = [int(entry["registers"]), int(entry["shared"] or 0)]
            found[entry["name"]] = [*map(max, taken, found.get(entry["name"], taken))]
    return found


def measure_all(by: Compiler) -> dict[str, Resources]:
    """The whole table."""
    jobs = [(source, types) for source in every_source() for types in source.variants()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda job: measure(job[0], job[1], by), jobs)
        return {name_of(*job): resources for job, resources in zip(jobs, made)}


def grown(now: dict[str, Resources], then: dict[str, Resources], slack: int = 0) -> list[str]:
    """What the table does not know, knows otherwise, or knows in vain, a sentence each; `slack` in registers."""
    said = [f"{name} is in the table and not among the sources" for name in then.keys() - now.keys()]
    for name, kernels in now.items():
        known = then.get(name, {})
        said += [f"{kernel} ({name}) is gone" for kernel in known.keys() - kernels.keys()]
        for kernel, taken in kernels.items():
            if kernel not in known:
                said.append(f"{kernel} ({name}) is new: {taken[0]} registers, {taken[1]} bytes of shared memory")
            elif taken[0] > known[kernel][0] + slack or taken[1] > known[kernel][1]:
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
    by = compiler()
    if by is None or ("--write" in arguments and not isinstance(by, Nvcc)):
        print(f"the gate needs nvcc{'' if arguments else ', or NVRTC: pip install nvidia-cuda-nvrtc-cu12'}")
        return 2
    try:
        now = measure_all(by)
    except Refused as refused:
        print(refused)
        return 1
    kernels = sum(map(len, now.values()))
    if "--write" in arguments:
        TABLE.write_text(written(now))
        print(f"{kernels} kernels written to {TABLE}")
        return 0
    said = grown(now, json.loads(TABLE.read_text()), 0 if isinstance(by, Nvcc) else NVRTC_SLACK)
    fine = f"{kernels} kernels compiled by {by.name} for {', '.join(ARCHITECTURES)}: no warning, no spill, none grew"
    print("\n".join(said) or fine)
    return bool(said)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
