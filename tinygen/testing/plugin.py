"""The pytest plugin, found by its entry point wherever tinygen is installed.

    pytest --tinygen-seed 7                                   other draws, the same on every run
    pytest --tinygen-profile ci                               hypothesis: 100 examples, always the same, blobs printed
    pytest --tinygen-profile exhaustive --tinygen-minutes 30  new examples in rounds until half an hour is spent

The seed is that of every gradcheck and law which is given none, of the fixture `tinygen_seed`, and of hypothesis.  A
test that fails under a seed of its own says how to run it again; without these options nothing changes.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .seeding import base

PROFILES: dict[str, dict[str, Any]] = {  # no deadlines: the first call of a kernel compiles it
    "fast": {"max_examples": 20, "derandomize": True},
    "ci": {"max_examples": 100, "derandomize": True, "print_blob": True},
    "exhaustive": {"max_examples": 500, "print_blob": True},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tinygen", "property tests of gradients")
    group.addoption("--tinygen-seed", type=int, metavar="N", help="seed of gradcheck, laws and hypothesis")
    group.addoption("--tinygen-profile", choices=list(PROFILES), help="how much hypothesis draws")
    group.addoption(
        "--tinygen-minutes", type=float, metavar="M", help="repeat hypothesis tests with new seeds for so long in all"
    )


def load_profile(name: str) -> None:
    """Make one of PROFILES hypothesis's own, as tinygen-NAME.  UsageError for other names, and without hypothesis."""
    if name not in PROFILES:
        raise pytest.UsageError(f"tinygen has no profile {name!r}. There are {', '.join(PROFILES)}.")
    try:
        from hypothesis import settings
    except ModuleNotFoundError:
        raise pytest.UsageError(
            "--tinygen-profile needs hypothesis. Install it with: pip install 'tinygen[test]'"
        ) from None
    settings.register_profile(f"tinygen-{name}", deadline=None, **PROFILES[name])
    settings.load_profile(f"tinygen-{name}")


class Session:
    """What the options ask for, and the share of the time that each test has."""

    def __init__(self, config: pytest.Config):
        self.seed: int | None = config.getoption("--tinygen-seed")
        self.minutes: float | None = config.getoption("--tinygen-minutes")
        worker = getattr(config, "workerinput", {})  # of pytest-xdist: each worker runs a part of the tests
        self.workers = int(worker.get("workercount", 1))
        self.share = 0.0
        if self.minutes is not None and self.minutes <= 0:
            raise pytest.UsageError(f"--tinygen-minutes is {self.minutes}. Pass more than 0.")

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        drawn = [item for item in session.items if _drawn(item)]
        if self.minutes is not None and drawn:
            self.share = self.minutes * 60 * self.workers / len(drawn)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Iterator[None]:
        if not _drawn(pyfuncitem):
            return (yield)
        ends = time.monotonic() + self.share
        if self.seed is not None:
            _reseed(pyfuncitem, self.seed)
        result = yield
        test = pyfuncitem.obj
        arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        rounds = 0
        while time.monotonic() < ends:
            rounds += 1
            _reseed(pyfuncitem, secrets.randbits(32) if self.seed is None else self.seed + rounds)
            test(**arguments)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report: Any = yield
        if report.failed and self.seed is not None:
            report.sections.append(("tinygen", f"Reproduce with: pytest '{item.nodeid}' --tinygen-seed {self.seed}"))
        return report


def _drawn(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and getattr(item.obj, "is_hypothesis_test", False)


def _reseed(item: pytest.Function, seed: int) -> None:
    from hypothesis import seed as decorate

    decorate(seed)(getattr(item.obj, "__func__", item.obj))


def pytest_configure(config: pytest.Config) -> None:
    profile = config.getoption("--tinygen-profile")
    if profile is not None:
        load_profile(profile)
    session = Session(config)
    if session.seed is not None:
        base.set(session.seed)
    config.pluginmanager.register(session, "tinygen-session")


def pytest_report_header(config: pytest.Config) -> str | None:
    asked = {name: config.getoption(f"--tinygen-{name}") for name in ("seed", "profile", "minutes")}
    shown = [f"{name} {value}" for name, value in asked.items() if value is not None]
    return f"tinygen: {', '.join(shown)}" if shown else None


@pytest.fixture(scope="session")
def tinygen_seed(request: pytest.FixtureRequest) -> int:
    """What --tinygen-seed says; 0 without it."""
    return request.config.getoption("--tinygen-seed") or 0
