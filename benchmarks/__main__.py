"""`python -m tinygen.benchmarks train_step [--json FILE]`; from the repository also `python -m benchmarks ...`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark named first with the rest of the arguments; returns the exit status."""
    from . import train_step

    known: dict[str, Callable[[Sequence[str]], int]] = {"train_step": train_step.main}
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] not in known:
        print(f"usage: python -m {__package__} {{{','.join(known)}}} [options]", file=sys.stderr)
        return 2
    return known[argv[0]](argv[1:])


if __name__ == "__main__":
    sys.exit(main())
