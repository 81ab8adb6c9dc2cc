"""Claims about the one rule for intensities."""

import numpy as np
import pytest
import torchio as tio

from neurolatent.errors import ScanError
from neurolatent.volume.intensity import HIGH_PERCENTILE, LOW_PERCENTILE, normalise_intensity


@pytest.fixture
def scan() -> tuple[np.ndarray, np.ndarray]:
    volume = np.random.default_rng(0).normal(100.0, 20.0, (24, 20, 16))
    mask = np.zeros(volume.shape, dtype=bool)
    mask[2:-2, 2:-2, 2:-2] = True
    return volume, mask


def test_output_spans_zero_to_one_inside_and_is_zero_outside(scan):
    volume, mask = scan
    result = normalise_intensity(volume, mask)
    assert result.dtype == np.float32
    assert result[mask].min() == 0.0
    assert result[mask].max() == 1.0
    assert not result[~mask].any()


def test_the_rule_is_torchios(scan):
    volume, mask = scan
    subject = tio.Subject(
        t1w=tio.ScalarImage(tensor=volume[None].astype(np.float32)),
        mask=tio.LabelMap(tensor=mask[None].astype(np.uint8)),
    )
    rescale = tio.RescaleIntensity((0, 1), percentiles=(LOW_PERCENTILE, HIGH_PERCENTILE), masking_method="mask")
    expected = rescale(subject).t1w.numpy()[0]
    np.testing.assert_allclose(normalise_intensity(volume, mask)[mask], expected[mask], atol=1e-6)


def test_gain_and_offset_do_not_matter(scan):
    volume, mask = scan
    np.testing.assert_allclose(normalise_intensity(volume * 7 + 30, mask), normalise_intensity(volume, mask), atol=1e-6)


def test_what_lies_outside_the_mask_does_not_matter(scan):
    volume, mask = scan
    changed = np.where(mask, volume, np.nan)
    np.testing.assert_array_equal(normalise_intensity(changed, mask), normalise_intensity(volume, mask))


def test_one_hot_voxel_does_not_darken_the_rest(scan):
    volume, mask = scan
    hot = volume.copy()
    hot[5, 5, 4] = 1e6
    others = mask.copy()
    others[5, 5, 4] = False
    assert np.abs(normalise_intensity(hot, mask) - normalise_intensity(volume, mask))[others].mean() < 0.02


def test_a_constant_scan_is_refused(scan):
    _, mask = scan
    with pytest.raises(ScanError, match="Expected varying"):
        normalise_intensity(np.full(mask.shape, 3.0), mask)


def test_an_empty_mask_is_refused(scan):
    volume, mask = scan
    with pytest.raises(ScanError, match="got an empty one"):
        normalise_intensity(volume, np.zeros_like(mask))


def test_nan_inside_the_mask_is_refused_and_counted(scan):
    volume, mask = scan
    broken = volume.copy()
    broken[4:6, 5, 4] = np.nan
    with pytest.raises(ScanError, match="got 2 NaN"):
        normalise_intensity(broken, mask)


def test_a_mask_of_another_shape_is_refused(scan):
    volume, mask = scan
    with pytest.raises(ScanError, match="mask of the volume's shape"):
        normalise_intensity(volume, mask[1:])
