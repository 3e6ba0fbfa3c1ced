"""Reverse-mode differentiation: the graph's nodes and the walk through them.

A node is made by every op whose inputs need gradients.  It keeps the arrays its rules name, and links to the nodes of
its inputs: edges run from node to node, never through Tensors, so outputs can be freed and no reference cycle arises.
The walk is a loop, not a recursion, and visits only nodes that lead to what was asked for.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ArgumentError, DTypeError, NotDifferentiable, ShapeError, shape_text
from .kernels._devices import beside
from .modes import record
from .tensor import Tensor

if TYPE_CHECKING:
    from .primitive import Primitive


class Node:
    """One application of a primitive, or a leaf (primitive None)."""

    __slots__ = ("__weakref__", "owner", "params", "parents", "primitive", "saved", "specs", "where")

    def __init__(
        self,
        primitive: Primitive | None,
        parents: Sequence[tuple[int, Node, int]],
        saved: dict[str, Any] | None,
        params: dict[str, Any],
        specs: list[tuple[tuple[int, ...], np.dtype]],
    ):
        self.primitive = primitive
        self.parents = parents  # (which input, the node that made it, which of that node's outputs)
        self.saved = saved  # what the rules named; None once released
        self.params = params
        self.specs = specs  # shape and dtype of every output
        self.where: str | None = None  # the caller's line, kept in anomaly mode
        self.owner: weakref.ref[Tensor] | None = None  # of a leaf: the tensor whose .grad backward() fills


def leaf(x: Tensor) -> Tensor:
    """Make the constant x, in place, a tensor that gradients are taken with respect to."""
    if x.data.dtype.kind != "f":
        raise DTypeError(f"requires_grad: {x.dtype} has no gradients. Cast to float32 or float64 first.")
    x.node = Node(None, (), {}, {}, [(x.shape, x.dtype)])
    x.node.owner = weakref.ref(x)
    return x


# -- the walk ---------------------------------------------------------------------------------------------------------


def _order(roots: Sequence[Tensor], targets: set[int], stop: bool) -> list[Node]:
    """The nodes between roots and targets, every node after its parents; `stop`: do not look behind a target."""
    order: list[Node] = []
    useful: dict[int, bool] = {}  # id(node) -> leads to a target; an entry means visited
    stack: list[tuple[Node, bool]] = [(y.node, False) for y in roots if y.node is not None]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            if id(node) in targets or any(useful[id(p)] for _, p, _ in node.parents):
                useful[id(node)] = True
                order.append(node)
        elif id(node) not in useful:
            useful[id(node)] = False
            stack.append((node, True))
            if not (stop and id(node) in targets):
                stack.extend((p, False) for _, p, _ in node.parents if id(p) not in useful)
    return order


def backprop(
    ys: Sequence[Tensor],
    gs: Sequence[Tensor],
    xs: Sequence[Tensor],
    *,
    create_graph: bool = False,
    retain_graph: bool = True,
    stop: bool = False,
) -> list[Tensor | None]:
    """Cotangents of xs, given cotangents gs of ys; None where nothing flows.  `grad` is the checked front."""
    targets = {id(x.node) for x in xs if x.node is not None}
    wanted = {(id(x.node), x.out) for x in xs if x.node is not None}
    order = _order(ys, targets, stop)
    inside = {id(node) for node in order}
    cotangents: dict[tuple[int, int], Tensor] = {}

    def add(node: Node, out: int, g: Tensor) -> None:
        key = (id(node), out)
        cotangents[key] = cotangents[key] + g if key in cotangents else g

    for y, g in zip(ys, gs, strict=True):
        if y.node is not None and id(y.node) in inside:
            add(y.node, y.out, g)
    with record(create_graph):
        for node in reversed(order):
            primitive = node.primitive
            if primitive is None or (stop and id(node) in targets):
                continue
            outs = range(len(node.specs))
            arrived = [
                (cotangents.get if (id(node), i) in wanted else cotangents.pop)((id(node), i), None) for i in outs
            ]
            flows = [(i, p, out) for i, p, out in node.parents if id(p) in inside]
            if flows and any(g is not None for g in arrived):
                if node.saved is None:
                    raise NotDifferentiable(
                        f"{primitive.name}: this graph was released by an earlier gradient. "
                        f"Pass retain_graph=True to that call to differentiate it again."
                    )
                for (_, parent, out), g in zip(flows, primitive.pull(node, arrived, flows, create_graph), strict=True):
                    add(parent, out, g)
            if not retain_graph:
                node.saved = None
    return [None if x.node is None else cotangents.get((id(x.node), x.out)) for x in xs]


def _seeds(op: str, ys: Sequence[Tensor], gs: Sequence[Any]) -> list[Tensor]:
    seeds = []
    for y, g in zip(ys, gs, strict=True):
        if y.node is None:
            raise NotDifferentiable(f"{op}: y does not depend on anything that requires gradients.")
        if g is None:
            if y.size != 1:
                raise ArgumentError(f"{op}: y is {shape_text(y.shape)}. Pass its cotangent as g, or sum it first.")
            g = beside(y.data).ones(y.shape, y.dtype)
        g = g if isinstance(g, Tensor) else Tensor(beside(y.data).asarray(g, dtype=y.dtype))
        if g.shape != y.shape or g.dtype != y.dtype:
            raise ShapeError(
                f"{op}: g is {shape_text(g.shape)} {g.dtype}, y is {shape_text(y.shape)} {y.dtype}. They must be equal."
            )
        seeds.append(g)
    return seeds


def grad(
    y: Tensor | Sequence[Tensor],
    xs: Tensor | Sequence[Tensor],
    g: Any = None,
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any:
    """Gradients of y with respect to xs: a Tensor for a Tensor, a list for a list.

    y may be several tensors, and then g is their cotangents in order; without g, y must be a scalar.  `create_graph`
    records the gradients themselves, for higher orders.  The graph is released on the way unless `retain_graph`
    (default: the value of create_graph).  Raises NotDifferentiable where an x does not influence y, unless
    `allow_unused`, which gives None there.
    """
    ys = [y] if isinstance(y, Tensor) else list(y)
    targets = [xs] if isinstance(xs, Tensor) else list(xs)
    seeds = _seeds("grad", ys, [g] if isinstance(y, Tensor) else ([None] * len(ys) if g is None else g))
    retain = create_graph if retain_graph is None else retain_graph
    if not allow_unused:  # before any work, as far as can be told
        for i, x in enumerate(targets):
            if x.node is None:
                raise NotDifferentiable(f"grad: xs[{i}] {shape_text(x.shape)} does not require gradients.")
    found = backprop(ys, seeds, targets, create_graph=create_graph, retain_graph=retain)
    unused = [i for i, gx in enumerate(found) if gx is None]
    if unused and not allow_unused:
        i = unused[0]
        raise NotDifferentiable(
            f"grad: y does not depend on xs[{i}] {shape_text(targets[i].shape)}. Pass allow_unused=True for a None."
        )
    return found[0] if isinstance(xs, Tensor) else found


def backward(y: Tensor, g: Any = None, *, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Add the gradients of y to `.grad` of every leaf it depends on."""
    seeds = _seeds("backward", [y], [g])
    seen: dict[int, Node] = {}
    stack = [y.node]
    while stack:
        node = stack.pop()
        if node is not None and id(node) not in seen:
            seen[id(node)] = node
            stack.extend(p for _, p, _ in node.parents)
    owners = [node.owner() for node in seen.values() if node.owner is not None]
    leaves = [x for x in owners if x is not None]
    found = backprop([y], seeds, leaves, create_graph=create_graph, retain_graph=retain_graph or create_graph)
    for x, gx in zip(leaves, found, strict=True):
        if gx is not None:
            x.grad = gx if x.grad is None else x.grad + gx
