"""DDIM in both directions, for any function that predicts the noise."""

import math
from collections.abc import Callable
from itertools import pairwise

from neurolatent.errors import SettingsError
from neurolatent.model.noise import CLEAN, TIMESTEPS, signal_at
from neurolatent.shapes import Latent

PredictNoise = Callable[[Latent, int], Latent]
"""From a noisy latent and its timestep (0 … 999) to the noise in it."""


def trajectory(steps: int) -> tuple[int, ...]:
    """Return `steps` + 1 timesteps from `CLEAN` to the last, evenly spaced."""
    if not 1 <= steps <= TIMESTEPS:
        msg = f"Expected 1 to {TIMESTEPS} sampling steps, got {steps}. 10 to 20 suffice."
        raise SettingsError(msg)
    return tuple(round(CLEAN + TIMESTEPS * step / steps) for step in range(steps + 1))


def ddim_step(latent: Latent, noise: Latent, *, signal_from: float, signal_to: float) -> Latent:
    """Move along the deterministic path: Song et al. 2021, equation 13 (arXiv:2010.02502); nothing is clamped."""
    clean = (latent - math.sqrt(1 - signal_from) * noise) / math.sqrt(signal_from)
    return math.sqrt(signal_to) * clean + math.sqrt(1 - signal_to) * noise


def encode_to_noise(clean: Latent, predict: PredictNoise, *, steps: int) -> Latent:
    """Follow the path from z_0 to z_T."""
    return _follow(clean, predict, trajectory(steps))


def decode_from_noise(noise: Latent, predict: PredictNoise, *, steps: int) -> Latent:
    """Follow the path from z_T to z_0."""
    return _follow(noise, predict, trajectory(steps)[::-1])


def _follow(latent: Latent, predict: PredictNoise, path: tuple[int, ...]) -> Latent:
    for here, there in pairwise(path):
        noise = predict(latent, max(here, 0))  # no network knows the clean timestep: the first noisy one stands in
        latent = ddim_step(latent, noise, signal_from=signal_at(here), signal_to=signal_at(there))
    return latent
