"""Gradients on CUDA, to the order that each op claims, against differences."""

from __future__ import annotations

import pytest
from cudadevice import on_cuda

from tinygen.cli import main
from tinygen.cli.check import on
from tinygen.testing import gradcheck
from tinygen.testing.cases import cases

pytestmark = pytest.mark.cuda


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name, case in sorted(cases.items()) if case.orders])
def test_gradients_to_the_claimed_order(name):
    case = cases[name]
    inputs, params = case.draw(0)
    with on_cuda():
        gradcheck(on("cuda", case.op), *inputs, order=case.orders, seed=0, rtol=1e-6 * case.tolerance, **params)


def test_the_command_checks_ops_there(capsys):
    with on_cuda():
        assert main(["check", "--device", "cuda", "sub", "batch_norm"]) == 0
    assert capsys.readouterr().out.endswith("2 of 2 right\n")


def test_a_wrong_gradient_is_seen(monkeypatch):
    case = cases["mul"]
    inputs, params = case.draw(0)
    with on_cuda(), pytest.raises(AssertionError):
        gradcheck(on("cuda", lambda a, b: a * b.detach()), *inputs, order=1, seed=0, **params)
