"""What each construction's denoiser and gradient estimator learn from: weights of timesteps, and the code's share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from neurolatent.model.noise import (
    Fraction,
    clean_weight,
    gather_published_shift,
    gather_signal,
    published_weight,
    velocity_weight,
)
from neurolatent.model.presets import Construction
from neurolatent.shapes import Timestep


@dataclass(frozen=True)
class Objective:
    """How the error of the predicted noise counts at each timestep."""

    denoiser_weight: Callable[[Fraction], Fraction]
    autoencoder_weight: Callable[[Fraction], Fraction]
    shift: Callable[[Timestep], Fraction]
    """What the gradient estimator's output is multiplied by before it is added to the predicted noise."""


def sampling_shift(timestep: Timestep) -> Fraction:
    """−√(1 − ᾱ_t): what sampling adds of the gradient."""
    return -((1 - gather_signal(timestep)) ** 0.5)


def plain_weight(signal: Fraction) -> Fraction:
    """1: Ho et al. 2020, equation 14."""
    return signal**0


OBJECTIVES: Mapping[Construction, Objective] = {
    "compact": Objective(velocity_weight, clean_weight, sampling_shift),
    "published": Objective(plain_weight, published_weight, gather_published_shift),
}
