"""How long a user waits: `import tinygen`, and a whole process that makes its first training step.

    python -m tinygen.benchmarks.start CASE             makes one step and ends

Once with an empty cache of compiled kernels, where everything that the step needs is compiled on the way, and then with
the cache which that left.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from . import harness
from .steps import CASES, KEY, our_step
from .suite import Row, Settings, benchmark

COLD, WARM = 20.0, 2.0  # seconds that a first step may take
REPEATS = 3  # of a start with a cache
WHAT = "first training step in a fresh process: 20 s over the longest with an empty cache, 2 s over that with a cache"


def import_seconds() -> float:
    """Seconds that `import tinygen` takes in a fresh process, the median of five."""
    program = "from time import perf_counter as t; a = t(); import tinygen; print(t() - a)"
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, check=True) for _ in range(5)]
    return median(float(run.stdout) for run in runs)


def startup(name: str, cache: str) -> float:
    """Seconds of a whole process that imports tinygen, builds the model, makes one step and ends."""
    start = perf_counter()
    harness.in_subprocess(f"{__package__}.start", [name], {"TINYGEN_CACHE": cache})
    return perf_counter() - start


def measure(name: str) -> Row:
    """Both starts of one model, in seconds."""
    with TemporaryDirectory() as cache:
        cold = startup(name, cache)
        return {"name": name, "cold_s": cold, "warm_s": median(startup(name, cache) for _ in range(REPEATS))}


@benchmark("start", group="machine", what=WHAT)
def start(settings: Settings) -> Row:
    """ratio is the smaller of the two: at least 1 says that no model keeps its user waiting longer."""
    parts = [measure(name) for name in (["vae_mlp"] if settings.quick else CASES)]
    cold, warm = (max(p[entry] for p in parts) for entry in ("cold_s", "warm_s"))
    return {
        "name": "start", "what": WHAT, "import_s": import_seconds(), "cold_s": cold, "warm_s": warm,
        "ratio": min(COLD / cold, WARM / warm), "parts": parts,
    }  # fmt: skip


if __name__ == "__main__":
    case = CASES[sys.argv[1]]
    loss = our_step(case.build())(case.data(), key=KEY)
    print(loss[0].item())
