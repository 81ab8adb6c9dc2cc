"""How large the published networks are, and where each stage of their U-Net lies."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Resize = Literal["down", "up"]


@dataclass(frozen=True)
class UNetSizes:
    """What decides the shapes of the denoiser and of the decoder around it."""

    base: int = 256
    multipliers: tuple[int, ...] = (1, 2, 3)
    """Channels of each level, in units of `base`."""
    blocks: int = 2
    """Residual blocks a level on the way down; one more on the way up."""
    attention: tuple[int, ...] = (2, 4)
    """The down-samplings at which places attend to each other; the middle block always does."""
    latent_channels: int = 3
    code_size: int = 768
    dropout: float = 0.1

    @property
    def hidden(self) -> int:
        """Features of the embedded time and of the embedded code."""
        return 4 * self.base


@dataclass(frozen=True)
class VAESizes:
    """What decides the shapes of the VAE; each level but the last halves every extent."""

    widths: tuple[int, ...] = (64, 128, 128, 128)
    blocks: int = 2
    latent_channels: int = 3


@dataclass(frozen=True)
class SemanticSizes:
    """What decides the shapes of the semantic encoder; ConvNeXt-Small: Liu et al. 2022 (arXiv:2201.03545)."""

    widths: tuple[int, ...] = (96, 192, 384, 768)
    blocks: tuple[int, ...] = (3, 3, 27, 3)
    slices: int = 128
    heads: int = 8
    dropped_branches: float = 0.4
    """Share of the last residual branches left out in training; it grows from 0 at the first."""


class Stage(NamedTuple):
    """One stage of a U-Net: a residual block, perhaps attention, perhaps another extent."""

    inputs: int
    outputs: int
    attends: bool = False
    resize: Resize | None = None


def plan_down(sizes: UNetSizes) -> list[Stage]:
    """Lay out the way down, after the first convolution."""
    stages: list[Stage] = []
    width = sizes.base * sizes.multipliers[0]
    for level, multiplier in enumerate(sizes.multipliers):
        for _ in range(sizes.blocks):
            stages.append(Stage(width, sizes.base * multiplier, attends=2**level in sizes.attention))
            width = sizes.base * multiplier
        if level < len(sizes.multipliers) - 1:
            stages.append(Stage(width, width, resize="down"))
    return stages


def plan_up(sizes: UNetSizes) -> list[Stage]:
    """Lay out the way up; each stage reads a skip beside what comes from below, the first convolution's last."""
    skips = [sizes.base * sizes.multipliers[0], *(stage.outputs for stage in plan_down(sizes))]
    stages: list[Stage] = []
    width = skips[-1]
    for level, multiplier in reversed(list(enumerate(sizes.multipliers))):
        for block in range(sizes.blocks + 1):
            resize = "up" if level > 0 and block == sizes.blocks else None
            inputs, width = width + skips.pop(), sizes.base * multiplier
            stages.append(Stage(inputs, width, attends=2**level in sizes.attention, resize=resize))
    return stages
