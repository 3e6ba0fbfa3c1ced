"""The seed of every check that is given none: 0, or what `pytest --tinygen-seed` says."""

from __future__ import annotations

from contextvars import ContextVar

base: ContextVar[int] = ContextVar("tinygen_testing_seed", default=0)


def chosen(seed: int | None) -> int:
    """That seed, or the base where it is None."""
    return base.get() if seed is None else seed
