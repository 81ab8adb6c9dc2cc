"""Augmented volumes are other scans of the same kind, decided by their key alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurolatent.volume.augment import Augmentation, apply_change
from neurolatent.volume.space import Grid

GRID = Grid(8.0)
AUGMENT = Augmentation(GRID.spacing_mm)
STILL = Augmentation(8.0, **dict.fromkeys(set(AUGMENT.describe()) - {"spacing_mm"}, 0.0))
KEYS = [(1, step, place) for step in range(4) for place in range(3)]


@pytest.fixture
def brain() -> torch.Tensor:
    """Bright enough that field and noise leave the range; no voxel inside is 0."""
    axes = [(np.arange(extent) - (extent - 1) / 2) * GRID.spacing_mm for extent in GRID.shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    inside = (x / 60) ** 2 + (y / 75) ** 2 + (z / 60) ** 2 < 1
    return torch.from_numpy(((0.75 + 0.24 * np.cos(x / 9)) * inside).astype(np.float32))[None]


def test_a_key_gives_the_same_whatever_ran_before(brain):
    first = AUGMENT(brain, (7, 3, 1))
    for key in KEYS:
        AUGMENT(brain, key)
    torch.rand(5)
    np.random.seed(3)  # noqa: NPY002 - a library that used this state would show
    assert torch.equal(AUGMENT(brain, (7, 3, 1)), first)


def test_seed_step_and_place_each_make_another_volume(brain):
    volumes = [AUGMENT(brain, key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]]
    for number, volume in enumerate(volumes):
        assert not any(torch.equal(volume, other) for other in [brain, *volumes[:number]])


def test_global_random_states_stay_as_they_were(brain):
    torch.manual_seed(11)
    before, numpys = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    AUGMENT(brain, (1, 2, 3))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002


def test_values_stay_in_range_and_the_volume_given_is_not_touched(brain):
    loud = replace(AUGMENT, noise_sd_at_1_mm=10.0)  # a voxel of 8 mm has a 23rd of it
    before = brain.clone()
    for key in KEYS:
        volume = loud(brain, key)
        assert (volume.dtype, volume.shape) == (torch.float32, brain.shape)
        assert 0 <= volume.min() < volume.max() <= 1
    assert torch.equal(brain, before)


def test_the_background_moves_with_the_brain_and_stays_0(brain):
    """A shift by two voxels, with all else drawn, leaves 0 wherever the shifted volume is 0."""
    for key in KEYS:
        shift = (2 * GRID.spacing_mm, 0.0, 0.0)
        change = replace(AUGMENT.draw(key), shift_mm=shift, rotation_degrees=(0.0, 0.0, 0.0), scales=(1.0, 1.0, 1.0))
        volume = apply_change(brain, change, spacing_mm=GRID.spacing_mm)
        moved = brain.roll(2, dims=1)
        assert volume[moved == 0].abs().max() == 0
        assert volume[moved > 0].min() > 0


def test_without_any_size_nothing_changes(brain):
    torch.testing.assert_close(STILL(brain, (1, 2, 3)), brain, rtol=0, atol=1e-5)


LARGE = {
    "rotation_degrees": 20.0,
    "shift_mm": 20.0,
    "scale": 0.3,
    "log_gamma": 1.0,
    "bias": 0.5,
    "blur_sd_mm": 20.0,
    "noise_sd_at_1_mm": 3.0,
}


@pytest.mark.parametrize("size", LARGE)
def test_each_size_changes_the_volume_by_itself(size, brain):
    one = replace(STILL, **{size: LARGE[size]})
    assert (one(brain, (1, 2, 3)) - brain).abs().mean() > 5e-3


def test_draws_stay_within_the_sizes_and_reach_both_ends():
    changes = [AUGMENT.draw((0, step, 0)) for step in range(300)]
    for values, most in [
        ([change.rotation_degrees for change in changes], AUGMENT.rotation_degrees),
        ([change.shift_mm for change in changes], AUGMENT.shift_mm),
        (np.array([change.scales for change in changes]) - 1, AUGMENT.scale),
        (np.log([change.gamma for change in changes]), AUGMENT.log_gamma),
        ([change.bias_coefficients for change in changes], AUGMENT.bias),
    ]:
        assert -most <= np.min(values) < -0.95 * most
        assert 0.95 * most < np.max(values) <= most


def test_noise_falls_with_the_voxels_volume():
    fine, coarse = (replace(AUGMENT, spacing_mm=mm).draw((0, 0, 0)).noise_sd for mm in (1.0, 4.0))
    assert coarse == pytest.approx(fine / 8)


def test_what_is_no_number_stays_none(brain):
    """So that training can name the bad scan."""
    brain[0, 12, 16, 12] = torch.nan
    assert AUGMENT(brain, (1, 2, 3)).isnan().any()
