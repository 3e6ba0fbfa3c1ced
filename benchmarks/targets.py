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
    tried: str = ""  # where it is hard to reach: what has been tried, for a reader who finds it missed


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
