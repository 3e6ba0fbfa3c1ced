"""Training steps in JAX: one jitted function of the weights, Adam's averages and the batch, its buffers donated.

XLA sizes its pool of threads by the variable NPROC, which `harness.use_threads` sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from tinygen.models import Model, RealNVP
from tinygen.random import Key
from tinygen.testing.twins import Twin

from .jax_models import losses

Inputs = Mapping[str, tuple[Any, ...]]

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class JaxPeer:
    """A training step of `model` on the batch x; see `Peer`."""

    def __init__(self, model: Model, x: np.ndarray, rate: float):
        import jax
        from jax import numpy as jnp

        names = {id(p): name for name, p in model.named_parameters()}
        self.losses, self.rate = losses(model), rate
        self.groups = {n: [names[id(p)] for p in o.parameters] for n, o in model.objectives().items()}
        # copied, for JAX may share an array's memory, and a donated buffer is written into
        weights = {name: jnp.array(value, copy=True) for name, value in model.state_dict().items()}
        averages = {w: (jnp.zeros_like(weights[w]), jnp.zeros_like(weights[w])) for w in names.values()}
        self.state = (weights, averages, jnp.zeros((), "int32"), jax.random.key(0))
        self.draw = jax.random.uniform if isinstance(model, RealNVP) else jax.random.normal
        self.step = jax.jit(self._step, static_argnames="fresh", donate_argnums=0)
        twin = Twin(model)
        self.inputs = {n: channels_last(twin.inputs(x, key=Key(0), objective=n)) for n in self.losses}

    def feed(self, inputs: Inputs) -> list[float]:
        """One step on these inputs, noise included; the loss of each objective."""
        given = {name: channels_last(arrays) for name, arrays in inputs.items()}
        self.state, done = self.step(self.state, given, fresh=False)
        return [float(loss) for loss in done]

    def __call__(self) -> Any:
        """One step on the batch, with fresh noise; waits for it."""
        import jax

        self.state, done = self.step(self.state, self.inputs, fresh=True)
        return jax.block_until_ready((self.state, done))

    def _step(self, state: Any, inputs: Inputs, *, fresh: bool) -> Any:
        """Every objective in turn: its loss, the gradients of its own weights, Adam."""
        import jax

        weights, averages, count, key = state
        count, done = count + 1, []
        for name, loss in self.losses.items():
            key, use = jax.random.split(key)
            given = self._fresh(name, inputs[name], use) if fresh else inputs[name]
            compute = jax.value_and_grad(partial(_loss_of, loss, weights, given), has_aux=True)
            (value, statistics), gradients = compute({w: weights[w] for w in self.groups[name]})
            weights, averages = {**weights, **statistics}, dict(averages)
            for w, g in gradients.items():
                weights[w], averages[w] = _adam(weights[w], averages[w], g, count, self.rate)
            done.append(value)
        return (weights, averages, count, key), done

    def _fresh(self, name: str, given: tuple[Any, ...], key: Any) -> tuple[Any, ...]:
        """The batch as it is, noise drawn anew: an objective takes the batch first, but a generator noise alone."""
        kept = 0 if name == "generator" else 1
        return (*given[:kept], *(self.draw(key, a.shape) for a in given[kept:]))


def _loss_of(loss: Any, weights: Any, inputs: tuple[Any, ...], own: Any) -> Any:
    """The loss as a function of the weights that are trained, the rest constant."""
    return loss({**weights, **own}, *inputs)


def _adam(weight: Any, averages: Any, g: Any, count: Any, rate: float) -> tuple[Any, Any]:
    """The new weight and averages (Kingma and Ba 2015, algorithm 1)."""
    from jax import numpy as jnp

    t = count.astype("float32")
    m = BETA1 * averages[0] + (1 - BETA1) * g
    v = BETA2 * averages[1] + (1 - BETA2) * g * g
    return weight - rate * (m / (1 - BETA1**t)) / (jnp.sqrt(v / (1 - BETA2**t)) + EPS), (m, v)


def channels_last(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """A twin's inputs (N, C, H, W) or (N, D) as JAX arrays (N, H, W, C) or (N, D)."""
    from jax import numpy as jnp

    return tuple(jnp.array((a.permute(0, 2, 3, 1) if a.ndim == 4 else a).numpy(), copy=True) for a in inputs)
