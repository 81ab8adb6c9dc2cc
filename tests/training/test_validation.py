"""Memory is no part of a result: caching and validation give the same however many scans are held at once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from neurolatent.errors import ScanError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import PRESETS
from neurolatent.model.weights import load_autoencoder
from neurolatent.training.batches import Scans, validation_batches
from neurolatent.training.latents import cache_latents, fit_scaling
from neurolatent.training.modules import CompressionStage
from neurolatent.training.validation import validate
from tests.model.published.small import SMALL
from tests.training.conftest import CPU, train_tiny


@pytest.fixture(scope="module")
def model(trained):
    return load_autoencoder(trained, device=CPU)[0].eval()


def watch(monkeypatch, network, name):
    """Return how many scans each call of a method gets, as the calls come."""
    counts, plain = [], getattr(network, name)

    def counted(scans, *rest):
        counts.append(len(scans))
        return plain(scans, *rest)

    monkeypatch.setattr(network, name, counted)
    return counts


@pytest.mark.parametrize("stage", ["vae", "denoiser", "autoencoder"])
@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_metrics_do_not_depend_on_how_many_scans_are_held(model, brains, monkeypatch, stage, at_once):
    scans = Scans(brains, range(11), 1)
    expected = validate(model, stage, scans, device=CPU)
    counts = watch(monkeypatch, model.vae, "encode")
    assert validate(model, stage, scans, device=CPU, at_once=at_once) == pytest.approx(expected, rel=1e-4)
    assert max(counts) == min(at_once, 8)
    assert sum(counts) >= 11


def test_latents_are_computed_one_scan_at_a_time(model, brains, monkeypatch, tmp_path):
    counts = watch(monkeypatch, model.vae, "encode")
    found = latents(model, brains, tmp_path)
    assert counts == [1] * 8
    assert len(np.unique(found.reshape(8, -1), axis=0)) == 8


def latents(model, brains, folder: Path, *, inputs: str = "a", progress=None) -> np.ndarray:
    scans = Scans(brains, range(4), 2)
    return cache_latents(model, scans, folder / "latents.npy", inputs=inputs, device=CPU, progress=progress)


def test_latents_that_were_cut_off_go_on_where_they_were(model, brains, monkeypatch, tmp_path):
    def stop(_what, done, _total):
        if done == 5:
            raise KeyboardInterrupt

    whole = np.array(latents(model, brains, tmp_path / "whole"))
    monkeypatch.setattr("neurolatent.training.latents.SECONDS_BETWEEN_NOTES", 0.0)
    with pytest.raises(KeyboardInterrupt):
        latents(model, brains, tmp_path / "cut", progress=stop)
    counts = watch(monkeypatch, model.vae, "encode")
    assert np.array_equal(latents(model, brains, tmp_path / "cut"), whole)
    assert len(counts) == 3
    assert np.array_equal(latents(model, brains, tmp_path / "cut"), whole)
    assert len(counts) == 3
    assert np.array_equal(latents(model, brains, tmp_path / "cut", inputs="b"), whole)
    assert len(counts) == 3 + 8


def test_the_scale_is_that_of_all_latents_however_many_are_read_at_a_time(monkeypatch):
    monkeypatch.setattr("neurolatent.training.latents.CHUNK_SCANS", 3)
    model = LatentDiffusionAutoencoder(PRESETS["tiny"])
    shape = (8, 2, PRESETS["tiny"].latent_channels, *PRESETS["tiny"].latent_shape)
    values = np.random.default_rng(1).normal(3, 2, shape).astype(np.float16)
    fit_scaling(model, values)
    plain = values[:, 0].astype(np.float64)
    assert np.allclose(model.scaling.mean, plain.mean(0), atol=1e-5)
    inside = np.broadcast_to(model.scaling.support.bool().numpy(), plain.shape)
    assert float(model.scaling.scale) == pytest.approx(1 / np.sqrt(plain.var(0)[inside[0]].mean()), rel=1e-5)
    small = LatentDiffusionAutoencoder(SMALL)
    fit_scaling(small, values[:, :, :3])
    assert float(small.scaling.scale) == pytest.approx(1 / values[:, 0, :3].astype(np.float64).std(ddof=1), rel=1e-5)


def test_a_validation_scan_that_is_no_number_is_named_before_anything_is_learnt(make_brains, tmp_path):
    cache = make_brains(tmp_path / "cache", spoil=4)
    with pytest.raises(ScanError, match=r"^sub-S9P0004/ses-M00/1: expected finite voxels, got NaN"):
        train_tiny(cache, tmp_path / "model", training_rows=[5, 6, 7], validation_rows=[3, 4])
    assert not (tmp_path / "model").exists()


def test_metrics_that_are_no_numbers_name_their_scan(model, make_brains, tmp_path):
    scans = Scans(make_brains(tmp_path, spoil=4), range(11), 1)
    with pytest.raises(ScanError, match=r"^sub-S9P0004/ses-M00/1: expected finite metrics of vae"):
        validate(model, "vae", scans, device=CPU)


def test_a_check_that_gives_no_number_names_its_scan(model, make_brains, tmp_path):
    scans = Scans(make_brains(tmp_path, spoil=4), range(11), 1)
    module = CompressionStage(model, length=PRESETS["tiny"].vae, steps=1, seed=0, name_scans=scans.names)
    batch = validation_batches(scans, 11, want_volumes=True, want_latents=False)[0]
    with torch.no_grad(), pytest.raises(ScanError, match=r"^sub-S9P0004/ses-M00/1: expected a finite loss in a check"):
        module.validation_step(batch)
