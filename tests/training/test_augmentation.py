"""A given augmentation changes what the VAE learns from and nothing else; with another one, a training begins anew."""

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from neurolatent import cli, model_steps
from neurolatent.errors import ScanError
from neurolatent.model import presets
from neurolatent.model.presets import PRESETS
from neurolatent.model.weights import read_card
from neurolatent.training.batches import Scans, training_steps
from neurolatent.training.plan import OVERHEAD, estimate
from neurolatent.volume.augment import Augmentation
from neurolatent.workspace import Workspace
from tests.training.conftest import CPU, GRID, train_tiny

TINY = PRESETS["tiny"]
SHORT = replace(TINY, **{name: replace(getattr(TINY, name), steps=2) for name in ("vae", "denoiser", "autoencoder")})
OPTIONS = {"batch": 4, "seed": 7, "want_volumes": True, "want_latents": False}


class Darken:
    """Keeps note of the keys it was asked for."""

    def __init__(self, share=0.5):
        self.share, self.keys = share, []

    def describe(self):
        return {"share": self.share}

    def __call__(self, volume, key):
        self.keys.append(tuple(key))
        return self.share * volume


def hash_of(folder, stage):
    return read_card(folder).files[f"{stage}.safetensors"]


def test_the_key_is_seed_step_and_place_in_the_batch(brains):
    scans, darken = Scans(brains, range(10), 2), Darken()
    plain = next(iter(training_steps(scans, first=3, **OPTIONS)))
    dark = next(iter(training_steps(scans, first=3, augment=darken, **OPTIONS)))
    assert darken.keys == [(7, 3, place) for place in range(4)]
    assert dark["rows"] == plain["rows"]
    assert torch.equal(dark["volume"], 0.5 * plain["volume"])


def test_starting_later_augments_alike(brains):
    scans, augment = Scans(brains, range(10), 2), Augmentation(GRID.spacing_mm)
    run = iter(training_steps(scans, first=0, augment=augment, **OPTIONS))
    early = [next(run) for _ in range(3)]
    late = next(iter(training_steps(scans, first=2, augment=augment, **OPTIONS)))
    assert torch.equal(late["volume"], early[2]["volume"])
    assert not torch.equal(late["volume"], next(iter(training_steps(scans, first=2, **OPTIONS)))["volume"])


def test_a_stage_on_latents_is_not_augmented(brains):
    latents, darken = np.ones((10, 2, 4, 6, 8, 6), np.float16), Darken()
    options = {**OPTIONS, "want_volumes": False, "want_latents": True}
    batch = next(iter(training_steps(Scans(brains, range(10), 2, latents), first=0, augment=darken, **options)))
    assert "volume" not in batch
    assert (batch["latent"] == 1).all()
    assert not darken.keys


def test_the_vae_alone_asks_for_it(brains, tmp_path):
    """Every call is a scan of the VAE's batches (lightning reads one ahead): none for latents or later stages."""
    darken = Darken()
    train_tiny(brains, tmp_path, preset=SHORT, augment=darken)
    assert darken.keys == [(3, step, place) for step in range(2 + 1) for place in range(SHORT.vae.batch)]


def test_latents_and_validation_read_the_scans_as_they_are(brains, tmp_path):
    """A VAE that learns nothing (rate 0) makes the same latents and metrics, augmented or not."""
    frozen = replace(SHORT, vae=replace(SHORT.vae, learning_rate=0.0))
    plain = train_tiny(brains, tmp_path / "plain", preset=frozen)
    dark = train_tiny(brains, tmp_path / "dark", preset=frozen, augment=Darken(0.1))
    latents = [np.load(tmp_path / name / "training" / "latents.npy") for name in ("plain", "dark")]
    assert np.array_equal(*latents)
    assert all(plain.stages[stage].metrics == dark.stages[stage].metrics for stage in plain.stages)


def test_augmentation_changes_the_weights_and_the_card_says_how(brains, tmp_path):
    plain = train_tiny(brains, tmp_path / "plain", preset=SHORT)
    dark = train_tiny(brains, tmp_path / "dark", preset=SHORT, augment=Darken())
    assert plain.augmentation is None
    assert read_card(tmp_path / "dark").augmentation == {"share": 0.5}
    assert dark.files["vae.safetensors"] != plain.files["vae.safetensors"]


def test_another_augmentation_trains_anew_and_the_same_does_not(brains, tmp_path):
    told = []
    options = {"preset": SHORT, "progress": lambda what, *_, note="": told.append(what)}
    train_tiny(brains, tmp_path, **options)
    first = hash_of(tmp_path, "vae")
    for share in (0.5, 0.4):
        told.clear()
        train_tiny(brains, tmp_path, **options, augment=Darken(share))
        assert not any("finished before" in what for what in told)
    assert hash_of(tmp_path, "vae") != first
    told.clear()
    train_tiny(brains, tmp_path, **options, augment=Darken(0.4))
    assert told == [f"{stage} (finished before)" for stage in ("vae", "denoiser", "autoencoder")]


def test_a_nan_volume_is_named_though_augmented(make_brains, tmp_path):
    cache = make_brains(tmp_path / "cache", spoil=4)
    with pytest.raises(ScanError, match=r"sub-S9P0004/ses-M00/1: expected a finite loss at step 0"):
        train_tiny(cache, tmp_path / "model", training_rows=[3, 4, 5, 6], augment=Augmentation(GRID.spacing_mm))


def test_the_estimate_counts_what_augmentation_takes():
    class Slow(Darken):
        def __call__(self, volume, key):
            time.sleep(0.2)
            return super().__call__(volume, key)

    seconds = OVERHEAD * TINY.vae.steps * TINY.vae.batch * 0.2
    assert estimate(TINY, 10, CPU, augment=Slow()).minutes > seconds / 60
    assert estimate(TINY, 10, CPU).minutes < seconds / 60


@pytest.mark.parametrize("asked", [[], ["--augment"]])
def test_the_command_augments_where_it_is_told_to(asked, brains, tmp_path, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "tiny", SHORT)
    monkeypatch.setattr(model_steps, "_training_rows", lambda *_: (brains, list(range(10)), [10, 11]))
    monkeypatch.setattr(model_steps, "read_sidecar", lambda _: SimpleNamespace(cohort="ellipsoids", members=()))
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main(["train", str(tmp_path), "--preset", "tiny", "--device", "cpu", *asked])
    expected = Augmentation(SHORT.spacing_mm).describe() if asked else None
    assert read_card(Workspace(tmp_path).model("tiny")).augmentation == expected
