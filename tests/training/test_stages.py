"""A training lowers its losses, tells whom it saw, stops on bad scans, and does nothing twice."""

from dataclasses import replace

import pytest
import torch

from neurolatent.errors import ScanError, SettingsError
from neurolatent.model.presets import PRESETS
from neurolatent.model.weights import load_autoencoder, read_card
from neurolatent.training.log import read_losses
from neurolatent.training.stages import estimate
from tests.training.conftest import CPU, train_tiny

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("stage", ["vae", "denoiser", "autoencoder"])
def test_every_stage_lowers_its_loss(trained, stage):
    losses = [loss for _, loss in read_losses(trained / "training" / f"{stage}.csv")]
    assert len(losses) == 60
    assert sum(losses[-15:]) < 0.95 * sum(losses[:15])


def test_card_names_the_people_of_each_stage(trained):
    card = read_card(trained)
    assert list(card.stages) == ["vae", "denoiser", "autoencoder"]
    for stage in card.stages.values():
        assert stage.subjects == tuple(("ellipsoids", f"sub-S9P{number:04d}") for number in range(10))
        assert [person for _, person in stage.validation_subjects] == ["sub-S9P0010", "sub-S9P0011"]
        assert (stage.supervised, stage.steps, stage.planned_steps) == (False, 60, 60)
    assert card.preprocessing == "ellipsoids"


def test_scaled_training_latents_have_unit_variance_inside_the_support(trained, brains):
    model, card = load_autoencoder(trained, device=CPU)
    volumes = torch.from_numpy(brains.volumes[:10].astype("float32"))[:, None]
    latents = model.compress(volumes)
    inside = model.scaling.support.bool().expand_as(latents)
    assert 0.1 < inside.float().mean() <= 1
    assert latents[inside].std().item() == pytest.approx(1, abs=0.15)
    assert card.latent_scale == pytest.approx(model.scaling.scale.item())


def test_finished_stages_are_not_redone_and_said_so(trained, brains):
    before = {path: path.stat().st_mtime_ns for path in trained.glob("*.safetensors")}
    told = []
    card = train_tiny(brains, trained, progress=lambda *what, note="": told.append(what))
    assert {path: path.stat().st_mtime_ns for path in trained.glob("*.safetensors")} == before
    assert [what for what, _, _ in told] == [f"{stage} (finished before)" for stage in card.stages]


def test_a_changed_stage_is_redone_from_there_on(brains, tmp_path):
    short = replace(
        TINY, **{name: replace(getattr(TINY, name), steps=3) for name in ("vae", "denoiser", "autoencoder")}
    )
    train_tiny(brains, tmp_path, preset=short)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.safetensors")}
    train_tiny(brains, tmp_path, preset=replace(short, denoiser=replace(short.denoiser, steps=4)))
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.safetensors")}
    redone = {name for name in before if before[name] != after[name]}
    assert redone == {"denoiser.safetensors", "autoencoder.safetensors"}


def test_weights_are_the_moving_average_not_the_last_step(brains, tmp_path):
    """With a decay of 1 the average stays where the first step left it, however long the training."""
    length = replace(TINY.vae, steps=5, ema_decay=1.0)
    nothing = replace(TINY.vae, steps=1)
    preset = replace(TINY, vae=length, denoiser=nothing, autoencoder=nothing)
    train_tiny(brains, tmp_path / "five", preset=preset)
    train_tiny(brains, tmp_path / "fast", preset=replace(preset, vae=replace(length, ema_decay=0.0)))
    kept, last = (load_autoencoder(tmp_path / name, device=CPU)[0].vae for name in ("five", "fast"))
    differences = [(a - b).abs().max().item() for a, b in zip(kept.parameters(), last.parameters(), strict=True)]
    assert max(differences) > 1e-3


def test_fine_tuning_inherits_whom_the_first_weights_saw(trained, brains, tmp_path):
    steps = {name: replace(getattr(TINY, name), steps=1) for name in ("vae", "denoiser", "autoencoder")}
    options = {"preset": replace(TINY, **steps), "training_rows": [11], "validation_rows": [], "initial": trained}
    card = train_tiny(brains, tmp_path, **options)
    people = [person for _, person in card.stages["vae"].subjects]
    assert people == [f"sub-S9P{number:04d}" for number in [*range(10), 11]]
    tuned, first = (load_autoencoder(folder, device=CPU)[0] for folder in (tmp_path, trained))
    moved = (tuned.denoiser.stem.weight - first.denoiser.stem.weight).abs().max()
    assert 0 < moved < 0.01


def test_a_nan_volume_stops_training_and_is_named(make_brains, tmp_path):
    cache = make_brains(tmp_path / "cache", spoil=4)
    with pytest.raises(ScanError, match=r"sub-S9P0004/ses-M00/1: expected a finite loss at step 0"):
        train_tiny(cache, tmp_path / "model", training_rows=[3, 4, 5, 6])
    assert not list((tmp_path / "model").glob("*.safetensors"))


def test_another_grid_is_refused_by_name(brains, tmp_path):
    with pytest.raises(
        SettingsError, match=r"Preset 'demo': expected volumes of \(48, 60, 48\) at 4 mm, got \(24, 32, 24\)"
    ):
        train_tiny(brains, tmp_path, preset=PRESETS["demo"])


def test_less_time_means_fewer_steps_and_the_card_says_so(brains, tmp_path):
    card = train_tiny(brains, tmp_path, max_minutes=0.01)
    for stage in card.stages.values():
        assert 1 <= stage.steps < stage.planned_steps == 60


def test_estimate_grows_with_scans_on_disk():
    few, many = (estimate(TINY, count, CPU) for count in (10, 1000))
    assert many.disk_mb > few.disk_mb
    assert 0 < few.minutes < 5
    assert few.memory_gb > 0
