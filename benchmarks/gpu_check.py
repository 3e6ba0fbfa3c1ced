"""Everything about CUDA that wants a GPU, by one command in under ten minutes: `make gpu-check`, or

    python -m tinygen.benchmarks.gpu_check [--json FILE] [--only STAGE ...] [--emulated --quick]

What is there; the tests marked `cuda`; the sanitizers over every kernel; equal bits; training steps beside PyTorch's on
the same card; products, convolutions and bandwidth; runs of every family beside the CPU's.  Every stage is a process
with a time limit, for a fault may take a CUDA context along, and prints what it finds at once.  Exit code 0 if all is
well, 1 if not, 2 where there is no GPU.  Run it in a checkout: the tests are not in the wheel.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from tinygen.benchmarks import gpu_runs, gpu_stages
from tinygen.device import check_device
from tinygen.errors import DeviceError

MINUTES = 9.5  # for all of it; what does not fit any more is told, and counts as a failure
LIMITS = {  # seconds of each stage, in their order: what decides first
    "machine": 30, "bits": 60, "tests": 150, "memcheck": 60, "racecheck": 60, "synccheck": 40, "initcheck": 40,
    "training": 150, "steps": 150, "ops": 60, "mnist": 120,
}  # fmt: skip


class Check:
    """The stages one after another, what they found, and the table."""

    def __init__(self, stages: Sequence[str], emulated: bool, quick: bool, path: str | None):
        self.stages, self.quick, self.path = stages, quick, path
        self.rows: list[dict[str, Any]] = []
        asked = "TINYGEN_CUDA", "TINYGEN_CUDA_TESTS"
        self.environment = {name: value for name, value in os.environ.items() if name not in asked}
        self.environment.update({"TINYGEN_CUDA": "host"} if emulated else {"TINYGEN_CUDA_TESTS": "gpu"})

    def run(self) -> int:
        """The exit code."""
        end = time.monotonic() + 60 * MINUTES
        for stage in self.stages:
            limit = min(LIMITS[stage], end - time.monotonic())
            if limit > 1:
                self._stage(stage, limit)
            else:
                self._found(stage, {"what": "not run", "said": f"{MINUTES} minutes are over", "ok": False})
        wrong = [row for row in self.rows if not row["ok"]]
        print(f"{len(self.rows) - len(wrong)} of {len(self.rows)} well" + "".join(f"\n  {_line(row)}" for row in wrong))
        return bool(wrong)

    def _stage(self, stage: str, limit: float) -> None:
        """A process that prints a JSON object a line."""
        command = [
            sys.executable,
            "-m",
            "tinygen.benchmarks.gpu_check",
            "--stage",
            stage,
            *(["--quick"] if self.quick else []),
        ]
        begin, late, said = time.monotonic(), threading.Event(), list[str]()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env=self.environment,
        ) as process:  # fmt: skip

            def stop() -> None:
                late.set()
                os.killpg(process.pid, signal.SIGKILL)

            assert process.stdout is not None
            assert process.stderr is not None
            timer = threading.Timer(limit, stop)
            reader = threading.Thread(target=said.extend, args=(process.stderr,))
            timer.start()
            reader.start()
            for line in process.stdout:
                if line.startswith("{"):
                    self._found(stage, json.loads(line))
            code = process.wait()
            timer.cancel()
            reader.join()
        took = f"{time.monotonic() - begin:.0f} s"
        if late.is_set():
            self._found(stage, {"what": "stopped", "said": f"after {took}, its limit", "ok": False})
        elif code:
            last = " ".join("".join(said).strip().splitlines()[-1:])
            self._found(stage, {"what": f"exit code {code} after {took}", "said": last, "ok": False})
        else:
            self._found(stage, {"what": "took", "said": took, "ok": True})

    def _found(self, stage: str, row: dict[str, Any]) -> None:
        self.rows.append({"stage": stage, **row})
        print(_line(self.rows[-1]), flush=True)
        if self.path:
            with open(self.path, "w") as file:
                json.dump(self.rows, file, indent=1)


def _line(row: dict[str, Any]) -> str:
    return f"{row['stage']:10} {'' if row['ok'] else 'WRONG '}{row['what']:44} {row['said']}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gpu_check", description="What wants a GPU, in under ten minutes.")
    parser.add_argument("--json", metavar="FILE", help="what was found, written anew with every row")
    parser.add_argument("--only", nargs="+", choices=LIMITS, metavar="STAGE", help=f"of {', '.join(LIMITS)}")
    parser.add_argument("--emulated", action="store_true", help="on the emulated device, to try this program")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--stage", choices=LIMITS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.stage:
        for row in getattr(gpu_runs if hasattr(gpu_runs, args.stage) else gpu_stages, args.stage)(args.quick):
            print(json.dumps(row._asdict()), flush=True)
        return 0
    try:
        if not args.emulated:
            check_device("cuda")
    except DeviceError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 2
    return Check(args.only or list(LIMITS), args.emulated, args.quick, args.json).run()


if __name__ == "__main__":
    sys.exit(main())
