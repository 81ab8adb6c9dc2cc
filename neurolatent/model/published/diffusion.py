"""What the published program computes with its networks: the loss in training, and DDIM there and back."""

from functools import cache

import torch

from neurolatent.errors import SettingsError
from neurolatent.model import sampler
from neurolatent.model.noise import (
    TIMESTEPS,
    Fraction,
    PerSample,
    Schedule,
    betas,
    gather_signal,
    published_weight,
    shift_noise,
    signal_fractions,
)
from neurolatent.model.published.unet import Decoder, Step
from neurolatent.model.sampler import PredictNoise
from neurolatent.shapes import Code, Latent, Timestep

PUBLISHED_LIMIT = 1.0
"""Where the published program clamps the predicted z_0: inside unit variance, so that it clips what it should keep."""


@cache
def training_shifts() -> Schedule:
    """s_t = −√α_t (1 − ᾱ_{t−1}) / √(1 − ᾱ_t): Zhang et al. 2022 (arXiv:2212.12990); 0 at the first timestep."""
    signal = signal_fractions()
    before = torch.cat([signal.new_ones(1), signal[:-1]])
    return -(1 - betas()).sqrt() * (1 - before) / (1 - signal).sqrt()


def gather_shift(timestep: Timestep) -> Fraction:
    """Return s_t of each sample, ready to multiply latents."""
    table = training_shifts().to(timestep.device, torch.float32)
    return table[timestep][:, None, None, None, None]


def representation_loss(step: Step, noise: Latent, timestep: Timestep) -> PerSample:
    """w_t · ‖ε − ε_θ − s_t G‖² of each sample, averaged over its values; the mean over samples is what falls.

    Sampling shifts ε_θ by −√(1 − ᾱ_t) instead of s_t: see `predictor`.
    """
    missed = noise - step.noise - gather_shift(timestep) * step.gradient
    return (published_weight(gather_signal(timestep)) * missed**2).flatten(1).mean(1)


def predictor(decoder: Decoder, code: Code) -> PredictNoise:
    """Return what predicts ε̂ = ε_θ − √(1 − ᾱ_t) G for samples of this code."""

    def predict(noisy: Latent, timestep: int) -> Latent:
        timesteps = torch.full((len(noisy),), timestep, device=noisy.device)
        step: Step = decoder(noisy, timesteps, code)
        return shift_noise(step.noise, step.gradient, gather_signal(timesteps))

    return predict


def published_trajectory(steps: int) -> tuple[int, ...]:
    """Return `steps` + 1 evenly spaced timesteps, rounded down; z_0 itself is taken for the latent of timestep 0."""
    if not 1 <= steps < TIMESTEPS:
        msg = f"Expected 1 to {TIMESTEPS - 1} sampling steps, got {steps}. The published figures rest on 10 to 100."
        raise SettingsError(msg)
    return tuple(step * (TIMESTEPS - 1) // steps for step in range(steps + 1))


def encode_to_noise(clean: Latent, predict: PredictNoise, *, steps: int, limit: float | None = None) -> Latent:
    """Follow the published path from z_0 to z_T; parity needs `limit=PUBLISHED_LIMIT`."""
    path = published_trajectory(steps)
    return sampler.encode_to_noise(clean, predict, steps=path, solver="ddim", limit=limit)


def decode_from_noise(noise: Latent, predict: PredictNoise, *, steps: int, limit: float | None = None) -> Latent:
    """Follow the published path from z_T to z_0; parity needs `limit=PUBLISHED_LIMIT`."""
    path = published_trajectory(steps)
    return sampler.decode_from_noise(noise, predict, steps=path, solver="ddim", limit=limit)
