"""What the published U-Net is built of: "ADM" in 3D (Dhariwal & Nichol 2021, arXiv:2105.05233, section 3).

Attributes are named as in the published weights, whose keys they make.
"""

from math import gcd

from torch import nn
from torch.nn import functional

from neurolatent.model.blocks import Embedding, Feature, convolution, zero
from neurolatent.model.dropout import Dropout
from neurolatent.model.published.sizes import Resize

GROUPS = 32
PLANE = (1, 2, 2)
"""Only the last two axes are halved and doubled: a latent keeps its 16 sagittal planes all the way down."""


def normalisation(channels: int) -> nn.GroupNorm:
    """Group normalisation in 32 groups, or as many as a smaller width can be shared out to."""
    return nn.GroupNorm(gcd(GROUPS, channels), channels)


def change_extent(feature: Feature, resize: Resize | None) -> Feature:
    """Halve by the mean of four, rounding up, double by repeating, or leave alone."""
    if resize == "down":
        return functional.avg_pool3d(feature, PLANE, ceil_mode=True)
    if resize == "up":
        return functional.interpolate(feature, scale_factor=PLANE, mode="nearest")
    return feature


def modulate(feature: Feature, amounts: Embedding) -> Feature:
    """Scale and shift each channel: h ← h(1 + s) + b."""
    scale, shift = amounts[..., None, None, None].chunk(2, dim=1)
    return feature * (1 + scale) + shift


class ResidualBlock(nn.Module):
    """Two convolutions around a shortcut, modulated by time and, if `coded`, by the code.

    h ← (1 + s_y)(norm(h)(1 + s_t) + b_t) + b_y, as in PDAE (Zhang et al. 2022, arXiv:2212.12990, appendix).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        hidden: int,
        dropout: float,
        coded: bool = False,
        resize: Resize | None = None,
    ) -> None:
        super().__init__()
        self.resize: Resize | None = resize
        self.in_layers = nn.Sequential(normalisation(inputs), nn.SiLU(), convolution(inputs, outputs))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 2 * outputs))
        self.emb_z_layers = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 2 * outputs)) if coded else None
        self.out_layers = nn.Sequential(
            normalisation(outputs), nn.SiLU(), Dropout(dropout), zero(convolution(outputs, outputs))
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv3d(inputs, outputs, 1)

    def forward(self, feature: Feature, time: Embedding, code: Embedding | None = None) -> Feature:
        """Return the feature, at its new extents, plus what the block adds."""
        norm, activation, convolve = self.in_layers
        hidden = convolve(change_extent(activation(norm(feature)), self.resize))
        norm, *rest = self.out_layers
        hidden = modulate(norm(hidden), self.emb_layers(time))
        if self.emb_z_layers is not None and code is not None:
            hidden = modulate(hidden, self.emb_z_layers(code))
        for layer in rest:
            hidden = layer(hidden)
        return self.skip_connection(change_extent(feature, self.resize)) + hidden


class AttentionBlock(nn.Module):
    """Each place attends to all others, with one head.

    The published order of query, key and value, head by head, differs from any other only where there are more.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = normalisation(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)
        for parameter in self.proj_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, feature: Feature) -> Feature:
        """Return the feature plus what each place takes from the others."""
        places = self.norm(feature).flatten(2)
        query, key, value = self.qkv(places)[:, None].transpose(2, 3).chunk(3, dim=3)
        taken = functional.scaled_dot_product_attention(query, key, value)
        return feature + self.proj_out(taken[:, 0].transpose(1, 2)).reshape(feature.shape)


class StageLayers(nn.ModuleList):
    """The layers of one stage in their order; residual blocks are told time and code."""

    def forward(self, feature: Feature, time: Embedding, code: Embedding | None = None) -> Feature:
        """Return what the last layer makes of it."""
        for layer in self:
            feature = layer(feature, time, code) if isinstance(layer, ResidualBlock) else layer(feature)
        return feature
