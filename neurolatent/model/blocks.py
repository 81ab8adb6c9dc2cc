"""What the networks are built of: residual blocks, resizing, space-to-depth and the embedding of time."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from neurolatent.shapes import Timestep

Feature = Float[Tensor, "batch _ _ _ _"]
"""Channels and extents change from layer to layer, so that one signature cannot name them."""
Embedding = Float[Tensor, "batch _"]
GROUP_CHANNELS = 8
"""Channels that share one mean and variance in group normalisation."""


def normalisation(channels: int) -> nn.GroupNorm:
    """Group normalisation, indifferent to the batch."""
    return nn.GroupNorm(max(1, channels // GROUP_CHANNELS), channels)


def convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv3d:
    """A 3×3×3 convolution that keeps the extents, or halves them rounding up."""
    return nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1)


def zero(layer: nn.Conv3d) -> nn.Conv3d:
    """Start a layer at zero, so that what it adds is absent until learnt."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def space_to_depth(volume: Feature) -> Feature:
    """Fold each 2×2×2 cube of voxels into channels: half the resolution, nothing lost."""
    batch, channels, i, j, k = volume.shape
    cubes = volume.reshape(batch, channels, i // 2, 2, j // 2, 2, k // 2, 2)
    return cubes.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, channels * 8, i // 2, j // 2, k // 2)


def depth_to_space(feature: Feature) -> Feature:
    """Unfold channels into 2×2×2 cubes of voxels: the inverse of `space_to_depth`."""
    batch, channels, i, j, k = feature.shape
    cubes = feature.reshape(batch, channels // 8, 2, 2, 2, i, j, k)
    return cubes.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, channels // 8, i * 2, j * 2, k * 2)


def resize_like(feature: Feature, reference: Feature) -> Feature:
    """Enlarge to the reference's extents, which an odd extent makes other than twice."""
    return functional.interpolate(feature, size=reference.shape[2:], mode="nearest")


def full_precision(values: Tensor) -> Tensor:
    """Leave mixed precision: 32 bits at least, so that differences of nearly equal values survive."""
    return values if values.dtype == torch.float64 else values.float()


def embed_time(timestep: Timestep, size: int) -> Embedding:
    """Sine and cosine of the timestep at geometric frequencies, cosine first (Ho et al. 2020, arXiv:2006.11239)."""
    half = size // 2
    steps = torch.arange(half, device=timestep.device, dtype=torch.float32)
    angle = timestep[:, None].float() * torch.exp(-math.log(10_000) * steps / half)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class TimeEmbedding(nn.Module):
    """The embedding of time, made ready for the blocks by two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, 2 * width))

    def forward(self, timestep: Timestep) -> Embedding:
        """Return twice `width` features per sample."""
        return self.layers(embed_time(timestep, self.width).to(next(self.parameters()).dtype))


class ResidualBlock(nn.Module):
    """Two convolutions around a shortcut; time and code, if given, scale and shift what lies between.

    h ← (1 + s_y)(norm(h)(1 + s_t) + b_t) + b_y, as in PDAE (Zhang et al. 2022, arXiv:2212.12990, appendix).
    """

    def __init__(self, inputs: int, outputs: int, *, time_size: int = 0, code_size: int = 0) -> None:
        super().__init__()
        self.first = nn.Sequential(normalisation(inputs), nn.SiLU(), convolution(inputs, outputs))
        self.norm = normalisation(outputs)
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(time_size, 2 * outputs)) if time_size else None
        self.code = nn.Sequential(nn.SiLU(), nn.Linear(code_size, 2 * outputs)) if code_size else None
        self.second = zero(convolution(outputs, outputs))
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv3d(inputs, outputs, 1)

    def forward(self, feature: Feature, time: Embedding | None = None, code: Embedding | None = None) -> Feature:
        """Return the feature plus what the block adds."""
        hidden = self.norm(self.first(feature))
        for layer, condition in ((self.time, time), (self.code, code)):
            if layer is not None and condition is not None:
                scale, shift = layer(condition)[..., None, None, None].chunk(2, dim=1)
                hidden = hidden * (1 + scale) + shift
        return self.shortcut(feature) + self.second(functional.silu(hidden))
