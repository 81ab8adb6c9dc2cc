"""Memory is no part of a result: caching and validation give the same however many scans are held at once."""

import numpy as np
import pytest

from neurolatent.model.weights import load_autoencoder
from neurolatent.training.batches import Scans
from neurolatent.training.latents import cache_latents
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


def test_latents_are_computed_one_scan_at_a_time(model, brains, monkeypatch, tmp_path):
    counts = watch(monkeypatch, model.vae, "encode")
    found = cache_latents(model, Scans(brains, range(4), 2), tmp_path / "latents.npy", device=CPU, progress=None)
    assert counts == [1] * 8
    assert len(np.unique(found.reshape(8, -1), axis=0)) == 8
