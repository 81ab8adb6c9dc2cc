"""A patch discriminator that learns along with the VAE, in one backward pass, and pushes nothing but itself.

Isola et al. 2017 (arXiv:1611.07004) judge patches; the least squares are those of Mao et al. 2017 (arXiv:1611.04076).
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from neurolatent.model.blocks import full_precision
from neurolatent.model.noise import PerSample
from neurolatent.model.presets import Preset
from neurolatent.shapes import Volume

MOST_WIDTH, MOST_LAYERS = 32, 3
"""The published discriminator's."""
RAMP_SHARE = 0.25
"""Of the steps, in which the discriminator's word comes to count."""


class Adversary(nn.Module):
    """Tells reconstructions from scans, patch by patch.

    It normalises each scan by itself: statistics of a batch would tie a scan's loss to its neighbours, and to how many
    scans a process holds at once.
    """

    def __init__(self, *, width: int, layers: int) -> None:
        super().__init__()
        from monai.networks.nets.patchgan_discriminator import PatchDiscriminator

        self.network = PatchDiscriminator(
            spatial_dims=3, channels=width, in_channels=1, num_layers_d=layers, norm="INSTANCE"
        )

    def persuade(self, reconstruction: Volume) -> PerSample:
        """Return the VAE's loss: how far each patch is from passing for real (Mao et al., equation 2, with c = 1).

        The discriminator's weights are detached: to the VAE they are what they are.
        """
        weights = {name: weight.detach() for name, weight in self.network.named_parameters()}
        return _mean_square(functional_call(self.network, weights, reconstruction)[-1] - 1)

    def discern(self, volume: Volume, reconstruction: Volume) -> PerSample:
        """Return the discriminator's loss: real patches are to be 1, others 0; the reconstruction is detached."""
        real, other = self.network(volume)[-1], self.network(reconstruction.detach())[-1]
        return (_mean_square(real - 1) + _mean_square(other)) / 2


def build_adversary(preset: Preset, *, seed: int) -> Adversary:
    """Build the discriminator of a preset, as wide as its VAE begins but no wider than published, from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Adversary(width=min((MOST_WIDTH, *preset.vae_widths)), layers=count_layers(preset.grid_shape))


def count_layers(grid_shape: tuple[int, int, int]) -> int:
    """Return the most layers, up to three, whose patch is smaller than the grid: a whole head is no patch."""
    fitting = [layers for layers in range(1, MOST_LAYERS + 1) if patch_voxels(layers) < min(grid_shape)]
    return max(fitting, default=1)


def patch_voxels(layers: int) -> int:
    """Return the extent that one value of the discriminator sees: 16, 34 or 70 voxels (Isola et al., appendix 6.1)."""
    return 9 * 2**layers - 2


def ramp(step: int, steps: int) -> float:
    """Return the share of the adversary's weight at a step: from 0 to 1 over the first quarter of the steps.

    In the beginning a blur gives any reconstruction away, and what the discriminator says of it is noise. The weight
    grows rather than being switched on: every step computes the same, every parameter has its gradient, which several
    processes wait for; and a loss that jumps would look like one that explodes.
    """
    return min(1.0, step / (RAMP_SHARE * steps))


def _mean_square(judgement: Tensor) -> PerSample:
    return (full_precision(judgement) ** 2).flatten(1).mean(1)
