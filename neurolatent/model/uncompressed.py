"""Where a VAE would stand in a diffusion autoencoder of voxels: Preechakul et al. 2022 (arXiv:2111.15640) in 3D."""

import torch
from torch import nn

from neurolatent.model.vae import LOG_VARIANCE_LIMITS, Compressed, Posterior
from neurolatent.shapes import Volume


class Uncompressed(nn.Module):
    """The latent is the scan, and certain; a gain of 1, since a stage without parameters cannot train."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def encode(self, volume: Volume) -> Posterior:
        """Return the scan as the mean, and next to no variance."""
        mean = self.gain * volume.to(self.gain.dtype)
        return Posterior(mean, torch.full_like(mean, LOG_VARIANCE_LIMITS[0]))

    def decode(self, latent: Compressed) -> Volume:
        """Return the latent."""
        return self.gain * latent
