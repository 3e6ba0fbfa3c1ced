"""Faults made in each .cu file in turn, and whether the cases notice: `python tests/cudamutants.py`.

A fault is a barrier that is gone, or a condition (a bound check, a mask) that always holds.  Each runs in a process of
its own, for some crash; what survives is run again under AddressSanitizer, which sees reads past an end too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from cudacases import Results, extras, ported, results

from tinygen import kernels
from tinygen.kernels._cuda import gate, host_build
from tinygen.kernels._cuda.source import Source
from tinygen.testing import emulated_cuda, laws
from tinygen.testing.cases import cases

EQUIVALENT = {  # faults that change nothing, and why
    "causal/causal.cu: if (threadIdx.x == 0)": "every thread would draw the same",
    "conv/conv.cu: if (live(v, int(v.first) + n, phase))": "what is not live is multiplied as zeros",
    "conv/conv.cu: if (totals && row == 0)": "a sum is made and not written",
    "matmul/matmul.cu: if (totals && row == 0)": "a sum is made and not written",
    "optim/optim.cu: if (threadIdx.x == 0)": "every thread works out the same number",
    "optim/optim.cu: if (threadIdx.y == 0)": "every thread has the sum",
    "optim/optim.cu: if (start < ends[middle])": "from the first array on, the same one is found",
}


def faults(text: str) -> Iterator[tuple[str, str]]:
    """(what stands there, the text with the fault)."""
    for match in re.finditer(r"__syncthreads\(\);|\bif \(", text):
        start, end = match.span()
        if match[0].startswith("__"):
            yield f"line {text.count(chr(10), 0, start) + 1}: {match[0]}", text[:start] + text[end:]
            continue
        depth = 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        holds = "false" if re.match(r"\s*(return|continue);", text[end:]) else "true"
        yield (
            f"line {text.count(chr(10), 0, start) + 1}: {text[start:end]}",
            f"{text[:start]}if ({holds}){text[end:]}",
        )


def run(family: str, attribute: str, text: str) -> None:
    """Raise if a case of the family notices that its source has this text."""
    module = sys.modules[f"tinygen.kernels.{family}.cuda"]
    old: Source = getattr(module, attribute)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / old.path.name).write_text(text)
        setattr(module, attribute, Source(str(Path(folder) / "cuda.py"), old.path.name, **old.types))
        for name in ported():
            launched: set[str] = set()
            for seed in range(3):
                with kernels.backend("reference"), kernels.observe(lambda k, *_, to=launched: to.add(k.family)):
                    expected = results(cases[name], "cpu", np.float32, seed)
                if family in launched:
                    compare(partial(results, cases[name], "cuda", np.float32, seed), expected, cases[name].tolerance)
        for name, extra in extras(np.float32).items():
            if name.startswith(family):
                with kernels.backend("reference"):
                    expected = extra("cpu")
                compare(partial(extra, "cuda"), expected)


def compare(made: Callable[[], Results], expected: Results, tolerance: float = 1.0) -> None:
    """Raise LawBroken unless it is what is expected, in three orders."""
    for order in (0, -1, 1):
        with emulated_cuda(order):
            got = made()
        for a, b in zip(got, expected, strict=True):
            laws.close(a, b, factor=tolerance)


def killed(family: str, attribute: str, text: str) -> bool:
    """Whether a process that runs the cases on this text fails, plainly or under AddressSanitizer."""
    command = [sys.executable, __file__, family, attribute]
    before, environment = host_build.watched("address")
    for words, more in (([], {}), (before, environment)):
        done = subprocess.run(
            [*words, *command], input=text, text=True, capture_output=True, env={**os.environ, **more}
        )
        if done.returncode:
            return True
    return False


def main() -> int:
    """Try all; returns how many survived."""
    gate.every_source()
    survived, tried = [], 0
    for family in sorted(name for name in os.listdir(gate.TABLE.parent.parent) if not name.startswith("_")):
        module = sys.modules.get(f"tinygen.kernels.{family}.cuda")
        for attribute, source in vars(module).items() if module else ():
            if isinstance(source, Source) and source.path.parent.name == family:
                for what, text in faults(source.path.read_text()):
                    name = f"{family}/{source.path.name}: {what.partition(': ')[2]}"
                    if name in EQUIVALENT:
                        continue
                    tried += 1
                    if not killed(family, attribute, text):
                        survived.append(f"{family}/{source.path.name} {what}")
                        print(f"survived: {survived[-1]}")
    print(f"{tried - len(survived)} of {tried} killed")
    return len(survived)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        gate.every_source()
        run(sys.argv[1], sys.argv[2], sys.stdin.read())
    else:
        sys.exit(bool(main()))
