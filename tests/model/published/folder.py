"""A folder of small published weights, seeded and untrained."""

from dataclasses import replace
from pathlib import Path

import torch

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import Preset
from neurolatent.model.weights import (
    PARTS,
    Card,
    StageRecord,
    fingerprint,
    hash_weights,
    save_part,
    write_card,
)
from tests.model.published.small import SMALL

SMALL_PAPER = replace(SMALL, name="small-paper")
"""Under a name of its own: a test must not take the place of the preset `paper`."""


def seeded(preset: Preset) -> LatentDiffusionAutoencoder:
    """Every parameter drawn, zero-initialised ones too: otherwise codes and noise would change nothing."""
    torch.manual_seed(0)
    model = LatentDiffusionAutoencoder(preset).eval().requires_grad_(requires_grad=False)
    for parameter in model.parameters():
        parameter.copy_(parameter + 0.05 * torch.randn(parameter.shape))
    model.scaling.scale.fill_(0.8730)
    return model


def write_weights(folder: Path, preset: Preset, *, preprocessing: str) -> Card:
    """Write the seeded model with a card that names people of another cohort."""
    model = seeded(preset)
    files = {f"{part}.safetensors": save_part(folder, model, part) for part in PARTS}
    stage = StageRecord(
        subjects=(("elsewhere", "sub-1"),),
        subjects_hash="0",
        validation_subjects=(),
        supervised=False,
        steps=1,
        planned_steps=1,
        seconds=1.0,
        metrics={},
    )
    card = Card(
        preset=preset.name,
        settings=preset.describe(),
        architecture=fingerprint(preset),
        preprocessing=preprocessing,
        latent_scale=0.8730,
        stages=dict.fromkeys(PARTS, stage),
        files=files,
        weights_hash=hash_weights(files),
        versions={},
        licence="none",
        seed=0,
    )
    write_card(folder, card)
    return card
