"""Drawing samples, against PyTorch doing the same; PixelCNN's against the loop over all pixels that people write."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from tinygen import ops
from tinygen.models import VAE, Model, RealNVP
from tinygen.testing.twins.layers import data

from . import peers
from .harness import BenchmarkError, quartiles
from .peers import Side, torch_inference
from .steps import CASES, KEY
from .suite import Row, Settings, benchmark, compare_sides

TOLERANCE = 1e-4  # mean absolute difference of samples, from equal weights and noise
LONGEST = 90.0  # seconds: a loop over all pixels that would take longer is timed on some of them
SOME = 28  # that many


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


def measure(name: str, settings: Settings) -> Row:
    """The row of one model: every peer's samples checked against ours, then timed in turns."""
    import torch

    torch.set_num_threads(settings.threads)
    chosen = SAMPLINGS[name]
    case = CASES[chosen.case]
    model: Any = case.build().eval()
    z, expected = noise(model, chosen.n), np.asarray(model.sample(chosen.n, key=KEY))
    sides: dict[str, Callable[[], Any]] = {}
    left_out, compile_s, worst = {}, {}, 0.0
    for form in peers.without_optimizer(case.forms):
        if missing := peers.reason_missing(form, quick=settings.quick):
            left_out[form] = missing
            continue
        side = jax_side(model, z) if form == "jax" else torch_side(form, model, chosen.make, z)
        start = perf_counter()
        sample = np.asarray(side.fed())
        compile_s[form] = perf_counter() - start
        difference = float(np.abs(sample.reshape(expected.shape) - expected).mean())
        if not difference <= TOLERANCE:
            raise BenchmarkError(f"{form}: samples differ by {difference:.2g} (mean) from ours. Not timed.")
        worst = max(worst, difference)
        sides[form] = side.fresh
    numbers = itertools.count()
    return compare_sides(
        name, f"{chosen.n} samples: {case.what}", lambda: model.sample(chosen.n, key=KEY.fold_in(next(numbers))), sides,
        settings, parity=f"samples, mean absolute difference {worst:.1g}, allowed {TOLERANCE:g}",
        compile_s=compile_s, left_out=left_out,
    )  # fmt: skip


for _name, _chosen in SAMPLINGS.items():
    _what = f"{_chosen.n} samples: {CASES[_chosen.case].what}"
    benchmark(_name, group="sample", what=_what)(partial(measure, _name))


# -- PixelCNN, pixel by pixel ------------------------------------------------------------------------------------------

LOOPS = ("torch", "torch cropped channels-last")


def naive(logits: Callable[..., Any], shape: tuple[int, ...], pixels: int) -> Callable[[], float]:
    """Seconds of the loop everybody writes: the whole network for every pixel; of the first `pixels` of them."""
    import torch

    def run() -> float:
        n, height, width, c = shape
        x, start = torch.zeros(n, c, height, width), perf_counter()
        for i, j in itertools.islice(np.ndindex(height, width), pixels):
            x[:, :, i, j] = torch.bernoulli(torch.sigmoid(logits(x)[:, :, i, j]))
        return perf_counter() - start

    return run


def check_draws(model: Any, x: np.ndarray, logits: Callable[..., Any]) -> str:
    """What our sample x (N, H, W, 1) would have been with PyTorch's probabilities of the same pixels.

    Given what came before, every pixel is drawn again from the twin's probability with our key; rounding may turn one
    over where the probability is next to the uniform number that decides.  Raises BenchmarkError for more than one in
    ten thousand.
    """
    p = logits(data(x)).sigmoid().numpy()
    _, height, width, _ = x.shape
    again = np.zeros_like(x)
    for i, j in np.ndindex(height, width):
        again[:, i, j] = np.asarray(ops.bernoulli(p[:, :, i, j], key=KEY.fold_in(i * width + j)))
    wrong = int((again != x).sum())
    if wrong > x.size / 10_000:
        raise BenchmarkError(f"pixelcnn_sample: {wrong} of {x.size} pixels differ from PyTorch's. Not timed.")
    return f"pixels drawn anew from PyTorch's probabilities: {wrong} of {x.size} differ"


@benchmark("pixelcnn_sample", group="sample", what=f"16 samples: {CASES['pixelcnn_binary'].what}")
def pixelcnn_sample(settings: Settings) -> Row:
    """Ours several times; each loop in PyTorch once, whole where that takes at most LONGEST seconds."""
    import torch

    torch.set_num_threads(settings.threads)
    case = CASES["pixelcnn_binary"]
    model: Any = case.build().eval()
    shape = case.batch
    everything = shape[1] * shape[2]
    x = np.asarray(model.sample(shape[0], key=KEY))  # compiles, too
    ours = []
    for i in range(max(3, settings.rounds)):
        start = perf_counter()
        model.sample(shape[0], key=KEY.fold_in(i))
        ours.append(1e3 * (perf_counter() - start))
    found, timed_on, left_out = {}, {}, {}
    parity = ""
    for form in LOOPS:
        if missing := peers.reason_missing(form, quick=settings.quick):
            left_out[form] = missing
            continue
        logits = torch_inference.inference(peers.TORCH[form], model, torch_inference.logits)
        parity = check_draws(model, x, logits)
        naive(logits, shape, 2)()  # warm-up
        some = 3 if settings.quick else SOME
        seconds, pixels = naive(logits, shape, some)(), some
        if not settings.quick and seconds / some * everything <= LONGEST:
            seconds, pixels = naive(logits, shape, everything)(), everything
        found[form], timed_on[form] = 1e3 * seconds / pixels * everything, pixels
    low, middle, high = quartiles(ours)
    row: Row = {
        "name": "pixelcnn_sample", "what": f"{shape[0]} samples, the peers' from a loop over all pixels: {case.what}",
        "ours_ms": middle, "spread": [low, high], "peers": found, "parity": parity, "left_out": left_out,
        "pixels_timed": timed_on, "pixels": everything,
    }  # fmt: skip
    if found:
        row["fastest"] = min(found, key=lambda form: found[form])
        row["ratio"] = found[row["fastest"]] / middle
        row["ratio_spread"] = [found[row["fastest"]] / high, found[row["fastest"]] / low]
        row["ratio_as_written"] = found[LOOPS[0]] / middle
    return row
