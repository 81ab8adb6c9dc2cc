"""The semantic encoder: a scan's latent to its code."""

from itertools import pairwise
from math import prod

from torch import nn

from neurolatent.model.blocks import ResidualBlock, convolution, full_precision, normalisation
from neurolatent.shapes import Code, Latent

PLACES = (3, 4, 3)
"""Cells that keep where in the aligned brain a feature was seen: pooling it all would lose that."""
CELL_CHANNELS = 64


class SemanticEncoder(nn.Module):
    """y = Enc_φ(z_0): a linear reading of the whole latent, plus convolutions read out place by place.

    It reads the latent, centred on the mean person, and not the scan: in a scan, what all people share outweighs
    what tells them apart a hundredfold, and a code read from it stays all but constant for a thousand steps.
    """

    reads_scan = False

    def __init__(
        self, *, widths: tuple[int, ...], code_size: int, latent_channels: int, latent_shape: tuple[int, int, int]
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(latent_channels, widths[0]), ResidualBlock(widths[0], widths[0])]
        for above, below in pairwise(widths):
            layers += [convolution(above, below, stride=2), ResidualBlock(below, below)]
        layers += [normalisation(widths[-1]), nn.SiLU(), nn.Conv3d(widths[-1], CELL_CHANNELS, 1)]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(PLACES), nn.Flatten())
        self.readout = nn.Linear(prod(PLACES) * CELL_CHANNELS, code_size)
        self.linear = nn.Linear(latent_channels * prod(latent_shape), code_size)

    def forward(self, latent: Latent) -> Code:
        """Return one code per scaled latent, in float32."""
        return full_precision(self.linear(latent.flatten(1)) + self.readout(self.features(latent)))
