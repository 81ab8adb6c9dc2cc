"""What a training holds in memory, and what it says where that does not suffice."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from neurolatent.errors import SettingsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import PRESETS
from neurolatent.training.batches import Scans
from neurolatent.training.engine import Engine
from neurolatent.training.modules import CompressionStage
from neurolatent.training.stages import estimate
from tests.training.conftest import CPU, train_tiny

TINY = PRESETS["tiny"]


@pytest.fixture
def full(monkeypatch):
    """Let the GPU be full at the first loss."""

    def fill(_self, _batch, _draws):
        msg = "CUDA out of memory. Tried to allocate 2 GiB.\nmore"
        raise torch.cuda.OutOfMemoryError(msg)

    monkeypatch.setattr(CompressionStage, "losses", fill)


def test_the_moving_average_copies_no_volumes(brains):
    scans = Scans(brains, range(4), 1)
    module = CompressionStage(
        LatentDiffusionAutoencoder(TINY), length=TINY.vae, steps=1, seed=0, name_scans=scans.names
    )
    copied = copy.deepcopy(module)
    assert copied.vae is not module.vae
    assert np.shares_memory(copied.name_scans.__self__.cache.volumes, brains.volumes)


def test_a_full_gpu_is_told_before_training_begins(full):
    with pytest.raises(SettingsError, match=r"^A trial of vae: .*allocate 2 GiB\. Lower --scans-at-once \(now 4\), or"):
        estimate(TINY, 10, CPU, engine=Engine(precision="fp32"))


def test_a_full_gpu_is_told_in_training_without_advice_that_was_taken(full, brains, tmp_path):
    with pytest.raises(SettingsError, match=r"^Training vae: .*Choose a smaller preset\.$"):
        train_tiny(brains, tmp_path, engine=Engine(precision="bf16", scans_at_once=1))


def test_the_estimate_counts_what_the_optimiser_keeps(monkeypatch):
    """Widths of four times make sixteen times as many weights: their three copies are in the estimate."""
    monkeypatch.setattr("neurolatent.training.plan._memory_gb", lambda _device: 0.0)
    narrow, wide = (replace(TINY, denoiser_widths=widths) for widths in ((16, 32), (64, 128)))
    few, many = (estimate(preset, 10, CPU).memory_gb for preset in (narrow, wide))
    assert 0 < few < many / 4


def test_time_that_does_not_suffice_for_latents_is_refused(brains, tmp_path):
    with pytest.raises(SettingsError, match=r"--max-minutes: expected more than the .* got 1e-06"):
        train_tiny(brains, tmp_path, max_minutes=1e-6)
