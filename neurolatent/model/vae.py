"""The VAE: a scan to a quarter of its resolution and back; all work happens below half resolution."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurolatent.model.blocks import (
    ResidualBlock,
    convolution,
    depth_to_space,
    full_precision,
    normalisation,
    space_to_depth,
)
from neurolatent.shapes import Latent, Volume

Compressed = Float[Tensor, "batch channel coarse_i coarse_j coarse_k"]
"""A latent in one signature with a volume, whose extents are others."""

CUBE = 8
"""Voxels that the stem folds into channels."""
LOG_VARIANCE_LIMITS = (-30.0, 20.0)


class Posterior(NamedTuple):
    """A Gaussian over latents, per voxel and channel."""

    mean: Latent
    log_variance: Latent


class VAE(nn.Module):
    """Encoder and decoder; the latent is four times smaller along each axis."""

    def __init__(self, *, widths: tuple[int, ...], latent_channels: int) -> None:
        super().__init__()
        half, quarter = widths
        self.encoder = nn.Sequential(
            convolution(CUBE, half),
            ResidualBlock(half, half),
            convolution(half, quarter, stride=2),
            ResidualBlock(quarter, quarter),
            normalisation(quarter),
            nn.SiLU(),
            convolution(quarter, 2 * latent_channels),
        )
        self.bottom = nn.Sequential(
            convolution(latent_channels, quarter),
            ResidualBlock(quarter, quarter),
            ResidualBlock(quarter, quarter),
            nn.Conv3d(quarter, CUBE * half, 1),
        )
        self.top = nn.Sequential(ResidualBlock(half, half), normalisation(half), nn.SiLU(), convolution(half, CUBE))

    def encode(self, volume: Volume) -> Posterior:
        """Return the Gaussian over latents, in float32."""
        mean, log_variance = full_precision(self.encoder(space_to_depth(volume))).chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(*LOG_VARIANCE_LIMITS))

    def decode(self, latent: Compressed) -> Volume:
        """Return intensities, not yet limited to [0, 1]."""
        return full_precision(depth_to_space(self.top(depth_to_space(self.bottom(latent)))))


def sample_posterior(posterior: Posterior, noise: Latent) -> Latent:
    """Reparametrise: Kingma & Welling 2014, equation 10 (arXiv:1312.6114)."""
    return posterior.mean + torch.exp(0.5 * posterior.log_variance) * noise
