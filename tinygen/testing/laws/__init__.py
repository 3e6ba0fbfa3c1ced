"""Laws that ops, models, samplers and optimizers obey, as checks that raise LawBroken with the numbers.

Each states what it compares and how closely.  A law about random draws states its false-alarm rate: how often a right
sampler with other keys would be refused.
"""

from .agreement import close, implementations_agree
from .broken import LawBroken
from .causality import causal
from .densities import density_integrates_to_one, divergence_matches_samples, probabilities_sum_to_one
from .flows import inverse_undoes_forward, jacobian, log_det_matches_jacobian
from .likelihood import elbo_is_a_bound, iwae_rises_with_k
from .linear import adjoint, linear, vjp_is_linear
from .optimizers import optimizer_path
from .samples import follows, frequencies, moments, uncorrelated

__all__ = [
    "LawBroken", "adjoint", "causal", "close", "density_integrates_to_one", "divergence_matches_samples",
    "elbo_is_a_bound", "follows", "frequencies", "implementations_agree", "inverse_undoes_forward", "iwae_rises_with_k",
    "jacobian", "linear", "log_det_matches_jacobian", "moments", "optimizer_path", "probabilities_sum_to_one",
    "uncorrelated", "vjp_is_linear",
]  # fmt: skip
