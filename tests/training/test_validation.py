"""Memory is no part of a result: caching and validation give the same however many scans are held at once."""

import numpy as np
import pytest

from neurolatent.model.weights import load_autoencoder
from neurolatent.training import latents
from neurolatent.training.batches import Scans
from neurolatent.training.engine import Engine
from neurolatent.training.latents import BATCH_SCANS, cache_latents
from neurolatent.training.validation import validate
from tests.training.conftest import CPU


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


def test_latents_do_not_depend_on_how_many_scans_are_held(model, brains, monkeypatch, tmp_path):
    scans = Scans(brains, range(12), 2)
    options = {"device": CPU, "progress": None}
    expected = np.array(cache_latents(model, scans, tmp_path / "all.npy", **options))
    counts = watch(monkeypatch, model.vae, "encode")
    few = cache_latents(model, scans, tmp_path / "few.npy", at_once=5, **options)
    assert counts == [5, 5, 2] * 2
    np.testing.assert_allclose(few, expected, atol=2e-3)


def test_training_caches_no_more_scans_at_once_than_the_engine_allows(monkeypatch):
    assert Engine().at_most(BATCH_SCANS) == latents.BATCH_SCANS
    assert Engine(scans_at_once=2).at_most(BATCH_SCANS) == 2
    assert Engine(scans_at_once=64).at_most(BATCH_SCANS) == BATCH_SCANS
