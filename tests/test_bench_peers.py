"""The peers of the benchmarks compute what we compute: small models, every form that needs no C++ compiler."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygen as tg
from tinygen import models
from tinygen.benchmarks import evaluation, parity, peers, sampling, sides, steps, suite, work
from tinygen.benchmarks.suite import Settings
from tinygen.testing.twins import Twin

pytestmark = pytest.mark.parity

KEY = tg.Key(0)
ONE = Settings(threads=1)
SMALL: dict[str, Any] = {"vae_conv": (4, 6, 8), "dcgan": 6}  # widths; 8 for the others
SLOW = {("dcgan", "jax"), ("pixelcnn_256", "jax"), ("realnvp_image", "jax")}  # XLA compiles for up to half a minute
UNCOMPILED = [
    pytest.param(name, form, marks=[pytest.mark.exhaustive] if (name, form) in SLOW else [])
    for name, case in steps.CASES.items()
    for form in case.forms
    if "compile" not in form
]


def small(name: str, rows: int) -> steps.Case:
    """The case with a narrow model and few examples."""
    case = steps.CASES[name]
    return replace(case, width=SMALL.get(name, 8), batch=(rows, *case.batch[1:]))


def losses_agree(case: steps.Case, form: str) -> None:
    """As the benchmark checks before it times."""
    compared = sides.Comparison("", (form,), partial(steps.make, case), parity.relative, case.tolerance, "losses")
    ours, theirs = (compared.make(side, ONE) for side in (sides.OURS, form))
    shown = ours.show()
    assert np.ptp(shown["losses"], axis=0).min() > 0
    sides.check(compared, form, shown, theirs.show())
    theirs.parts["step"]()


@pytest.mark.parametrize(("name", "form"), UNCOMPILED)
def test_losses_over_three_steps(name: str, form: str) -> None:
    if form == "jax":
        pytest.importorskip("jax")
    losses_agree(small(name, 3), form)


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # PyTorch's compiler uses what it deprecates
@pytest.mark.parametrize("form", [form for form in peers.FORMS if "compile" in form])
def test_compiled_forms(form: str) -> None:
    if reason := peers.reason_missing(form):
        pytest.skip(reason)
    losses_agree(replace(small("pixelcnn_binary", 2), tolerance=1e-5), form)


@pytest.mark.parametrize(
    "name",
    [
        *("op_conv2d", "op_conv2d_input_grad", "op_conv2d_weight_grad", "op_conv2d_weight_bias_grad", "op_linear"),
        *("op_softmax", "layer_masked_conv2d", "layer_batch_norm", "gradcheck"),
    ],
)
def test_ops_and_layers_agree_in_all_forms(name: str) -> None:
    suite.load()
    compared = sides.comparisons[name]
    shown = compared.make(sides.OURS, ONE).show()
    for form in compared.forms:
        if "compile" not in form:
            theirs = compared.make(form, ONE)
            sides.check(compared, form, shown, theirs.show())
            for part in theirs.parts.values():
                part()


def test_cropped_convolutions_keep_the_live_rows() -> None:
    import torch

    model = models.PixelCNN((6, 7, 3), levels=4, channels=6, blocks=2, key=KEY)
    x = np.random.default_rng(0).integers(0, 4, (2, 6, 7, 3)).astype(np.float32)
    twin = Twin(model)
    whole = twin.loss(x, key=KEY)
    whole.backward()
    gradient = twin.net.first.weight.grad[:, :, :4].clone()
    cropped = peers.torch_forms.network(twin, peers.TORCH["torch cropped"])
    cropped.zero_grad()
    loss = cropped.loss(*twin.inputs(x, key=KEY))
    loss.backward()
    assert [block.mix.weight.shape[2] for block in cropped.blocks] == [2, 2]
    torch.testing.assert_close(loss, whole)
    torch.testing.assert_close(cropped.first.weight.grad, gradient)


def test_work_counts_every_product_once() -> None:
    """VAE d - h - D: the first layer's input needs no gradient, masks' dead taps nothing at all."""
    vae = models.VAE((5,), levels=None, decoder="gaussian", hidden=7, latent=3, key=KEY)
    n, encoder, heads, decoder = 4, 5 * 7, 2 * 7 * 3, 3 * 7 + 7 * 10
    counted = work.training_step(vae, np.zeros((n, 5), np.float32))
    assert counted.flops == 2 * n * (2 * encoder + 3 * heads + 3 * decoder)
    assert counted.bytes == 28 * vae.parameter_count()

    pixelcnn = models.PixelCNN((6, 6, 1), levels=2, channels=4, blocks=1, head=4, key=KEY)
    first, block, last = 24 * 8, 8 * 4 + 5 * 4 * 4 + 4 * 8, 8 * 4 + 4
    counted = work.training_step(pixelcnn, np.zeros((n, 6, 6, 1), np.float32))
    assert counted.flops == 2 * n * 36 * (2 * first + 3 * block + 3 * last)


def test_work_of_a_flow_on_rows() -> None:
    """Half of the first and last products meets zeros of the mask; the first coupling's input needs no gradient."""
    model, n = models.RealNVP((6,), hidden=5, couplings=3, key=KEY), 4
    first, middle, last = 3 * 5, 5 * 5, 5 * 6
    counted = work.training_step(model, np.ones((n, 6), np.float32))
    assert counted.flops == 2 * n * (3 * 3 * (first + middle + last) - first)


