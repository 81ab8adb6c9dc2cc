"""Who stands beside whom in `constructions.py`: the paper's construction, base's, and diffusion in voxels.

All are made smaller alike: voxels of 5 mm, and every width times one factor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from neurolatent.model.presets import PRESETS, Preset, StageLength, Widths
from neurolatent.model.weights import Card
from neurolatent.training.plan import trial_seconds
from neurolatent.volume.space import Grid

SPACING_MM = 5.0
"""40×48×40 voxels, which three halvings divide. At 3 mm a quarter of an hour on two cores is 150 steps of the paper's
VAE, which leave it untrained: nothing to compare with."""
FACTOR = 1 / 4
"""Of all widths; with a half, the paper's VAE would come to 185 steps at 5 mm."""
FIRST_STEPS, TRIAL_SECONDS = 5, 30.0
DEVICE = torch.device("cpu")
PAPER, BASE, VOXELS = "paper's construction", "base's construction", "diffusion in voxels"


@dataclass(frozen=True)
class Contender:
    """A construction, and how its time is shared out."""

    preset: Preset
    shares: Mapping[str, float]
    """Of the time, by stage."""
    most_seeds: int | None = None
    """Where it takes long, and no interval is asked of it."""
    most_rebuilt: int | None = None
    """Scans of each cohort that are rebuilt from y and z_T, where a step takes long."""


def contenders() -> dict[str, Contender]:
    """Return them by name."""
    compressed = {"vae": 0.5, "denoiser": 0.2, "autoencoder": 0.3}
    return {
        PAPER: Contender(_paper(), compressed),
        BASE: Contender(_base(), compressed),
        VOXELS: Contender(_voxels(), {"vae": 0.0, "denoiser": 0.4, "autoencoder": 0.6}, most_seeds=1, most_rebuilt=8),
    }


def plan(contender: Contender, *, minutes: float, scans: int, train: Callable[[Preset], Card]) -> Preset:
    """Return the preset with as many steps in each stage as fit its share of the time.

    A step's time is that of a real training, once for a few steps and then for as many as half a minute holds: reading,
    averaging and the loop's own work weigh more the smaller the networks are, and trial steps alone leave them out.
    """
    preset, trial_steps = contender.preset, dict.fromkeys(contender.shares, FIRST_STEPS)
    seconds = _seconds_a_step(train(with_steps(preset, trial_steps)))
    trial_steps = {stage: max(FIRST_STEPS, round(TRIAL_SECONDS / seconds[stage])) for stage in contender.shares}
    seconds = _seconds_a_step(train(with_steps(preset, trial_steps)))
    latents = trial_seconds(with_steps(preset, dict.fromkeys(contender.shares, 1)), scans, DEVICE)["latents"]
    left = 60 * minutes - latents
    return with_steps(
        preset, {stage: max(1, round(left * s / seconds[stage])) for stage, s in contender.shares.items()}
    )


def _seconds_a_step(card: Card) -> dict[str, float]:
    return {name: stage.seconds / stage.steps for name, stage in card.stages.items()}


def with_steps(preset: Preset, steps: Mapping[str, int]) -> Preset:
    """Return the preset with so many steps in each stage."""
    return replace(
        preset,
        vae=replace(preset.vae, steps=steps["vae"]),
        denoiser=replace(preset.denoiser, steps=steps["denoiser"]),
        autoencoder=replace(preset.autoencoder, steps=steps["autoencoder"]),
    )


def _paper() -> Preset:
    """The paper's construction; it learns from what base's does, for an adversary costs SSIM, and time."""
    losses = ("edge_weight", "perceptual_weight", "structure_weight", "frequency_weight", "adversary_weight")
    return _smaller(
        replace(PRESETS["paper"], kl_weight=1e-7, **{name: getattr(PRESETS["base"], name) for name in losses}),
        "paper-small",
        vae=_length(batch=2, rate=2e-3),
        denoiser=_length(batch=4, rate=1e-3),
        autoencoder=_length(batch=4, rate=5e-4),
    )


def _base() -> Preset:
    return _smaller(
        PRESETS["base"],
        "base-small",
        vae=_length(batch=4, rate=4e-3),
        denoiser=_length(batch=16, rate=1e-3),
        autoencoder=_length(batch=16, rate=1e-3),
    )


def _voxels() -> Preset:
    """The paper's networks without its VAE: narrow where voxels are many, as wide at the bottom as in the latent."""
    widths = (16, 32, 64, 128, 192)
    return replace(
        _paper(), name="voxels-small", vae_widths=(), latent_channels=1, denoiser_widths=widths, attention=(16,),
        sampling_steps=20, denoiser=_length(batch=1, rate=5e-4), autoencoder=_length(batch=1, rate=5e-4),
    )  # fmt: skip


def _smaller(preset: Preset, name: str, **lengths: StageLength) -> Preset:
    def scale(widths: Widths) -> Widths:
        return tuple(round(FACTOR * width) for width in widths)

    return replace(
        preset,
        name=name,
        spacing_mm=SPACING_MM,
        grid_shape=Grid(SPACING_MM).shape,
        view="standard",
        vae_widths=scale(preset.vae_widths),
        denoiser_widths=scale(preset.denoiser_widths),
        semantic_widths=scale(preset.semantic_widths),
        code_size=round(FACTOR * preset.code_size),
        for_gpu=False,
        **lengths,
    )


def _length(*, batch: int, rate: float) -> StageLength:
    return StageLength(steps=1, batch=batch, learning_rate=rate, ema_decay=0.99)
