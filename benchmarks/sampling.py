"""Drawing samples, against PyTorch doing the same; PixelCNN's against the loop over all pixels that people write."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import tinygen as tg
from tinygen import ops
from tinygen.models import VAE, Model, RealNVP
from tinygen.testing.twins.layers import data

from . import parity, peers
from .peers import Side, torch_inference
from .sides import OURS, Comparison, Made, row
from .steps import CASES, KEY, Case
from .suite import Settings

TOLERANCE = 1e-4  # mean absolute difference of samples, from equal weights and noise


class Sampling(NamedTuple):
    """Which model of the training steps is sampled how many times, and how PyTorch does it."""

    case: str
    n: int
    make: Callable[[Any, Any], Callable[..., Any]]


SAMPLINGS = {
    "vae_sample": Sampling("vae_mlp", 256, torch_inference.decode),
    "realnvp_sample": Sampling("realnvp_tabular", 256, torch_inference.invert),
    "realnvp_image_sample": Sampling("realnvp_image", 16, torch_inference.invert),
    "dcgan_sample": Sampling("dcgan", 64, torch_inference.generate),
}


def noise(model: Any, n: int) -> Any:
    """The draw that `model.sample(n, key=KEY)` starts from, as a torch tensor."""
    key = KEY.fold_in("z") if isinstance(model, VAE) else KEY
    length = getattr(model, "latent", math.prod(model.shape))
    return data(ops.normal((n, length), key=key, dtype=model.dtype))


def in_the_twins_order(model: Any, z: Any) -> Any:
    """z of an image flow with every part laid out as (C, H, W) in place of (H, W, C); others as they are."""
    import torch

    if not isinstance(model, RealNVP) or len(model.shape) == 1:
        return z
    shapes = torch_inference.latent_shapes(model)
    parts = z.split([math.prod(shape) for shape in shapes], dim=1)
    return torch.cat([p.reshape(-1, h, w, c).permute(0, 3, 1, 2).flatten(1) for p, (c, h, w) in zip(parts, shapes)], 1)


def torch_side(form: str, model: Any, make: Any, z: Any) -> Side:
    """The model's twin in this form."""
    import torch

    run = torch_inference.inference(peers.TORCH[form], model, make)
    twins = in_the_twins_order(model, z)

    def fed() -> np.ndarray:
        sample = run(twins)
        return (sample.permute(0, 2, 3, 1) if sample.ndim == 4 else sample).numpy()

    return Side(fed, lambda: run(torch.randn_like(twins)))


def jax_side(model: Model, z: Any) -> Side:
    """The same as one jitted function."""
    from .peers.jax_inference import inference, samples

    return inference(model, samples(model), (z,), fixed=0, draw="normal")


def make(chosen: Sampling, side: str, settings: Settings) -> Made:
    """One side: shows the samples of one draw."""
    model: Any = CASES[chosen.case].build().eval()
    if side == OURS:
        keys, sample = map(KEY.fold_in, itertools.count()), tg.step(model.sample)
        return Made(
            lambda: {"samples": np.asarray(model.sample(chosen.n, key=KEY))},
            {"sample": lambda: sample(chosen.n, key=next(keys))},
        )
    import torch

    torch.set_num_threads(settings.threads)
    z = noise(model, chosen.n)
    peer = jax_side(model, z) if side == "jax" else torch_side(side, model, chosen.make, z)
    shape = (chosen.n, *model.shape)
    return Made(lambda: {"samples": np.asarray(peer.fed()).reshape(shape)}, {"sample": peer.fresh})


for _name, _chosen in SAMPLINGS.items():
    _forms = peers.without_optimizer(CASES[_chosen.case].forms)
    row(
        Comparison(_name, _forms, partial(make, _chosen), parity.mean_absolute, TOLERANCE, "samples"),
        "sample", group="sample", what=f"{_chosen.n} samples: {CASES[_chosen.case].what}",
    )  # fmt: skip


# -- PixelCNN, pixel by pixel ------------------------------------------------------------------------------------------

LOOPS = ("torch", "torch cropped channels-last")
PIXELS = 28  # of an image that PyTorch's loop is timed on: each pixel costs the whole network, wherever it lies


def naive(logits: Callable[..., Any], shape: tuple[int, ...], pixels: int) -> None:
    """The loop everybody writes, the whole network for every pixel, over the first `pixels` of (N, H, W, C)."""
    import torch

    n, height, width, c = shape
    x = torch.zeros(n, c, height, width)
    for i, j in itertools.islice(np.ndindex(height, width), pixels):
        x[:, :, i, j] = torch.bernoulli(torch.sigmoid(logits(x)[:, :, i, j]))


def drawn_again(x: np.ndarray, logits: Callable[..., Any]) -> np.ndarray:
    """What our sample x (N, H, W, 1) would have been with PyTorch's probabilities of the same pixels.

    Given what came before, every pixel is drawn again from the twin's probability with our key; rounding may turn one
    over where the probability is next to the uniform number that decides.
    """
    p = logits(data(x)).sigmoid().numpy()
    _, height, width, _ = x.shape
    again = np.zeros_like(x)
    for i, j in np.ndindex(height, width):
        again[:, i, j] = np.asarray(ops.bernoulli(p[:, :, i, j], key=KEY.fold_in(i * width + j)))
    return again


def make_loop(case: Case, side: str, settings: Settings) -> Made:
    """One side: ours shows a sample, a peer what it would have drawn; a peer's call draws `PIXELS` of an image."""
    model: Any = case.build().eval()
    shape = case.batch
    x = np.asarray(model.sample(shape[0], key=KEY))
    if side == OURS:
        keys = map(KEY.fold_in, itertools.count())
        return Made(lambda: {"pixels": x}, {"sample": lambda: model.sample(shape[0], key=next(keys))})
    import torch

    torch.set_num_threads(settings.threads)
    logits = torch_inference.inference(peers.TORCH[side], model, torch_inference.logits)
    return Made(
        lambda: {"pixels": drawn_again(x, logits)},
        {"sample": lambda: naive(logits, shape, PIXELS)},
        PIXELS / math.prod(shape[1:3]),
    )


_case = CASES["pixelcnn_binary"]
row(
    Comparison(
        "pixelcnn_sample", LOOPS, partial(make_loop, _case), parity.share_that_differs, 1e-4,
        "pixels drawn again from PyTorch's probabilities",
    ),
    "sample", group="sample", what=f"16 samples, the peers' from a loop over all pixels: {_case.what}",
)  # fmt: skip
