"""Fused launch lists: drawn programs keep their bits, and each condition for joining two launches is needed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import ops, optim
from tinygen.kernels.replay.recording import Launch

N = 8  # of every matrix, and 2 x 4 pixels of 8 channels in every image
CHOICES = (
    "matmul", "linear", "linear relu", "conv", "conv bias", "conv input grad", "bias", "relu", "leaky", "relu_grad",
    "leaky_grad", "add", "mul", "update",
)  # fmt: skip
PROGRAMS = st.lists(
    st.tuples(st.sampled_from(CHOICES), st.integers(0, 99), st.integers(0, 99)), min_size=2, max_size=14
)


class Program:
    """A step on one matrix, written by hypothesis: each line takes earlier values, and the last few are returned."""

    def __init__(self, lines: list[tuple[str, int, int]], results: int):
        rng = np.random.Generator(np.random.Philox(0))
        self.lines, self.results = lines, results
        self.w = tg.tensor(rng.standard_normal((N, N)).astype(np.float32) / 4).requires_grad_()
        self.kernel = tg.tensor(rng.standard_normal((3, 3, N, N)).astype(np.float32) / 9)
        self.b = tg.tensor(rng.standard_normal(N).astype(np.float32))
        self.sgd = optim.SGD([self.w], lr=0.01)

    def __call__(self, x: tg.Tensor) -> list[tg.Tensor]:
        with tg.no_grad():
            values = [x]
            for name, i, j in self.lines:
                values.append(self.apply(name, values[i % len(values)], values[j % len(values)]))
            return values[-self.results :]

    def apply(self, name: str, a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
        if name == "update":  # changes w in place, so that what reads w may not move past it
            self.sgd.update([ops.tanh(a)])
            return a
        if name.startswith("conv"):
            image = ops.reshape(a, shape=(1, 2, 4, N))
            if name == "conv":
                y = ops.conv2d(image, self.kernel, pad=1)
            elif name == "conv bias":
                y = ops.conv2d_bias_act(image, self.kernel, self.b, activation="leaky_relu", pad=1, mask="B")
            else:
                y = ops.conv2d_input_grad(image, self.kernel, x_hw=(2, 4), pad=1)
            y = ops.relu(y + y) if name == "conv" else y
            return ops.reshape(y, shape=(N, N))
        return {
            "matmul": lambda: ops.matmul(a, self.w, trans_b=True),
            "linear": lambda: ops.linear(a, self.w, self.b),
            "linear relu": lambda: ops.linear(a, self.w, self.b, activation="relu"),
            "relu": lambda: ops.relu(a),
            "leaky": lambda: ops.leaky_relu(a, slope=0.2),
            "add": lambda: a + b,
            "relu_grad": lambda: ops.relu_grad(a, b),
            "leaky_grad": lambda: ops.leaky_relu_grad(a, b, slope=0.2),
            "mul": lambda: a * b,
            "bias": lambda: a + self.b,
        }[name]()


def bits(values: list[tg.Tensor]) -> list[bytes]:
    return [v.data.tobytes() for v in values]


def check(lines: list[tuple[str, int, int]], results: int) -> Any:
    """Run a program eagerly and as a step, four times; returns the step."""
    eager, program = Program(lines, results), Program(lines, results)
    step = tg.step(program)
    for i in range(4):
        x = tg.tensor(np.random.Generator(np.random.Philox(i)).standard_normal((N, N)).astype(np.float32))
        assert bits(eager(x)) == bits(step(x))
        assert eager.w.data.tobytes() == program.w.data.tobytes()
    return step


def kinds(step: Any) -> Counter[str]:
    return Counter(launch.kernel.__name__ for launch in step.plan.launches if isinstance(launch, Launch))


@given(PROGRAMS, st.integers(1, 3))
@settings(max_examples=25)
def test_programs_keep_their_bits(lines: list[tuple[str, int, int]], results: int) -> None:
    check(lines, results)


@pytest.mark.exhaustive
@given(PROGRAMS, st.integers(1, 3))
def test_more_programs_keep_their_bits(lines: list[tuple[str, int, int]], results: int) -> None:
    check(lines, results)


# value 0 is x; line k makes value k + 1
def test_a_chain_becomes_one_launch() -> None:
    step = check([("matmul", 0, 0), ("relu_grad", 1, 0), ("add", 2, 0)], 1)
    assert kinds(step) == {"matmul_then": 1}
    (launch,) = step.plan.launches
    assert launch.params["then"] == ("relu_grad", "add")


def test_a_value_that_others_read_stays_and_its_activation_becomes_a_second_output() -> None:
    step = check([("linear", 0, 0), ("relu", 1, 1), ("mul", 1, 2)], 1)
    assert kinds(step) == {"matmul_then": 1, "mul": 1}
    assert step.plan.launches[0].params["then"] == ("bias", ("also", "relu"))


def test_a_value_that_others_read_is_not_joined_with_a_sum() -> None:
    step = check([("matmul", 0, 0), ("add", 1, 0), ("mul", 1, 2)], 1)
    assert kinds(step) == {"matmul": 1, "add": 1, "mul": 1}


def test_a_result_stays() -> None:
    step = check([("matmul", 0, 0), ("add", 1, 0)], 2)
    assert kinds(step) == {"matmul": 1, "add": 1}


def test_nothing_moves_past_a_write_to_what_it_reads() -> None:
    step = check([("matmul", 0, 0), ("update", 0, 0), ("add", 1, 0)], 1)
    assert kinds(step)["matmul"] == kinds(step)["add"] == 1
    moved = check([("update", 0, 0), ("matmul", 0, 0), ("add", 2, 0)], 1)
    assert kinds(moved)["matmul_then"] == 1


def test_a_reshape_may_lie_between_and_a_vector_is_a_bias() -> None:
    step = check([("conv input grad", 0, 0), ("bias", 1, 0), ("leaky", 2, 0), ("mul", 3, 3)], 1)
    assert kinds(step) == {"conv2d_then": 1, "mul": 1}
    assert step.plan.launches[0].params["then"] == ("bias", ("leaky_relu", 0.2))


def test_steps_in_another_order_stay_apart() -> None:
    step = check([("matmul", 0, 0), ("add", 1, 0), ("relu_grad", 2, 0)], 1)
    assert kinds(step) == {"matmul_then": 1, "relu_grad": 1}


def test_a_value_added_to_itself_is_not_joined() -> None:
    step = check([("matmul", 0, 0), ("add", 1, 1)], 1)
    assert kinds(step) == {"matmul": 1, "add": 1}


def test_launches_that_nobody_reads_are_dropped() -> None:
    step = check([("matmul", 0, 0), ("mul", 0, 0)], 1)
    assert kinds(step) == {"mul": 1}
