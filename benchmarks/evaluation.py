"""Likelihoods and bounds of a batch, without gradients, against PyTorch and JAX doing the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import tinygen as tg
from tinygen import ops
from tinygen.models import VAE, Model, RealNVP
from tinygen.testing.twins import Twin
from tinygen.testing.twins.layers import data

from . import parity, peers
from .peers import Side, torch_inference
from .sides import OURS, Comparison, Made, row
from .steps import CASES, KEY
from .suite import Settings

TOLERANCE = 1e-5  # relative difference of mean figures in nats, from equal weights, data and noise


class Evaluation(NamedTuple):
    """Which model of the training steps is evaluated on how many examples, and how PyTorch does it."""

    case: str
    rows: int
    make: Callable[[Any, Any], Callable[..., Any]]
    what: str


EVALUATIONS = {
    "vae_evaluate": Evaluation("vae_mlp", 50, torch_inference.bounds, "ELBO and bound of 100 weights, 50 images"),
    "pixelcnn_evaluate": Evaluation("pixelcnn_binary", 16, torch_inference.likelihood, "likelihood of 16 images"),
    "realnvp_evaluate": Evaluation("realnvp_tabular", 256, torch_inference.likelihood, "likelihood of 256 rows"),
    "realnvp_image_evaluate": Evaluation("realnvp_image", 16, torch_inference.likelihood, "likelihood of 16 images"),
}  # fmt: skip


def inputs(model: Model, x: np.ndarray) -> tuple[Any, ...]:
    """What the peers' functions take for `model.evaluate(x, key=KEY)`: torch tensors, data first, then noise."""
    given = Twin(model).inputs(x, key=KEY)
    if isinstance(model, VAE):
        shape = (len(x) * model.iwae_samples, model.latent)
        eps = ops.normal(shape, key=KEY.fold_in("eps"), dtype=model.dtype)
        given += (data(eps).reshape(len(x), model.iwae_samples, -1),)
    return given


def torch_side(form: str, model: Model, make: Any, given: tuple[Any, ...], threads: int) -> Side:
    """The model's twin in this form."""
    import torch

    torch.set_num_threads(threads)
    run = torch_inference.inference(peers.TORCH[form], model, make)
    draw = torch.rand_like if isinstance(model, RealNVP) else torch.randn_like
    return Side(lambda: run(*given), lambda: run(given[0], *map(draw, given[1:])))


def jax_side(model: Model, given: tuple[Any, ...]) -> Side:
    """The same as one jitted function."""
    from .peers.jax_inference import figures, inference

    return inference(model, figures(model), given, fixed=1, draw="uniform" if isinstance(model, RealNVP) else "normal")


def make(chosen: Evaluation, side: str, settings: Settings) -> Made:
    """One side: shows the mean figures of the batch."""
    case = CASES[chosen.case]
    model, x = case.build().eval(), case.data(chosen.rows)
    if side == OURS:
        keys, evaluate = map(KEY.fold_in, itertools.count()), tg.step(model.evaluate)
        return Made(
            lambda: {"figures": np.array([values.data.mean() for values in model.evaluate(x, key=KEY).values()])},
            {"evaluate": lambda: evaluate(x, key=next(keys))},
        )
    given = inputs(model, x)
    peer = jax_side(model, given) if side == "jax" else torch_side(side, model, chosen.make, given, settings.threads)
    return Made(lambda: {"figures": np.array([float(figure) for figure in peer.fed()])}, {"evaluate": peer.fresh})


for _name, _chosen in EVALUATIONS.items():
    _forms = peers.without_optimizer(CASES[_chosen.case].forms)
    row(
        Comparison(_name, _forms, partial(make, _chosen), parity.relative, TOLERANCE, "mean figures"),
        "evaluate", group="evaluate", what=f"evaluation: {CASES[_chosen.case].what}: {_chosen.what}",
    )  # fmt: skip
