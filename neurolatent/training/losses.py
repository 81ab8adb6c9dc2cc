"""What each stage minimises, scan by scan, so that a bad one can be named."""

import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.model.noise import Fraction, PerSample
from neurolatent.model.vae import Posterior
from neurolatent.shapes import Latent, Volume

Support = Float[Tensor, "1 i j k"]


def absolute_error(volume: Volume, reconstruction: Volume) -> PerSample:
    """L1, averaged over voxels; it blurs less than the square."""
    return (volume - reconstruction).abs().flatten(1).mean(1)


def edge_error(volume: Volume, reconstruction: Volume) -> PerSample:
    """L1 between the differences of neighbouring voxels.

    L1 on intensities hardly notices a blurred edge, whose error is small and narrow; on differences a blurred edge
    costs as much as a missing one. It needs no pretrained network and no adversary.
    """
    difference = volume - reconstruction
    errors = [difference.diff(dim=axis).abs().flatten(1).mean(1) for axis in (2, 3, 4)]
    return torch.stack(errors).mean(0)


def divergence(posterior: Posterior) -> PerSample:
    """KL to the standard normal per latent value: Kingma & Welling 2014, appendix B (arXiv:1312.6114)."""
    mean, log_variance = posterior
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).flatten(1).mean(1)


def noise_error(noise: Latent, predicted: Latent, *, weight: Fraction, support: Support) -> PerSample:
    """w_t ‖ε − ε̂‖², averaged over the support: Ho et al. 2020, equation 14; PDAE, equation 11 (arXiv:2212.12990)."""
    squares = weight * (noise - predicted) ** 2 * support
    return squares.flatten(1).sum(1) / (support.sum() * noise.shape[1])
