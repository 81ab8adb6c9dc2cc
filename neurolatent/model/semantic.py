"""The semantic encoder: a scan to its code."""

from itertools import pairwise

from torch import nn

from neurolatent.model.blocks import ResidualBlock, convolution, normalisation, space_to_depth
from neurolatent.shapes import Code, Volume

CUBE = 8
"""Voxels that the stem folds into channels."""
PLACES = (3, 4, 3)
"""Cells that keep where in the aligned brain a feature was seen: pooling it all would lose that."""
CELL_CHANNELS = 64


class SemanticEncoder(nn.Module):
    """y = Enc_φ(x): convolutions over the aligned brain, read out place by place, to unit mean square."""

    def __init__(self, *, widths: tuple[int, ...], code_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(CUBE, widths[0], stride=2), ResidualBlock(widths[0], widths[0])]
        for above, below in pairwise(widths):
            layers += [convolution(above, below, stride=2), ResidualBlock(below, below)]
        layers += [normalisation(widths[-1]), nn.SiLU(), nn.Conv3d(widths[-1], CELL_CHANNELS, 1)]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool3d(PLACES)
        cells = PLACES[0] * PLACES[1] * PLACES[2] * CELL_CHANNELS
        self.readout = nn.Sequential(nn.Linear(cells, code_size), nn.LayerNorm(code_size, elementwise_affine=False))

    def forward(self, volume: Volume) -> Code:
        """Return one code per scan, in float32."""
        return self.readout(self.pool(self.features(space_to_depth(volume))).flatten(1)).float()
