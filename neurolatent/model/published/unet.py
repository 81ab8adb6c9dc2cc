"""The published denoiser, and the gradient estimator that reads its way down."""

from functools import partial

import torch
from torch import nn

from neurolatent.model.blocks import Embedding, Feature, convolution, embed_time, full_precision, zero
from neurolatent.model.denoiser import DownPath
from neurolatent.model.published.layers import AttentionBlock, ResidualBlock, StageLayers, normalisation
from neurolatent.model.published.sizes import UNetSizes, plan_down, plan_up
from neurolatent.shapes import Code, Latent, Timestep


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


class Denoiser(nn.Module):
    """ε_θ(z_t, t)."""

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
        time = self.time_embed(embed_time(timestep, self.base).to(next(self.parameters()).dtype))
        skips = [noisy]
        for stage in self.input_blocks:
            skips.append(stage(skips[-1], time))
        return DownPath(tuple(skips[1:]), time)

    def ascend(self, noisy: Latent, timestep: Timestep, down: DownPath) -> Latent:  # noqa: ARG002  # as ours is asked
        """Return ε_θ from what the way down left, and from nothing else."""
        return full_precision(self.out(_go_up(self.middle_block, self.output_blocks, down)))

    def forward(self, noisy: Latent, timestep: Timestep) -> Latent:
        """Return ε_θ(z_t, t)."""
        return self.ascend(noisy, timestep, self.descend(noisy, timestep))


class GradientEstimator(nn.Module):
    """G_ψ(z_t, y, t): a second middle, way up and head over the frozen denoiser's way down, time and all."""

    def __init__(self, sizes: UNetSizes) -> None:
        super().__init__()
        self.label_emb = nn.Linear(sizes.code_size, sizes.hidden)
        self.shift_middle_block = build_middle(sizes, coded=True)
        self.shift_output_blocks = build_up(sizes, coded=True)
        self.shift_out = build_head(sizes)

    def forward(self, down: DownPath, timestep: Timestep, code: Code) -> Latent:  # noqa: ARG002  # as ours is asked
        """Return G_ψ from what the frozen way down left."""
        hidden = self.label_emb(code)
        moved = _go_up(self.shift_middle_block, self.shift_output_blocks, down, hidden)
        return full_precision(self.shift_out(moved))


def _go_up(middle: nn.Module, stages: nn.ModuleList, down: DownPath, code: Embedding | None = None) -> Feature:
    feature = middle(down.skips[-1], down.time, code)
    for stage, skip in zip(stages, reversed(down.skips), strict=True):
        j, k = skip.shape[-2:]  # odd extents, which the published latents have none of, come back one too large
        feature = stage(torch.cat([feature[..., :j, :k], skip], dim=1), down.time, code)
    return feature
