"""The mutation catalogue: does the suite notice wrong kernels, wrong rules, and what other systems got wrong?

    tinygen check --mutants                 put each mistake in place, in memory, and demand that a test fails
    tinygen check --mutants 'kl*'           some of them

A row names a line of tinygen's own source and what it becomes.  Each is tried in a process of its own, which runs the
fast suite until the first test fails: those first that should notice, then all others.  What no test notices is a
missing test.
"""

from __future__ import annotations

from . import kernels, peers, rules, training
from .mutant import Mutant, catalogue
from .runner import Outcome, run

__all__ = ["Mutant", "Outcome", "catalogue", "kernels", "peers", "rules", "run", "training"]
