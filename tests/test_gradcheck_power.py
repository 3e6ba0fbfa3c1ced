"""Every rule of every op, made wrong by one percent, is noticed through the registry of cases."""

import numpy as np
import pytest

from tinygen.primitive import Rule, registry
from tinygen.testing import GradientError, gradcheck
from tinygen.testing.cases import cases

RULES = [(name, argument) for name, op in sorted(registry.items()) for argument, rule in op.rules.items() if rule]


def covering(name):
    return [c for c in cases.values() if c.orders and (getattr(c.op, "name", None) == name or name in c.covers)]


def first_failure(name):
    """What gradcheck says of the first draw that it refuses; None if it refuses none."""
    for case in covering(name):
        for seed in range(3):
            inputs, params = case.draw(seed)
            try:
                gradcheck(case.op, *inputs, seed=seed, rtol=1e-6 * case.tolerance, **params)
            except GradientError as error:
                return str(error)
    return None


@pytest.mark.parametrize(("name", "argument"), RULES)
def test_one_percent_in_any_rule_is_noticed(name, argument, monkeypatch):
    op = registry[name]
    right = op.rules[argument]

    def wrong(**wanted):
        g = right.function(**wanted)
        return g * 1.01 if np.any(g.data) else g + 0.01  # some are zero, and must be: an input that only chooses

    monkeypatch.setitem(op.rules, argument, Rule(wrong, right.wants))
    assert "order 1, the gradient for" in (first_failure(name) or "")
