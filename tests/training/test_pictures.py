"""Pictures of a training: of the averaged weights, cheap, and without a trace in what is learnt."""

from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
import torch

from neurolatent.errors import SettingsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import PRESETS
from neurolatent.model.weights import load_autoencoder, read_card
from neurolatent.report.training_pictures import draw_sheet
from neurolatent.training import pictures
from neurolatent.training.batches import Scans
from neurolatent.training.engine import Engine
from neurolatent.training.pictures import Album, at_rest, make_rows
from tests.training.conftest import CPU, train_tiny

STAGES = ("vae", "denoiser", "autoencoder")
TINY = PRESETS["tiny"]
SHORT = replace(TINY, **{name: replace(getattr(TINY, name), steps=6, batch=4) for name in STAGES})
OFTEN = Engine(picture_seconds=1e-9)


class Collector:
    """Keeps what it is to draw."""

    def __init__(self):
        self.sheets = {}

    def __call__(self, sheet, path):
        self.sheets[path.name] = sheet
        return np.zeros((4, 6, 3), dtype=np.uint8)


@pytest.fixture
def at_every_step(monkeypatch):
    """Let pictures cost what they may."""
    monkeypatch.setattr(pictures, "SHARE", 0)


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_pictures_change_nothing_of_what_is_learnt(brains, tmp_path, at_every_step, precision):
    collector, often = Collector(), replace(OFTEN, precision=precision)
    train_tiny(brains, tmp_path / "with", preset=SHORT, engine=often, draw=collector)
    train_tiny(brains, tmp_path / "without", preset=SHORT, engine=Engine(precision=precision))
    assert sorted(collector.sheets) == sorted(
        f"{stage}-step-{step:06d}.png" for stage in STAGES for step in range(1, 7)
    )
    assert read_card(tmp_path / "with").weights_hash == read_card(tmp_path / "without").weights_hash


def test_the_last_picture_shows_the_weights_that_are_kept(brains, tmp_path, at_every_step):
    """The average is far from the last step here, so that one could not pass for the other."""
    collector = Collector()
    preset = replace(SHORT, vae=replace(SHORT.vae, steps=20, ema_decay=0.95))
    train_tiny(brains, tmp_path, preset=preset, engine=OFTEN, draw=collector)
    model, _ = load_autoencoder(tmp_path, device=CPU)
    album = Album(collector, Scans(brains, [10, 11], 1), "validation scan", tmp_path, 1.0)
    for stage, step in (("vae", 20), ("denoiser", 6), ("autoencoder", 6)):
        drawn, expected = collector.sheets[f"{stage}-step-{step:06d}.png"].rows, make_rows(model, stage, album)
        for row, cells in expected.items():
            for one, other in zip(drawn[row], cells, strict=True):
                np.testing.assert_allclose(one.volume, other.volume, atol=1e-5, err_msg=f"{stage}: {one.title}")


def test_validation_people_are_shown_and_training_people_where_there_are_none(brains, tmp_path):
    collector = Collector()
    train_tiny(brains, tmp_path / "validated", preset=SHORT, draw=collector)
    rows = collector.sheets["vae-step-000006.png"].rows
    assert list(rows) == ["validation scan 1", "validation scan 2"]
    np.testing.assert_array_equal(rows["validation scan 2"][0].volume, brains.volumes[11].astype(np.float32))
    train_tiny(brains, tmp_path / "alone", preset=SHORT, draw=collector, validation_rows=[])
    assert list(collector.sheets["autoencoder-step-000006.png"].rows) == [f"training scan {n}" for n in (1, 2, 3)]


def test_a_slow_picture_is_drawn_seldom(brains, tmp_path):
    """Twenty times as long as a picture took must pass: steps here take a few milliseconds, a picture no less."""
    collector = Collector()
    train_tiny(brains, tmp_path, preset=TINY, engine=OFTEN, draw=collector)
    drawn = sum(name.startswith("autoencoder") for name in collector.sheets)
    assert 1 <= drawn <= 12 < TINY.autoencoder.steps


def test_no_pictures_where_none_are_wanted_and_no_negative_seconds(brains, tmp_path):
    collector = Collector()
    train_tiny(brains, tmp_path, preset=SHORT, engine=Engine(picture_seconds=0.0), draw=collector)
    assert not collector.sheets
    with pytest.raises(SettingsError, match=r"--picture-seconds: expected 0 \(none\) or more, got -1"):
        train_tiny(brains, tmp_path, engine=Engine(picture_seconds=-1.0))


def test_a_picture_that_cannot_be_drawn_stops_no_training(brains, tmp_path, caplog):
    def full_disk(sheet, path):
        raise OSError(28, f"No space left on device: {sheet.title}, {path.name}")

    plain = train_tiny(brains, tmp_path / "plain", preset=SHORT)
    card = train_tiny(brains, tmp_path / "full", preset=SHORT, engine=OFTEN, draw=full_disk)
    assert card.weights_hash == plain.weights_hash
    said = [record.message for record in caplog.records if "expected to draw a picture" in record.message]
    assert len(said) == len(STAGES)
    assert all("got OSError" in line and "No space left" in line for line in said)


def test_modes_and_random_numbers_are_left_as_they_were(brains):
    model = LatentDiffusionAutoencoder(TINY).train()
    model.denoiser.eval()
    modes, state = [module.training for module in model.modules()], torch.get_rng_state()
    album = Album(Collector(), Scans(brains, [10], 1), "scan", brains.volumes.filename, 1.0)
    for stage in STAGES:
        make_rows(model, stage, album)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    with at_rest(model):
        assert not any(module.training for module in model.modules())
    with pytest.raises(ZeroDivisionError), at_rest(model):
        _ = 1 / 0
    assert [module.training for module in model.modules()] == modes


def test_pictures_of_another_course_go(brains, tmp_path):
    leftover = tmp_path / "training" / "pictures" / "vae-step-000900.png"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    train_tiny(brains, tmp_path, preset=SHORT, draw=Collector())
    assert not leftover.exists()


def test_the_file_and_tensorboard_hold_the_drawn_pixels(brains, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_tiny(brains, tmp_path, preset=SHORT, engine=Engine(loggers=("tensorboard",)), draw=draw_sheet)
    (path,) = (tmp_path / "training" / "pictures").glob("autoencoder-*.png")
    pixels = matplotlib.image.imread(path)[..., :3]
    assert pixels.std() > 0.1
    events = EventAccumulator(str(tmp_path / "training" / "tensorboard" / "autoencoder"))
    events.Reload()
    (image,) = events.Images("picture")
    assert (image.step, image.height, image.width) == (6, *pixels.shape[:2])
