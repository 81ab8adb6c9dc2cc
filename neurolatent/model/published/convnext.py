"""ConvNeXt for slices of one channel: Liu et al. 2022 (arXiv:2201.03545), figure 4.

Attributes are named as in torchvision's weights, whose keys they make.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurolatent.model.dropout import Dropout
from neurolatent.model.published.sizes import SemanticSizes
from neurolatent.shapes import Code

SliceBatch = Float[Tensor, "batch 1 i j"]
Plane = Float[Tensor, "batch _ _ _"]
"""Features of slices, channels first or last; channels and extents change from layer to layer."""
EPSILON = 1e-6
INITIAL_SCALE = 1e-6
"""How much a residual branch adds before it has learnt anything."""
INITIAL_SD = 0.02


class Permute(nn.Module):
    """Reorder the axes."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, plane: Plane) -> Plane:
        """Return the same values under other axes."""
        return plane.permute(self.order)


class ChannelNorm(nn.LayerNorm):
    """Normalise the channels of each place, where channels come first."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON)

    def forward(self, input: Plane) -> Plane:  # noqa: A002  # as torch names it
        """Return the normalised feature."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """A 7×7 convolution of each channel, then two layers at each place, around a shortcut."""

    def __init__(self, width: int, *, dropped: float) -> None:
        super().__init__()
        self.drop = Dropout(dropped)
        self.layer_scale = nn.Parameter(torch.full((width, 1, 1), INITIAL_SCALE))
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 7, padding=3, groups=width),
            Permute(0, 2, 3, 1),
            nn.LayerNorm(width, eps=EPSILON),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            Permute(0, 3, 1, 2),
        )

    def forward(self, plane: Plane) -> Plane:
        """Return the feature plus the branch, which training leaves out for some slices (arXiv:1603.09382)."""
        kept = self.drop(plane.new_ones(len(plane), 1, 1, 1))
        return plane + kept * self.layer_scale * self.block(plane)


class ConvNeXt(nn.Module):
    """One slice to one row of features."""

    def __init__(self, sizes: SemanticSizes) -> None:
        super().__init__()
        first, last = sizes.widths[0], sizes.widths[-1]
        shares = iter(torch.linspace(0, sizes.dropped_branches, sum(sizes.blocks), device="cpu").tolist())
        features: list[nn.Module] = [nn.Sequential(nn.Conv2d(1, first, 4, stride=4), ChannelNorm(first))]
        for above, width, count in zip((None, *sizes.widths[:-1]), sizes.widths, sizes.blocks, strict=True):
            if above is not None:
                features.append(nn.Sequential(ChannelNorm(above), nn.Conv2d(above, width, 2, stride=2)))
            features.append(nn.Sequential(*(Block(width, dropped=next(shares)) for _ in range(count))))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.LayerNorm(last, eps=EPSILON))
        self.apply(_initialise)

    def forward(self, slices: SliceBatch) -> Code:
        """Return the normalised mean over places."""
        return self.classifier(self.features(slices).mean((2, 3)))


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=INITIAL_SD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
