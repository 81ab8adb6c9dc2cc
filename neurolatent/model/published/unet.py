"""The published denoiser, and the decoder that holds it frozen beside its gradient estimator."""

from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from neurolatent.model.blocks import Embedding, Feature, convolution, embed_time, zero
from neurolatent.model.denoiser import DownPath
from neurolatent.model.published.layers import AttentionBlock, ResidualBlock, StageLayers, normalisation
from neurolatent.model.published.sizes import UNetSizes, plan_down, plan_up
from neurolatent.shapes import Code, Latent, Timestep


class Step(NamedTuple):
    """What one step of the decoder says."""

    noise: Latent
    gradient: Latent


def build_down(sizes: UNetSizes) -> nn.ModuleList:
    """Build the first convolution and the way down."""
    stages = [StageLayers([convolution(sizes.latent_channels, sizes.base * sizes.multipliers[0])])]
    for stage in plan_down(sizes):
        block = ResidualBlock(
            stage.inputs, stage.outputs, hidden=sizes.hidden, dropout=sizes.dropout, resize=stage.resize
        )
        stages.append(StageLayers([block, AttentionBlock(stage.outputs)] if stage.attends else [block]))
    return nn.ModuleList(stages)


def build_middle(sizes: UNetSizes, *, coded: bool) -> StageLayers:
    """Build what lies between the ways: two residual blocks around attention."""
    width = sizes.base * sizes.multipliers[-1]
    block = partial(ResidualBlock, hidden=sizes.hidden, dropout=sizes.dropout, coded=coded)
    return StageLayers([block(width, width), AttentionBlock(width), block(width, width)])


def build_up(sizes: UNetSizes, *, coded: bool) -> nn.ModuleList:
    """Build the way up."""
    block = partial(ResidualBlock, hidden=sizes.hidden, dropout=sizes.dropout, coded=coded)
    stages: list[nn.Module] = []
    for stage in plan_up(sizes):
        layers: list[nn.Module] = [block(stage.inputs, stage.outputs)]
        if stage.attends:
            layers.append(AttentionBlock(stage.outputs))
        if stage.resize:
            layers.append(block(stage.outputs, stage.outputs, resize=stage.resize))
        stages.append(StageLayers(layers))
    return nn.ModuleList(stages)


def build_head(sizes: UNetSizes) -> nn.Sequential:
    """Build the last layers, which say nothing until learnt."""
    width = sizes.base * sizes.multipliers[0]
    return nn.Sequential(normalisation(width), nn.SiLU(), zero(convolution(width, sizes.latent_channels)))


class UNet(nn.Module):
    """The way down and the way up that denoiser and decoder have in common."""

    def __init__(self, sizes: UNetSizes) -> None:
        super().__init__()
        self.base = sizes.base
        self.time_embed = nn.Sequential(
            nn.Linear(sizes.base, sizes.hidden), nn.SiLU(), nn.Linear(sizes.hidden, sizes.hidden)
        )
        self.input_blocks = build_down(sizes)
        self.middle_block = build_middle(sizes, coded=False)
        self.output_blocks = build_up(sizes, coded=False)
        self.out = build_head(sizes)

    def descend(self, noisy: Latent, timestep: Timestep) -> DownPath:
        """Go down once; every way up reads the result."""
        time = self.time_embed(embed_time(timestep, self.base))
        skips = [noisy]
        for stage in self.input_blocks:
            skips.append(stage(skips[-1], time))
        return DownPath(tuple(skips[1:]), time)

    def ascend(self, down: DownPath) -> Latent:
        """Return ε_θ from what the way down left."""
        return self.out(_go_up(self.middle_block, self.output_blocks, down)).float()


class Denoiser(UNet):
    """ε_θ(z_t, t)."""

    def forward(self, noisy: Latent, timestep: Timestep) -> Latent:
        """Return ε_θ(z_t, t)."""
        return self.ascend(self.descend(noisy, timestep))


class Decoder(UNet):
    """ε_θ(z_t, t), frozen, and G_ψ(z_t, y, t): a second middle, way up and head over the same way down."""

    def __init__(self, sizes: UNetSizes) -> None:
        super().__init__(sizes)
        self.requires_grad_(requires_grad=False)
        self.frozen = tuple(self.children())
        self.label_emb = nn.Linear(sizes.code_size, sizes.hidden)
        self.shift_middle_block = build_middle(sizes, coded=True)
        self.shift_output_blocks = build_up(sizes, coded=True)
        self.shift_out = build_head(sizes)

    def train(self, mode: bool = True) -> "Decoder":  # noqa: FBT001, FBT002  # as torch declares it
        """Switch the gradient estimator; the frozen denoiser drops nothing out."""
        super().train(mode)
        for network in self.frozen:
            network.eval()
        return self

    def adopt(self, denoiser: Denoiser) -> None:
        """Take over a pretrained denoiser's weights."""
        for name, network in denoiser.named_children():
            self.get_submodule(name).load_state_dict(network.state_dict())

    def gradient(self, down: DownPath, code: Code) -> Latent:
        """Return G_ψ from what the frozen way down left."""
        hidden = self.label_emb(code)
        return self.shift_out(_go_up(self.shift_middle_block, self.shift_output_blocks, down, hidden)).float()

    def forward(self, noisy: Latent, timestep: Timestep, code: Code) -> Step:
        """Return ε_θ and G_ψ from one way down."""
        down = self.descend(noisy, timestep)
        return Step(self.ascend(down), self.gradient(down, code))


def _go_up(middle: nn.Module, stages: nn.ModuleList, down: DownPath, code: Embedding | None = None) -> Feature:
    feature = middle(down.skips[-1], down.time, code)
    for stage, skip in zip(stages, reversed(down.skips), strict=True):
        feature = stage(torch.cat([feature, skip], dim=1), down.time, code)
    return feature
