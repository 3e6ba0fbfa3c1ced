"""Trying mutants: each in a process of its own, some side by side."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from ...errors import ConfigError
from .compiled import seed
from .mutant import PACKAGE, Mutant

CHILD = Path(__file__).with_name("child.py")
PYTEST = ("-c", "pyproject.toml", "-x", "-q", "-m", "not exhaustive", "-p", "no:cacheprovider")
LIMIT = 900.0  # seconds for one run of tests: more than the whole fast suite takes


class Outcome(NamedTuple):
    """What became of a mutant: the test that noticed it, or None; and the seconds that took."""

    mutant: Mutant
    caught_by: str | None
    seconds: float


def repository() -> Path:
    """The folder of the checkout that tinygen is imported from.  ConfigError for an installed copy without tests."""
    root = Path(sys.modules[PACKAGE].__file__ or "").resolve().parents[1]
    if not (root / "tests" / "test_ops.py").exists():
        raise ConfigError(
            "check --mutants: the tests are not beside this copy of tinygen. "
            "Run it in a checkout, installed with: pip install -e '.[test,bench]'"
        )
    return root


def run(
    mutants: Iterable[Mutant],
    *,
    workers: int | None = None,
    suite: Sequence[str] = ("tests",),
    done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Try them, `workers` (default: a processor each) at a time; `done` is told of each.  suite: all that may notice.

    Afterwards the tests that noticed something run once more without any mistake: one that fails then too proves
    nothing, and ConfigError names it.  ConfigError also where a row no longer fits the source.
    """
    root, chosen = repository(), list(mutants)
    for mutant in chosen:
        mutant.source()
    outcomes = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for future in as_completed([pool.submit(_try, mutant, root, suite) for mutant in chosen]):
            outcomes.append(future.result())
            done(outcomes[-1])
    order = {mutant.name: i for i, mutant in enumerate(chosen)}
    outcomes.sort(key=lambda outcome: order[outcome.mutant.name])
    _verify(outcomes, root)
    return outcomes


def _try(mutant: Mutant, root: Path, suite: Sequence[str]) -> Outcome:
    begun = time.monotonic()
    with TemporaryDirectory() as scratch:
        cache, loaded = {}, False
        if mutant.compiles:
            seed(mutant, Path(scratch))
            cache["TINYGEN_CACHE"] = scratch
        for tests in (shlex.split(mutant.tests), suite):
            found = _pytest(tests, root, Path(scratch), cache, mutant)
            loaded = loaded or found["loaded"]
            if found["failed"] is not None:
                break
        if not loaded:
            raise ConfigError(f"mutant {mutant.name}: no test imports {mutant.module}, so nothing was tried.")
    return Outcome(mutant, found["failed"], time.monotonic() - begun)


def _pytest(
    tests: Sequence[str], root: Path, scratch: Path, cache: dict[str, str], mutant: Mutant | None = None
) -> dict[str, Any]:
    """Run tests in a new process -> {"code", "failed", "loaded"}, as `child` reports."""
    report = scratch / "report.json"
    command = [sys.executable, str(CHILD), str(report), mutant.module if mutant else "", "--", *PYTEST]
    environment = {**os.environ, **cache, "OMP_WAIT_POLICY": "passive", "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        [*command, "--basetemp", str(scratch / "tests"), *tests],
        input=mutant.source() if mutant else "", text=True, capture_output=True, cwd=root, env=environment,
        timeout=LIMIT, check=False,
    )  # fmt: skip
    if not report.exists():  # killed, by a kernel that writes where it must not
        return {"code": ended.returncode, "failed": f"the process, ended by {ended.returncode}", "loaded": True}
    made: dict[str, Any] = json.loads(report.read_text("utf-8"))
    report.unlink()
    if made["failed"] is None and made["code"] not in (0, 5):  # 5: the selection is empty
        raise ConfigError(f"check --mutants: pytest could not run {' '.join(tests)}:\n{ended.stdout}{ended.stderr}")
    return made


def _verify(outcomes: Sequence[Outcome], root: Path) -> None:
    """Raise ConfigError where a test that noticed a mistake fails without one."""
    tests = sorted({o.caught_by for o in outcomes if o.caught_by is not None and "::" in o.caught_by})
    if not tests:
        return
    with TemporaryDirectory() as scratch:
        found = _pytest(tests, root, Path(scratch), {})
    if found["failed"] is not None:
        raise ConfigError(
            f"check --mutants: {found['failed']} fails without any mistake too, so nothing is proven. Mend it first."
        )
