"""The noise schedule, and each equation that depends on it once."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.shapes import Latent, Timestep

TIMESTEPS = 1000
FIRST_BETA, LAST_BETA = 1e-4, 0.02
CLEAN = -1
"""The timestep before the first noise: all signal."""
Fraction = Float[Tensor, "batch 1 1 1 1"]
Schedule = Float[Tensor, " timestep"]
PerSample = Float[Tensor, " batch"]


@cache
def betas() -> Schedule:
    """Return the variance that each timestep adds: linear, Ho et al. 2020, section 4 (arXiv:2006.11239)."""
    return torch.linspace(FIRST_BETA, LAST_BETA, TIMESTEPS, dtype=torch.float64)


@cache
def signal_fractions() -> Schedule:
    """ᾱ_t = ∏(1 − β_s), s ≤ t: Ho et al. 2020, equation 4."""
    return torch.cumprod(1 - betas(), dim=0)


def signal_at(timestep: int) -> float:
    """Return ᾱ at a timestep; 1 at `CLEAN`."""
    return 1.0 if timestep == CLEAN else float(signal_fractions()[timestep])


def gather_signal(timestep: Timestep) -> Fraction:
    """Return ᾱ of each sample, ready to multiply latents."""
    table = signal_fractions().to(timestep.device, torch.float32)
    return table[timestep][:, None, None, None, None]


def add_noise(clean: Latent, noise: Latent, signal: Fraction) -> Latent:
    """Mix signal and noise: Ho et al. 2020, equation 4."""
    return signal.sqrt() * clean + (1 - signal).sqrt() * noise


def signal_to_noise(signal: Fraction) -> Fraction:
    """SNR_t = ᾱ_t / (1 − ᾱ_t)."""
    return signal / (1 - signal)


def shift_noise(noise: Latent, gradient: Latent, signal: Fraction) -> Latent:
    """ε̂ = ε_θ − √(1 − ᾱ_t) · G: PDAE, equation 9 (arXiv:2212.12990), in training and in sampling alike.

    The published program trains with s_t = −√α_t (1 − ᾱ_{t−1}) / √(1 − ᾱ_t) instead of −√(1 − ᾱ_t), and samples
    with this: its decoder meets another scale than it was trained for.
    """
    return noise - (1 - signal).sqrt() * gradient


def published_weight(signal: Fraction) -> Fraction:
    """w_t = SNR^0.1 / (1 + SNR): PDAE, equation 12."""
    ratio = signal_to_noise(signal)
    return ratio**0.1 / (1 + ratio)


def clean_weight(signal: Fraction, *, floor: float = 0.05) -> Fraction:
    """w_t = 1 / (SNR + floor): the error of the predicted z_0, but for the noisiest steps, which know nothing.

    Against `published_weight` it moves the effort to noisy steps, where the code is the only source of the anatomy.
    """
    return 1 / (signal_to_noise(signal) + floor)


def velocity_weight(signal: Fraction) -> Fraction:
    """w_t = 1 / ᾱ_t: turns the error of ε into that of v = √ᾱ ε − √(1 − ᾱ) z_0 (arXiv:2202.00512, appendix D)."""
    return 1 / signal
