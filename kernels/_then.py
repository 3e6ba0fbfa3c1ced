"""What may follow a product or a convolution in the same kernel: `then`, a tuple of steps in this order, none twice.

    "bias"                                          z + b, b (O,)
    "relu", ("leaky_relu", slope)                   the activation of z
    "relu_grad", ("leaky_relu_grad", slope)         z as the cotangent of an activation whose value is given: the gate
    "add"                                           z + an array of z's shape
    ("also", "relu"), ("also", ("leaky_relu", s))   a second output: the activation of the first

"bias", the gates and "add" each take the next one of the extra arrays.  Every step gives the bits of the elementwise
kernel of that name; what is saved is its passes over memory.
"""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType
from typing import Any

Array = Any
Step = Any  # a name, or (name, parameter)

ACTIVATIONS = "relu", "leaky_relu"
GATES = "relu_grad", "leaky_relu_grad"
STAGES = ("bias",), ACTIVATIONS, GATES, ("add",), ("also",)
BIAS, ACTIVATION, GATE, ADD, ALSO = range(len(STAGES))


def parsed(step: Step) -> tuple[str, Any]:
    """(name, parameter or None).  Raises ValueError for what is no step."""
    name, given = (step, None) if isinstance(step, str) else step
    if name == "also":
        given = parsed(given)
        known = given[0] in ACTIVATIONS
    else:
        known = any(name in stage for stage in STAGES) and (given is not None) == name.startswith("leaky")
    if not known:
        raise ValueError(f"{step!r} is no step that follows a product")
    return name, given


def supports(then: tuple[Step, ...]) -> bool:
    """Whether these steps, in this order, may follow."""
    try:
        names = [parsed(step)[0] for step in then]
    except (TypeError, ValueError):
        return False
    places = [next(i for i, stage in enumerate(STAGES) if name in stage) for name in names]
    return all(a < b for a, b in pairwise(places))


def coded(then: tuple[Step, ...]) -> tuple[tuple[int, ...], list[int], list[float]]:
    """The stages that take an array, and for each stage a code and a slope: what compiled code follows.

    Code 0: nothing; 1: the step without a slope; 2: the one with.
    """
    taking, codes, slopes = [], [0] * len(STAGES), [0.0] * len(STAGES)
    for name, parameter in map(parsed, then):
        at = next(i for i, names in enumerate(STAGES) if name in names)
        if at in (BIAS, GATE, ADD):
            taking.append(at)
        slope = parameter[1] if at == ALSO else parameter
        codes[at], slopes[at] = (1, 0.0) if slope is None else (2, slope)
    return tuple(taking), codes, slopes


def outputs(then: tuple[Step, ...], y: Any) -> Any:
    """The specs of the outputs, given the first: two where a step says "also"."""
    return (y, y) if any(parsed(step)[0] == "also" for step in then) else y


def follow(then: tuple[Step, ...], z: Array, rest: tuple[Array, ...], elementwise: ModuleType) -> None:
    """The specification: one kernel of `elementwise` per step; rest: the extra arrays, then the outputs."""

    def apply(name: str, parameter: float | None, *arrays: Array) -> None:
        getattr(elementwise, name)(*arrays, **({} if parameter is None else {"slope": parameter}))

    steps, arrays = [parsed(step) for step in then], iter(rest)
    for name, parameter in steps:
        if name in ("bias", "add"):
            apply("add", None, z.copy(), next(arrays), z)
        elif name in GATES:
            apply(name, parameter, z.copy(), next(arrays), z)
        elif name in ACTIVATIONS:
            apply(name, parameter, z.copy(), z)
    y, *second = arrays
    y[...] = z
    for also in second:
        apply(*steps[-1][1], z, also)