def test_work_of_a_gan() -> None:
    """The discriminator's step runs the generator forward; the generator's needs no gradient of the discriminator."""
    gan = models.GAN((5,), hidden=6, latent=3, key=KEY)
    n = 4
    g, d = 3 * 6 + 36 + 36 + 6 * 5, 5 * 6 + 36 + 36 + 6
    discriminator = g + 2 * (3 * d - 5 * 6)
    generator = (3 * g - 3 * 6) + 2 * d
    assert work.training_step(gan, np.zeros((n, 5), np.float32)).flops == 2 * n * (discriminator + generator)


@pytest.mark.parametrize("form", ["torch", "jax"])
@pytest.mark.parametrize("name", ["vae_evaluate", "pixelcnn_evaluate", "realnvp_evaluate"])
def test_figures_of_an_evaluation(name: str, form: str) -> None:
    chosen = evaluation.EVALUATIONS[name]
    model, x = steps.CASES[chosen.case].build(8).eval(), steps.CASES[chosen.case].data(3)
    given = evaluation.inputs(model, x)
    expected = [values.data.mean() for values in model.evaluate(x, key=KEY).values()]
    if form == "jax":
        pytest.importorskip("jax")
        side = evaluation.jax_side(model, given)
    else:
        side = evaluation.torch_side(form, model, chosen.make, given, 1)
    np.testing.assert_allclose([float(f) for f in side.fed()], expected, rtol=2e-6)
    assert len(side.fresh()) == len(expected)


@pytest.mark.parametrize(
    ("name", "form"),
    [*((name, form) for name in sampling.SAMPLINGS for form in ("torch", "jax")), ("realnvp_sample", "torch cropped")],
)
def test_samples_from_equal_noise(name: str, form: str) -> None:
    chosen = sampling.SAMPLINGS[name]
    model = steps.CASES[chosen.case].build(SMALL.get(chosen.case, 8)).eval()
    z = sampling.noise(model, 3)
    if form == "jax":
        pytest.importorskip("jax")
        side = sampling.jax_side(model, z)
    else:
        side = sampling.torch_side(form, model, chosen.make, z)
    expected = np.asarray(model.sample(3, key=KEY))
    assert np.abs(np.asarray(side.fed()).reshape(expected.shape) - expected).mean() < 1e-5
    assert side.fresh().shape[0] == 3


def test_pixelcnn_samples_are_drawn_from_the_twins_probabilities() -> None:
    model = models.PixelCNN((6, 7, 1), levels=2, channels=4, blocks=1, key=KEY)
    x = np.array(model.sample(5, key=KEY))
    logits = peers.torch_inference.inference(peers.TORCH["torch"], model, peers.torch_inference.logits)
    np.testing.assert_array_equal(sampling.drawn_again(x, logits), x)
    sampling.naive(logits, x.shape, 3)


def test_more_weights_give_a_tighter_bound() -> None:
    case = steps.CASES["vae_mlp"]
    model, x = case.build(8).eval(), case.data(3)
    x_, eps, eps_k = evaluation.inputs(model, x)
    bound = [
        float(evaluation.torch_side("torch", model, peers.torch_inference.bounds, (x_, eps, e), 1).fed()[1])
        for e in (eps_k[:, :1], eps_k)
    ]
    assert bound[1] < bound[0]
