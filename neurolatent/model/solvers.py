"""From one angle to the next: each solver is what it expects the network to say along a step, and all step alike.

The angle φ = arccos √ᾱ is 0 for a clean latent and nearly π/2 for noise: z = cos φ · z_0 + sin φ · ε.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeVar

from neurolatent.errors import SettingsError
from neurolatent.model.noise import clean_from_noise, noise_from_clean
from neurolatent.shapes import Latent

Solver = Literal["ddim", "adams-bashforth", "dpm-solver++"]
Choice = TypeVar("Choice")


class Prediction(NamedTuple):
    """What a latent is made of, as the network sees it at one angle."""

    latent: Latent
    clean: Latent
    noise: Latent
    angle: float


Look = Callable[[Latent, float], Prediction]
"""Ask the network about a latent at an angle."""
Expect = Callable[[Prediction, Prediction, float], Prediction]
"""From what the network says here and said before to what holds, on average, on the way to an angle."""


def choose(kind: str, name: str, among: Mapping[str, Choice]) -> Choice:
    """Look a name up, or say which there are."""
    if name not in among:
        msg = f"Unknown {kind} {name!r}; choose from {sorted(among)}."
        raise SettingsError(msg)
    return among[name]


def split(latent: Latent, noise: Latent, angle: float) -> Prediction:
    """Take the noise out."""
    return Prediction(latent, clean_from_noise(latent, noise, math.cos(angle) ** 2), noise, angle)


def assume_clean(now: Prediction, clean: Latent) -> Prediction:
    """Put another z_0 in: the rest of the latent is noise. Not for a clean latent, which has no rest."""
    return now._replace(clean=clean, noise=noise_from_clean(now.latent, clean, math.cos(now.angle) ** 2))


def clamp(now: Prediction, limit: float) -> Prediction:
    """Keep the predicted z_0 within ±`limit`, and call the rest noise; a clean latent is what it is."""
    return assume_clean(now, now.clean.clamp(-limit, limit)) if now.angle > 0 else now


def log_ratio(angle: float) -> float:
    """λ = log(√ᾱ / √(1 − ᾱ)): half the log of the signal-to-noise ratio, infinite for a clean latent."""
    return -math.log(math.tan(angle)) if angle > 0 else math.inf


def ddim_step(now: Prediction, angle: float) -> Latent:
    """Move along the deterministic path: Song et al. 2021, equation 13, as a change of the latent."""
    clean_change = math.cos(angle) - math.cos(now.angle)
    noise_change = math.sin(angle) - math.sin(now.angle)
    return now.latent + clean_change * now.clean + noise_change * now.noise


def expect_the_same(now: Prediction, _before: Prediction, _angle: float) -> Prediction:
    """DDIM: what the network says here holds for the whole step, which turns white noise inwards by 1 − cos of it."""
    return now


def extrapolate(now: Prediction, before: Prediction, angle: float) -> Prediction:
    """Guess what the network will say half-way to `angle`: two-step Adams–Bashforth, as in PNDM (arXiv:2202.09778)."""
    share = (angle - now.angle) / (now.angle - before.angle) / 2
    return now._replace(
        clean=now.clean + share * (now.clean - before.clean), noise=now.noise + share * (now.noise - before.noise)
    )


def extrapolate_clean(now: Prediction, before: Prediction, angle: float) -> Prediction:
    """D = (1 + 1/2r) z_0 − 1/2r z_0,before: DPM-Solver++(2M), Lu et al. 2022, algorithm 2 (arXiv:2211.01095).

    r is the last step over this one, in λ. Its update, σ/σ_now z − √ᾱ (e^−h − 1) D, is a DDIM step with D for z_0.
    A step to the clean latent is infinite in λ and of first order: z_0 itself.
    """
    if angle == 0:
        return now
    here = log_ratio(now.angle)
    share = (log_ratio(angle) - here) / (here - log_ratio(before.angle)) / 2
    return assume_clean(now, now.clean + share * (now.clean - before.clean))


SOLVERS: Mapping[str, Expect] = {
    "ddim": expect_the_same,
    "adams-bashforth": extrapolate,
    "dpm-solver++": extrapolate_clean,
}


def integrate(latent: Latent, look: Look, angles: Sequence[float], *, solver: str) -> Latent:
    """Follow the angles in the order given, asking the network once per step; the first is a DDIM step for all."""
    expect = choose("solver", solver, SOLVERS)
    before: Prediction | None = None
    for here, there in pairwise(angles):
        now = look(latent, here)
        latent = ddim_step(expect(now, before, there) if before else now, there)
        before = now
    return latent
