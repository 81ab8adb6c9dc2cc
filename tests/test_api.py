"""The Python interface does what its words say, with the weights in the package."""

import numpy as np
import pytest
import torch

import neurolatent
from neurolatent import LDAE
from neurolatent.device import has_fast_bfloat16
from neurolatent.errors import ScanError, SettingsError


@pytest.fixture(scope="module")
def model() -> LDAE:
    return LDAE.load(steps=5, device="cpu")


@pytest.fixture(scope="module")
def scans() -> list[np.ndarray]:
    """Two ellipsoids of grey with ventricles of different size: near enough to brains for a round trip."""
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in (48, 60, 48)), indexing="ij")
    radius = np.sqrt((i / 0.7) ** 2 + (j / 0.72) ** 2 + (k / 0.65) ** 2)
    inside = radius < 1
    return [np.float32(inside * np.where(radius < size, 0.2, 0.75)) for size in (0.2, 0.35)]


def test_decoding_an_encoding_returns_about_the_scan(model, scans):
    encoding = model.encode(scans[0])
    ceiling = model.generator.reconstruct(scans[0][None])[0]
    decoded = model.decode(encoding)
    assert decoded.shape == scans[0].shape
    assert np.abs(decoded - ceiling).mean() < 0.2 * np.abs(ceiling - ceiling.mean()).mean()


def test_the_ends_of_an_interpolation_are_the_scans_own_decodings(model, scans):
    first, second = scans
    for fraction, scan in ((0.0, first), (1.0, second)):
        end = model.interpolate(first, second, fraction)
        np.testing.assert_allclose(end, model.decode(model.encode(scan)), atol=0.02)


def test_an_edit_by_nothing_changes_nothing_and_by_something_something(model, scans):
    direction = np.random.default_rng(0).normal(size=model.encode(scans[0]).semantic.shape)
    null = model.edit(scans[0], direction, 0.0)
    np.testing.assert_allclose(null, model.decode(model.encode(scans[0])), atol=1e-6)
    assert np.abs(model.edit(scans[0], direction, 2.0) - null).max() > 0.05


def test_slabs_change_no_encoding_and_no_decoding(model, scans):
    in_slabs = LDAE.load(steps=5, device="cpu", slabs=4)
    assert in_slabs.generator.scans_at_once == 1
    whole, cut = model.encode(scans[0]), in_slabs.encode(scans[0])
    bound = 0.03 if has_fast_bfloat16(torch.device("cpu")) else 1e-4
    for one, other in ((cut.semantic, whole.semantic), (in_slabs.decode(whole), model.decode(whole))):
        assert np.linalg.norm(one - other) < bound * np.linalg.norm(other)


def test_a_full_gpu_says_that_slabs_help(model, scans, monkeypatch):
    def fill(_volumes):
        msg = "CUDA out of memory. Tried to allocate 2 GiB.\nmore"
        raise torch.cuda.OutOfMemoryError(msg)

    monkeypatch.setattr(model.generator.model, "compress", fill)
    with pytest.raises(SettingsError, match=r"Latents: expected room .* allocate 2 GiB\. Work in slabs, .*--slabs 4"):
        model.generator.compress(scans[0][None])


def test_a_scan_on_another_grid_is_refused(model):
    with pytest.raises(ScanError, match=r"model's grid \(48, 60, 48\), got shape \(24, 32, 24\)"):
        model.encode(np.zeros((24, 32, 24), dtype=np.float32))


def test_every_public_name_exists_and_others_do_not():
    for name in neurolatent.__all__:
        assert callable(getattr(neurolatent, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = neurolatent.nothing
