"""The published semantic encoder: each axial slice by itself, then one query over all of them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurolatent.model.blocks import full_precision
from neurolatent.model.published.convnext import ConvNeXt, SliceBatch
from neurolatent.model.published.sizes import SemanticSizes
from neurolatent.shapes import Code, Volume

SliceFeatures = Float[Tensor, "batch slice feature"]
LONGEST_WAVE = 10_000


class Backbone(nn.Module):
    """The network of one slice, a level down as the published keys have it."""

    def __init__(self, sizes: SemanticSizes) -> None:
        super().__init__()
        self.backbone = ConvNeXt(sizes)

    def forward(self, slices: SliceBatch) -> Code:
        """Return one row of features per slice."""
        return self.backbone(slices)


class Position(nn.Module):
    """Add where a slice lies, as sines and cosines in turn: Vaswani et al. 2017, section 3.5 (arXiv:1706.03762)."""

    pe: Float[Tensor, "1 slice feature"]

    def __init__(self, *, slices: int, features: int) -> None:
        super().__init__()
        rates = LONGEST_WAVE ** -(torch.arange(0, features, 2) / features)
        angles = torch.arange(slices)[:, None] * rates
        self.register_buffer("pe", torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[None])

    def forward(self, features: SliceFeatures) -> SliceFeatures:
        """Return the features with their position."""
        return features + self.pe[:, : features.shape[1]]


class SoftAttention(nn.Module):
    """A mean over slices, weighted by what a linear layer makes of each."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)

    def forward(self, features: SliceFeatures) -> Code:
        """Return one row of features per scan."""
        return (self.linear(features).softmax(1) * features).sum(1)


class SemanticEncoder(nn.Module):
    """y = Enc_φ(x)."""

    reads_scan = True

    def __init__(self, sizes: SemanticSizes) -> None:
        super().__init__()
        width = sizes.widths[-1]
        self.backbone = Backbone(sizes)
        self.positional_encoding = Position(slices=sizes.slices, features=width)
        self.query_projection = nn.Linear(width, width)
        self.key_projection = nn.Linear(width, width)
        self.value_projection = nn.Linear(width, width)
        self.soft_attention = SoftAttention(width)
        self.cross_attention = nn.MultiheadAttention(width, sizes.heads, batch_first=True)
        self.layer_norm_after_attention = nn.LayerNorm(width)

    def forward(self, volume: Volume) -> Code:
        """Return one code per scan, in float32."""
        features = self.positional_encoding(self.see_slices(volume))
        query = self.query_projection(self.soft_attention(features))[:, None]
        key, value = self.key_projection(features), self.value_projection(features)
        seen, _ = self.cross_attention(query, key, value, need_weights=False)
        return full_precision(self.layer_norm_after_attention(seen[:, 0]))

    def see_slices(self, volume: Volume) -> SliceFeatures:
        """Return the features of each axial slice, from the feet upwards."""
        batch, _, i, j, k = volume.shape
        slices = volume.permute(0, 4, 1, 2, 3).reshape(batch * k, 1, i, j)
        return self.backbone(slices).unflatten(0, (batch, k))
