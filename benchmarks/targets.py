"""What the engine sets out to reach, on two cores: a row, the entry of it that counts, and its least value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .suite import Row


class Target(NamedTuple):
    """`row[entry] >= least`; for a ratio the peer's time over ours."""

    name: str
    entry: str
    least: float


TARGETS = (
    Target("vae_mlp_step", "ratio", 1.3),
    Target("vae_conv_step", "ratio", 1.3),
    Target("pixelcnn_binary_step", "ratio", 1.5),
    Target("pixelcnn_binary_step", "ratio_as_written", 2.0),
    Target("pixelcnn_256_step", "ratio", 1.5),
    Target("pixelcnn_256_step", "ratio_as_written", 2.0),
    Target("realnvp_tabular_step", "ratio", 2.0),
    Target("realnvp_image_step", "ratio", 1.4),
    Target("dcgan_step", "ratio", 1.4),
    Target("pixelcnn_sample", "ratio", 300.0),
    Target("kernel_share", "share_of_limit", 0.85),
    Target("bandwidth_share", "share_of_limit", 0.85),
    Target("memory", "ratio", 1.0),
    Target("start", "ratio", 1.0),
)


# For a reader who finds one missed: where the rest of the time is, and what was tried.
TRIED = {
    "vae_mlp_step": (
        "Five large products take three quarters of the step, at 0.9 of the machine's rate; Adam is next, "
        "bound by division and square root. Neighbouring launches run in one compiled call. mu and log_var as "
        "one product would save about 1 %, for 40 columns fill two panels as well. The rest is two threads "
        "waiting for each other."
    ),
    "pixelcnn_binary_step": (
        "3x3 convolutions compute live taps only, at 0.85 to 0.93 of the rate; 1x1 ones whose epilogue reads "
        "a residual or an activation reach 0.6, bound by memory. Not tried: a block's three convolutions tile "
        "by tile."
    ),
    "realnvp_tabular_step": (
        "What masks kill is left out, as in the fastest peer; 160 launches run in nine compiled calls. "
        "Products of 256x128x128 reach 0.87 to 0.9 of the rate, those with 32 and 64 columns 0.75 to 0.87: "
        "two threads wait about 1 us at the end of each. 1.97 and 2.08 in two runs. Not tried: splitting the rows "
        "once, each thread running the whole chain on its half."
    ),
    "realnvp_image_step": (
        "Convolutions between 32 channels run at 0.9 of the rate, those from 32 to 6, 12 and 24 at 0.4 to "
        "0.65, for their panels are 32 wide. Not tried: a tile of one vector."
    ),
    "dcgan_step": (
        "Nine tenths of the step are 4x4 convolutions at 0.85 to 0.95 of the rate in every direction; those "
        "to and from three channels reach 0.4 to 0.8. Blocks of weight gradients were halved to stay in the "
        "second cache."
    ),
    "kernel_share": (
        "Large products reach 0.87 to 0.98. Every kind counts once, and many are small: one to 48 output "
        "channels in panels 32 wide, one output column (bound by memory, not by arithmetic), and products "
        "that take less than 0.1 ms, where two threads wait for each other. Not tried: a tile of one vector."
    ),
    "memory": (
        "Weights are moved into one block of the optimizer, activations and gradients share one planned block. The "
        "convolutional VAE, the worst, is level with PyTorch's fused Adam: 0.99 and 1.02 in two runs."
    ),
    "start": (
        "The body of a loop is compiled once, inside the loop; helpers get no wrapper and no literal types. A "
        "product takes 1 to 1.4 s, half of it LLVM's passes. Kernels are compiled when first launched, one "
        "after another."
    ),
}
TRIED["pixelcnn_256_step"] = TRIED["pixelcnn_binary_step"]


class Outcome(NamedTuple):
    """A target and what was measured; None where there is no figure."""

    target: Target
    value: float | None

    @property
    def met(self) -> bool:
        return self.value is not None and self.value >= self.target.least


def outcomes(rows: Sequence[Row]) -> list[Outcome]:
    """Every target whose row was run."""
    found = {row["name"]: row for row in rows}
    return [Outcome(t, found[t.name].get(t.entry)) for t in TARGETS if t.name in found]


def least(name: str, entry: str = "ratio") -> float | None:
    """The target of one entry, if it has one."""
    return next((t.least for t in TARGETS if (t.name, t.entry) == (name, entry)), None)
