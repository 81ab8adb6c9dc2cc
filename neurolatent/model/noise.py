"""The noise schedule, and each equation that depends on it once."""

import math
from bisect import bisect_left
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
Signal = Fraction | float
"""ᾱ of each sample, or of all."""
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


def angle_at(timestep: int) -> float:
    """φ = arccos √ᾱ: 0 for a clean latent, nearly π/2 for noise (Salimans & Ho 2022, appendix D, arXiv:2202.00512)."""
    return math.acos(math.sqrt(signal_at(timestep)))


@cache
def angles() -> tuple[float, ...]:
    """Return φ of each timestep that a network knows: ascending."""
    return tuple(angle_at(timestep) for timestep in range(TIMESTEPS))


def timestep_at(angle: float) -> int:
    """Return the first timestep that reaches an angle: 0 for a clean latent, for no network knows `CLEAN`."""
    return bisect_left(angles(), angle)


def gather_signal(timestep: Timestep) -> Fraction:
    """Return ᾱ of each sample, ready to multiply latents."""
    table = signal_fractions().to(timestep.device, torch.float32)
    return table[timestep][:, None, None, None, None]


def add_noise(clean: Latent, noise: Latent, signal: Fraction) -> Latent:
    """Mix signal and noise: Ho et al. 2020, equation 4."""
    return signal.sqrt() * clean + (1 - signal).sqrt() * noise


def clean_from_noise(noisy: Latent, noise: Latent, signal: Signal) -> Latent:
    """z_0 = (z_t − √(1 − ᾱ) ε) / √ᾱ: Song et al. 2021, equation 9 (arXiv:2010.02502); nothing is clamped."""
    return (noisy - (1 - signal) ** 0.5 * noise) / signal**0.5


def noise_from_clean(noisy: Latent, clean: Latent, signal: Signal) -> Latent:
    """ε = (z_t − √ᾱ z_0) / √(1 − ᾱ): equation 4 of Ho et al. 2020, solved for the noise."""
    return (noisy - signal**0.5 * clean) / (1 - signal) ** 0.5


def velocity_of(clean: Latent, noise: Latent, signal: Signal) -> Latent:
    """Return v = √ᾱ ε − √(1 − ᾱ) z_0: Salimans & Ho 2022, appendix D (arXiv:2202.00512)."""
    return signal**0.5 * noise - (1 - signal) ** 0.5 * clean


def clean_from_velocity(noisy: Latent, velocity: Latent, signal: Signal) -> Latent:
    """z_0 = √ᾱ z_t − √(1 − ᾱ) v: Salimans & Ho 2022, appendix D."""
    return signal**0.5 * noisy - (1 - signal) ** 0.5 * velocity


def noise_from_velocity(noisy: Latent, velocity: Latent, signal: Signal) -> Latent:
    """ε = √(1 − ᾱ) z_t + √ᾱ v: Salimans & Ho 2022, appendix D."""
    return (1 - signal) ** 0.5 * noisy + signal**0.5 * velocity


def signal_to_noise(signal: Fraction) -> Fraction:
    """SNR_t = ᾱ_t / (1 − ᾱ_t)."""
    return signal / (1 - signal)


def shift_noise(noise: Latent, gradient: Latent, signal: Fraction) -> Latent:
    """ε̂ = ε_θ − √(1 − ᾱ_t) · G: PDAE, equation 9 (arXiv:2212.12990), in training and in sampling alike.

    The published program trains with `published_shifts` instead of −√(1 − ᾱ_t), and samples with this: its gradient
    estimator meets another scale than it was trained for.
    """
    return noise - (1 - signal).sqrt() * gradient


@cache
def published_shifts() -> Schedule:
    """s_t = −√α_t (1 − ᾱ_{t−1}) / √(1 − ᾱ_t): Zhang et al. 2022 (arXiv:2212.12990); 0 at the first timestep."""
    signal = signal_fractions()
    before = torch.cat([signal.new_ones(1), signal[:-1]])
    return -(1 - betas()).sqrt() * (1 - before) / (1 - signal).sqrt()


def gather_published_shift(timestep: Timestep) -> Fraction:
    """Return s_t of each sample, ready to multiply latents."""
    table = published_shifts().to(timestep.device, torch.float32)
    return table[timestep][:, None, None, None, None]


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
