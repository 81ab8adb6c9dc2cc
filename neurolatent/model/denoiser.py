"""The unconditional denoiser: a compact 3D U-Net over scaled latents."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from neurolatent.model.blocks import (
    Embedding,
    Feature,
    ResidualBlock,
    TimeEmbedding,
    convolution,
    full_precision,
    normalisation,
    resize_like,
    zero,
)
from neurolatent.model.noise import gather_signal
from neurolatent.shapes import Latent, Timestep


@dataclass(frozen=True)
class DownPath:
    """What the way down leaves for every way up: computed once per step."""

    skips: tuple[Feature, ...]
    time: Embedding


class UpPath(nn.Module):
    """Middle block, way up and head; reads the skips of a way down. Code-modulated if `code_size` is given."""

    def __init__(self, *, widths: tuple[int, ...], outputs: int, code_size: int = 0) -> None:
        super().__init__()
        condition = {"time_size": 2 * widths[0], "code_size": code_size}
        self.middle = ResidualBlock(widths[-1], widths[-1], **condition)
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        # Narrowed before it is enlarged, what comes from below costs an eighth of what it would afterwards.
        self.narrow = nn.ModuleList(nn.Conv3d(below, here, 1) for below, here in steps)
        self.blocks = nn.ModuleList(ResidualBlock(2 * here, here, **condition) for _, here in steps)
        self.head = nn.Sequential(normalisation(widths[0]), nn.SiLU(), zero(convolution(widths[0], outputs)))

    def forward(self, down: DownPath, code: Embedding | None = None) -> Latent:
        """Return one value per latent voxel and channel, in float32."""
        feature = self.middle(down.skips[-1], down.time, code)
        for narrow, block, skip in zip(self.narrow, self.blocks, down.skips[-2::-1], strict=True):
            below = resize_like(narrow(feature), skip)
            feature = block(torch.cat([below, skip], dim=1), down.time, code)
        return full_precision(self.head(feature))


class Denoiser(nn.Module):
    """ε_θ(z_t, t) = √(1 − ᾱ_t) z_t + √ᾱ_t F_θ(z_t, t).

    F starts at zero: the untrained denoiser is the exact one for latents that are white noise themselves, and the
    noisiest steps, whose ε is nearly z_t, need no precision that a short training cannot give.
    """

    def __init__(self, *, widths: tuple[int, ...], latent_channels: int) -> None:
        super().__init__()
        self.time = TimeEmbedding(widths[0])
        self.stem = convolution(latent_channels, widths[0])
        self.down = nn.ModuleList(ResidualBlock(width, width, time_size=2 * widths[0]) for width in widths)
        self.shrink = nn.ModuleList(convolution(above, below, stride=2) for above, below in pairwise(widths))
        self.up = UpPath(widths=widths, outputs=latent_channels)

    def descend(self, noisy: Latent, timestep: Timestep) -> DownPath:
        """Go down once; every way up reads the result."""
        time = self.time(timestep)
        feature = self.down[0](self.stem(noisy), time)
        skips = [feature]
        for shrink, block in zip(self.shrink, list(self.down)[1:], strict=True):
            feature = block(shrink(feature), time)
            skips.append(feature)
        return DownPath(tuple(skips), time)

    def ascend(self, noisy: Latent, timestep: Timestep, down: DownPath) -> Latent:
        """Return ε_θ from what the way down left."""
        signal = gather_signal(timestep)
        return (1 - signal).sqrt() * noisy + signal.sqrt() * self.up(down)

    def forward(self, noisy: Latent, timestep: Timestep) -> Latent:
        """Return ε_θ(z_t, t)."""
        return self.ascend(noisy, timestep, self.descend(noisy, timestep))
