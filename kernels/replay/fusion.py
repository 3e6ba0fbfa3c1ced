"""Fusion: in a recorded list, an elementwise kernel that follows a product joins its epilogue.

    conv2d_input_grad -> t      relu_grad(t, y) -> u      add(u, s) -> v        becomes one launch; t and u are gone

A product's result is in registers when its kernel ends; what follows at once (bias, activation, the derivative of one,
a residual) costs no pass over memory there.  `kernels/_then.py` says which steps the kernels take, in which order, and
that each gives the bits of the kernel it replaces: a fused list computes the same bits.

A pair is fused when the result is read by nothing else, or, where the second kernel is an activation, as a second
output of the first; and when nothing in between writes to what the first one reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import conv, matmul
from .._kernel import Kernel
from .._then import supports
from .recording import Action, Launch, Place, View, buffers, contiguous, reshaped, root, whole

Entry = Launch | Action


class Head(NamedTuple):
    """A launch as one of the kernels that take steps: `then` is among the parameters."""

    kernel: Kernel
    inputs: tuple[Place, ...]
    params: dict[str, Any]


def _activation(name: str | None) -> tuple[Any, ...] | None:
    """As steps; None where the kernels have no such step."""
    if name is None:
        return ()
    given = matmul.ACTIVATIONS[name]
    step = (name, given["slope"]) if "slope" in given else name
    return (step,) if supports((step,)) else None


def _conv(launch: Launch) -> Head | None:
    params = {"x_hw": None, **launch.params}
    name = params.pop("activation", None)
    steps = _activation(name)
    if steps is None:
        return None
    bias = ("bias",) if launch.kernel is conv.conv2d_bias_act else ()
    return Head(conv.conv2d_then, launch.inputs, {**params, "then": (*bias, *steps)})


def _matmul(launch: Launch) -> Head | None:
    if len(launch.inputs[1].shape) != 2 or len(launch.inputs[0].shape) < 2:
        return None
    return Head(matmul.matmul_then, launch.inputs, {**launch.params, "then": ()})


def _linear(launch: Launch) -> Head | None:
    steps = _activation(launch.params["activation"])
    if steps is None or len(launch.inputs[0].shape) < 2:
        return None
    params = {"trans_a": False, "trans_b": False, "then": ("bias", *steps)}
    return Head(matmul.matmul_then, launch.inputs, params)


HEADS: dict[Kernel, Callable[[Launch], Head | None]] = {
    conv.conv2d: _conv,
    conv.conv2d_bias_act: _conv,
    conv.conv2d_input_grad: _conv,
    conv.conv2d_then: lambda launch: Head(launch.kernel, launch.inputs, launch.params),
    matmul.matmul: _matmul,
    matmul.linear: _linear,
    matmul.matmul_then: lambda launch: Head(launch.kernel, launch.inputs, launch.params),
}


def _step(launch: Launch, at: int, shape: tuple[int, ...]) -> tuple[Any, tuple[Place, ...]] | None:
    """The launch as a step on its input number `at`, and the arrays that the step takes, in the shape of the product.

    An elementwise kernel does the same on any shape of the same entries, so a reshape may lie between the two.
    """
    name, inputs = launch.kernel.__name__, launch.inputs
    if launch.kernel.family != "elementwise":
        return None
    others = inputs[:at] + inputs[at + 1 :]
    if name == "add" and others[0].shape == shape[-1:] == inputs[at].shape[-1:] and len(shape) > 1:
        return "bias", others
    if any(x.shape != inputs[at].shape or not contiguous(x) or _same(x, inputs[at]) for x in others):
        return None
    sloped = (name, launch.params["slope"]) if "slope" in launch.params else name
    if name == "add" or (at == 0 and name in ("relu", "leaky_relu", "relu_grad", "leaky_relu_grad")):
        return sloped, tuple(reshaped(x, shape) for x in others)
    return None


def _same(a: Place, b: Place) -> bool:
    return isinstance(a, View) and isinstance(b, View) and a.buffer == b.buffer


class _List:
    """The launches while pairs are joined; a place that is emptied holds None."""

    def __init__(self, launches: Sequence[Entry], sizes: list[int], results: Sequence[Place]):
        self.entries: list[Entry | None] = list(launches)
        self.sizes = sizes
        self.kept = set(buffers(tuple(results)))
        self.made: dict[int, int] = {}  # buffer -> position of the launch it is an output of
        self.reads: Counter[int] = Counter()
        self.writes: dict[Any, list[int]] = {}  # memory, as a buffer's number or an array's id -> positions
        for i, launch in enumerate(launches):
            if isinstance(launch, Launch):
                self.reads.update(buffers(launch.inputs))
                self.made.update(dict.fromkeys(buffers(launch.outs), i))
                for out in launch.outs:
                    self.writes.setdefault(_memory(out), []).append(i)

    def join(self, i: int) -> bool:
        """Fuse the launch at i with one that made an input of it."""
        consumer = self.entries[i]
        assert isinstance(consumer, Launch)
        for at, place in enumerate(consumer.inputs):
            if not isinstance(place, View) or place.buffer not in self.made or not whole(place, self.sizes):
                continue
            j = self.made[place.buffer]
            producer = self.entries[j]
            if j == i or not isinstance(producer, Launch) or producer.kernel not in HEADS:
                continue
            made = producer.outs[0]
            if not isinstance(made, View) or made.buffer != place.buffer or len(self.writes[made.buffer]) > 1:
                continue
            head, step = HEADS[producer.kernel](producer), _step(consumer, at, made.shape)
            if head is None or step is None:
                continue
            alone = self.reads[made.buffer] == 1 and made.buffer not in self.kept and len(producer.outs) == 1
            if self._replace(i, j, consumer, producer, head, step, alone):
                return True
        return False

    def _replace(
        self, i: int, j: int, consumer: Launch, producer: Launch, head: Head, step: tuple[Any, Any], alone: bool
    ) -> bool:
        name, extras = step
        if not alone:
            name = ("also", name)
        then = (*head.params["then"], name)
        if not supports(then):
            return False
        outs = tuple(reshaped(out, producer.outs[0].shape) for out in consumer.outs)
        params = {**head.params, "then": then}
        fused = Launch(head.kernel, (*head.inputs, *extras), outs, params, producer.precision)
        if alone:  # the first one moves down to the second: what it reads must not have changed by then
            if any(j < w < i for x in producer.inputs for w in self.writes.get(_memory(x), ())):
                return False
            self.entries[j], self.entries[i] = None, fused
            self.reads.subtract(buffers(producer.outs))
        else:  # the second one moves up: it reads nothing but what is ready there
            self.entries[j], self.entries[i] = fused._replace(outs=(*producer.outs, *outs)), None
            self.reads.subtract(buffers(consumer.inputs))
            for out in buffers(consumer.outs):
                self.made[out], self.writes[out] = j, [j]
        return True


def _memory(place: Place) -> Any:
    return place.buffer if isinstance(place, View) else ("array", id(root(place)))


def fuse(launches: Sequence[Entry], sizes: list[int], results: Sequence[Place]) -> list[Entry]:
    """The list with every pair joined that can be; `results` are read after the end."""
    work = _List(launches, sizes, results)
    for i, entry in enumerate(launches):
        if isinstance(entry, Launch):
            while work.entries[i] is not None and work.join(i):
                pass
    return [entry for entry in work.entries if entry is not None]


def drop_unused(launches: Sequence[Entry], results: Sequence[Place]) -> list[Entry]:
    """Without the launches whose outputs nobody reads; one that writes to an existing array stays."""
    wanted = set(buffers(tuple(results)))
    kept: list[Entry] = []
    for entry in reversed(launches):
        if isinstance(entry, Launch):
            if entry.outs and all(isinstance(o, View) and o.buffer not in wanted for o in entry.outs):
                continue
            wanted.update(buffers(entry.inputs))
        kept.append(entry)
    return kept[::-1]
