"""What all tests share: how much hypothesis draws, and why a marked test is skipped."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import pytest

pytest_plugins = ["tinygen.testing.plugin", "pytester"]


def pytest_configure(config: pytest.Config) -> None:
    # Only "exhaustive" draws anew on every run; the others always run the same examples: red is red for everyone.
    if config.getoption("--tinygen-profile") is None:
        from tinygen.testing import plugin  # not before pytest has loaded it

        plugin.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def _no_torch() -> str | None:
    return None if importlib.util.find_spec("torch") else "needs PyTorch: pip install 'tinygen[bench]'"


def _no_cuda() -> str | None:
    import cudadevice

    return cudadevice.why_not()


@pytest.fixture
def cuda() -> Iterator[None]:
    """ "cuda" is there while the test runs: emulated, or a GPU.  For tests marked `cuda`; see cudadevice.py."""
    from cudadevice import on_cuda

    with on_cuda():
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for marker, why_not in (("parity", _no_torch), ("cuda", _no_cuda)):
        marked = [item for item in items if item.get_closest_marker(marker)]
        reason = why_not() if marked else None
        if reason:
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))
