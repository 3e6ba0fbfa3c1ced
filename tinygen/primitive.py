"""Primitive: an op on Tensors, with rules that name what they need.

An op is a function of arrays; positional arguments are arrays, keyword-only ones are static parameters.  Its
vector-Jacobian products are given by argument name, and each rule lists by name what it takes:

    @primitive
    def mul(a, b): return kernels.elementwise.mul(a, b)

    mul.defvjp(a=lambda g, b, a_shape: sum_to(g * b, shape=a_shape), ...)

Names a rule may use: `g`, the cotangent of the output (with several outputs `g_<output>`, one each; zeros where
nothing arrived); any input, as a Tensor; any output, as a Tensor (`y` when there is one); `<input>_shape`; any
parameter; `p`, the dict of all parameters; in a variadic op (`*xs`) also `index`, which of the inputs; and any value
named by `share`, computed once for all the rules.  That list is what the node keeps, so an input that no rule names is
freed.  Rules are written in differentiable ops: every order works.  A rule of None says that the argument has no
gradient, and asking for one raises NotDifferentiable.  A fused op carries its `definition` in plain ops: the
documentation, the test oracle, and the gradient of every argument without a rule.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import autograd, modes
from .autograd import Node
from .convert import as_tensor, zeros
from .errors import DTypeError, InPlaceError, NotDifferentiable
from .tensor import Array, Tensor, Version

registry: dict[str, Primitive] = {}


class Rule(NamedTuple):
    function: Callable[..., Tensor]
    wants: tuple[str, ...]


class Saved(NamedTuple):
    """A value kept for the backward walk; `at` is its version at that moment.  An output has no node yet: it is the
    keeper itself, filled in when unpacked, so that a node never refers to itself."""

    data: Array
    node: Node | None
    out: int
    version: Version
    at: int
    is_output: bool


class Primitive:
    """A recorded op; see the module's first paragraph.  Made by `@primitive`."""

    def __init__(self, function: Callable[..., Any], outs: tuple[str, ...], view: bool, piecewise_constant: bool):
        parameters = inspect.signature(function).parameters.values()
        self.function = function
        self.name = self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function  # inspect.signature and help() show the op's own
        self.__module__ = function.__module__
        self.outs = outs
        self.inputs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
        self.params = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        self.view = view  # outputs share the first input's memory
        self.piecewise_constant = piecewise_constant  # the gradient is zero wherever it exists: outputs are constants
        self.rules: dict[str, Rule | None] = {}
        self.shared: dict[str, Rule] = {}  # what several rules use
        self.define: Callable[..., Any] | None = None
        self._needs: dict[tuple[str, ...], frozenset[str]] = {}
        registry[self.name] = self

    # -- declaring ----------------------------------------------------------------------------------------------------

    def defvjp(self, **rules: Callable[..., Tensor] | None) -> None:
        """Give a rule, or None, for inputs by name.  Raises TypeError, at import, for a name that does not exist."""
        for argument, rule in rules.items():
            if argument not in self.inputs:
                raise TypeError(f"{self.name}.defvjp: there is no input {argument!r}; the inputs are {self.inputs}")
            self.rules[argument] = None if rule is None else self._rule("defvjp", argument, rule)

    def share(self, **values: Callable[..., Any]) -> None:
        """Name a value that several rules use (one fused gradient, say), before defvjp: computed once per walk."""
        for name, value in values.items():
            self.shared[name] = self._rule("share", name, value)

    def _rule(self, method: str, name: str, function: Callable[..., Any]) -> Rule:
        cotangents = {"g"} if len(self.outs) == 1 else {f"g_{out}" for out in self.outs}
        names = {*cotangents, *self.outs, *self.inputs, *(f"{a}_shape" for a in self.inputs), *self.params, "p"}
        names |= {"index"} if self.variadic else {*self.shared}
        wants = tuple(inspect.signature(function).parameters)
        if unknown := [w for w in wants if w not in names]:
            raise TypeError(f"{self.name}.{method}({name}=): unknown {unknown}; a rule may name {sorted(names)}")
        return Rule(function, wants)

    def definition(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: the op in plain ops, with the same signature, on Tensors."""
        self.define = function
        return function

    def verify(self) -> None:
        """Raise TypeError if the gradient of some input is neither given, defined, nor refused."""
        missing = [] if self.piecewise_constant else [a for a in self.inputs if a not in self.rules]
        if missing and self.define is None:
            raise TypeError(f"{self.name}: no rule for {missing}. Give one in defvjp, None to refuse, or a definition.")
        if missing and len(self.outs) == 1 and "g" in self.inputs:
            raise TypeError(f"{self.name}: an input called g would hide from the definition. Rename it.")

    # -- running ------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **params: Any) -> Any:
        tensors = self._tensors(args)
        if self.defaults:
            params = {**self.defaults, **params}
        arrays = [t.data for t in tensors]
        values = self.function(*arrays, **params)
        ys = (values,) if len(self.outs) == 1 else values
        if modes.anomaly():
            modes.inspect_values(self.name, "the op", arrays, ys, modes.caller())
        if (witness := modes.witness()) is not None:
            witness(self.name, arrays, ys)
        node = None
        if not self.piecewise_constant and modes.recording():
            parents = [(i, t.node, t.out) for i, t in enumerate(tensors) if t.node is not None]
            if parents:
                node = self._record(tensors, parents, ys, params)
        if self.view:
            made = tuple([Tensor(y, node, i, tensors[0].version) for i, y in enumerate(ys)])
        else:
            made = tuple([Tensor(y, node if y.dtype.kind == "f" else None, i) for i, y in enumerate(ys)])
            if node is not None:
                self._version_outputs(node, made)
        return made[0] if len(self.outs) == 1 else made

    def _tensors(self, args: tuple[Any, ...]) -> list[Tensor]:
        """Arguments as Tensors of one floating type; a Python number takes the type of the other arguments."""
        dtype = None
        for a in args:
            kind = getattr(a, "dtype", None)
            if kind is not None and not isinstance(a, np.generic):
                if kind.kind != "f":
                    dtype = dtype or kind
                elif dtype is None or dtype.kind != "f":
                    dtype = kind
                elif kind != dtype:
                    mixed = ", ".join(f"{getattr(b, 'dtype', type(b).__name__)}" for b in args)
                    raise DTypeError(f"{self.name}: floating types are mixed ({mixed}). Cast one with .astype(...).")
        return [a if isinstance(a, Tensor) else as_tensor(a, dtype, self.name, args) for a in args]

    def _record(
        self, tensors: list[Tensor], parents: list[tuple[int, Node, int]], ys: Sequence[Array], params: dict[str, Any]
    ) -> Node:
        named = self.inputs if not self.variadic else self.inputs * len(tensors)
        needs = self._names_needed(tuple(dict.fromkeys(named[i] for i, _, _ in parents)))
        saved: dict[str, Any] = {}
        for name in needs:
            if name.endswith("_shape") and name[:-6] in self.inputs:
                shapes = tuple(t.shape for t in tensors)
                saved[name] = shapes if self.variadic else shapes[self.inputs.index(name[:-6])]
            elif name in self.outs:
                i = self.outs.index(name)
                version = tensors[0].version if self.view else Version()
                saved[name] = Saved(ys[i], None, i, version, version.count, True)
            elif name in self.inputs:
                kept = [Saved(t.data, t.node, t.out, t.version, t.version.count, False) for t in tensors]
                saved[name] = kept if self.variadic else kept[self.inputs.index(name)]
        node = Node(self, parents, saved, params, [(y.shape, y.dtype) for y in ys])
        if modes.anomaly():
            node.where = modes.caller()
        return node

    def _version_outputs(self, node: Node, made: tuple[Tensor, ...]) -> None:
        """A kept output and the Tensor handed out share one version counter."""
        assert node.saved is not None
        for i, name in enumerate(self.outs):
            kept = node.saved.get(name)
            if kept is not None and kept.is_output:
                made[i].version = kept.version

    def _names_needed(self, live: tuple[str, ...]) -> frozenset[str]:
        """The union of what the rules of these inputs name."""
        needs = self._needs.get(live)
        if needs is None:
            names: set[str] = set()
            for argument in live:
                if argument in self.rules:
                    rule = self.rules[argument]
                    names.update(rule.wants if rule else ())
                else:
                    names.update(self.inputs)  # the definition runs again on the inputs
            for name in reversed(self.shared):  # one may use those named before it
                names.update(self.shared[name].wants if name in names else ())
            needs = self._needs[live] = frozenset(names)
        return needs

    # -- differentiating ----------------------------------------------------------------------------------------------

    def pull(
        self, node: Node, arrived: list[Tensor | None], flows: list[tuple[int, Node, int]], create_graph: bool
    ) -> list[Tensor]:
        """Cotangents of the inputs listed in flows, from those of the outputs (None: nothing arrived)."""
        gs = [
            g if g is not None else zeros(shape, dtype, arrived)
            for g, (shape, dtype) in zip(arrived, node.specs, strict=True)
        ]
        if not modes.anomaly():
            return self._pull(node, gs, flows, create_graph)
        with modes.unwatched():  # a bad gradient is this op's, whichever op its rule is written in
            pulled = self._pull(node, gs, flows, create_graph)
        for (i, _, _), cotangent in zip(flows, pulled, strict=True):
            role = f"the gradient for {self._argument(i)}"
            modes.inspect_values(self.name, role, [g.data for g in gs], (cotangent.data,), node.where)
        return pulled

    def _pull(
        self, node: Node, gs: list[Tensor], flows: list[tuple[int, Node, int]], create_graph: bool
    ) -> list[Tensor]:
        assert node.saved is not None
        env: dict[str, Any] = {**node.params, "p": node.params}
        for name, kept in node.saved.items():
            if isinstance(kept, list):
                env[name] = [self._unpack(node, name, k) for k in kept]
            else:
                env[name] = self._unpack(node, name, kept) if isinstance(kept, Saved) else kept
        env.update({"g": gs[0]} if len(gs) == 1 else {f"g_{out}": g for out, g in zip(self.outs, gs, strict=True)})
        through = [i for i, _, _ in flows if self._argument(i) not in self.rules]
        pulled = self._through_definition(env, gs, through, create_graph) if through else {}
        for i in (i for i, _, _ in flows if i not in pulled):
            rule = self.rules[self._argument(i)]
            if rule is None:
                raise NotDifferentiable(f"{self.name}: it has no gradient with respect to {self._argument(i)}.")
            if self.variadic:
                env["index"] = i
            pulled[i] = self._apply(rule, env)
        return [pulled[i] for i, _, _ in flows]

    def _apply(self, rule: Rule, env: dict[str, Any]) -> Any:
        """The rule's value from what it names; a shared value is computed when first named."""
        for w in (w for w in rule.wants if w not in env):
            env[w] = self._apply(self.shared[w], env)
        return rule.function(**{w: env[w] for w in rule.wants})

    def _argument(self, i: int) -> str:
        return self.inputs[0] if self.variadic else self.inputs[i]

    def _unpack(self, node: Node, name: str, kept: Saved) -> Tensor:
        if kept.version.count != kept.at:
            raise InPlaceError(
                f"{self.name}: {name} was changed in place after the op had kept it "
                f"(version {kept.at}, now {kept.version.count}). Compute the gradient before the change."
            )
        return Tensor(kept.data, node if kept.is_output else kept.node, kept.out, kept.version)

    def _through_definition(
        self, env: dict[str, Any], gs: list[Tensor], which: list[int], create_graph: bool
    ) -> dict[int, Tensor]:
        """Gradients by running the definition again and differentiating that."""
        assert self.define is not None
        inputs = env[self.inputs[0]] if self.variadic else [env[a] for a in self.inputs]
        with modes.enable_grad():
            # an alias is a fresh node in front of each input: the walk stops there, and higher orders go on behind it
            entry = [alias(x) if x.node is not None else x for x in inputs]
            ys = self.define(*entry, **env["p"])
        found = autograd.backprop(
            (ys,) if len(self.outs) == 1 else ys, gs, [entry[i] for i in which], create_graph=create_graph, stop=True
        )
        pulled = [zeros(inputs[i].shape, inputs[i].dtype, inputs) if g is None else g for i, g in zip(which, found)]
        return dict(zip(which, pulled))

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join(itertools.chain(self.inputs, sorted(self.params)))})>"


def primitive(
    function: Callable[..., Any] | None = None,
    *,
    outs: tuple[str, ...] = ("y",),
    view: bool = False,
    piecewise_constant: bool = False,
) -> Any:
    """Declare an op.  `outs` names several outputs; `view`: the output shares the input's memory; `piecewise_constant`:
    the gradient is zero wherever it exists (comparisons, sign), so outputs are constants."""
    if function is not None:
        return Primitive(function, outs, view, piecewise_constant)
    return lambda f: Primitive(f, outs, view, piecewise_constant)


@primitive(view=True)
def alias(x: Array) -> Array:
    """The same array behind a new node.  x any shape -> y the same."""
    return x


alias.defvjp(x=lambda g: g)
