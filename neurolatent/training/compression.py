"""What the VAE minimises: L1, and beside it what its preset gives a weight."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from neurolatent.model.noise import PerSample
from neurolatent.model.presets import Preset
from neurolatent.model.vae import Posterior
from neurolatent.shapes import Volume
from neurolatent.training.draws import Draws
from neurolatent.training.losses import absolute_error, divergence, edge_error
from neurolatent.training.perceptual import Perceptual
from neurolatent.training.sharpness import frequency_error, structure_error

STAND_INS: Mapping[str, float] = {"structure_weight": 0.1, "frequency_weight": 4.0}
"""Weights at least, where a preset asks for a perceptual loss and no file is given: see docs/results/vae_losses.md."""


@dataclass(frozen=True)
class Attempt:
    """A batch of scans, what the VAE made of them, the posteriors on the way, and the step's draws."""

    volume: Volume
    reconstruction: Volume
    posterior: Posterior
    draws: Draws


Term = Callable[[Attempt], PerSample]


def _of_volumes(compare: Callable[[Volume, Volume], PerSample]) -> Term:
    return lambda attempt: compare(attempt.volume, attempt.reconstruction)


TERMS: Mapping[str, Term] = {
    "edge_weight": _of_volumes(edge_error),
    "kl_weight": lambda attempt: divergence(attempt.posterior),
    "structure_weight": _of_volumes(structure_error),
    "frequency_weight": _of_volumes(frequency_error),
}
"""Under the names of the preset's fields that weigh them."""


@dataclass(frozen=True)
class CompressionLoss:
    """L1 and weighted terms beside it, scan by scan."""

    terms: tuple[tuple[float, Term], ...]

    def __call__(self, attempt: Attempt) -> PerSample:
        """Return the loss of each scan."""
        loss = absolute_error(attempt.volume, attempt.reconstruction)
        for weight, term in self.terms:
            loss = loss + weight * term(attempt)
        return loss


def compression_loss(preset: Preset, perceptual: Perceptual | None = None) -> CompressionLoss:
    """Gather what a preset weighs; the perceptual term where there is a network for it, else its stand-ins."""
    terms, weights = dict(TERMS), {name: float(getattr(preset, name)) for name in TERMS}
    if perceptual is not None:
        terms["perceptual_weight"] = lambda attempt: perceptual(attempt.volume, attempt.reconstruction, attempt.draws)
        weights["perceptual_weight"] = preset.perceptual_weight
    elif preset.perceptual_weight:
        weights |= {name: max(weights[name], least) for name, least in STAND_INS.items()}
    return CompressionLoss(tuple((weights[name], term) for name, term in terms.items() if weights[name]))
