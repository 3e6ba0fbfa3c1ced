"""Numbers that say how good a model is.  A NaN is never dropped on the way: it raises NonFiniteError."""

from .likelihood import bits_per_dim, bits_to_nats, iwae_from_log_weights, nats_to_bits
from .samples import ModeCoverage, mmd, mode_coverage

__all__ = [
    "ModeCoverage", "bits_per_dim", "bits_to_nats", "iwae_from_log_weights", "mmd", "mode_coverage", "nats_to_bits",
]  # fmt: skip
