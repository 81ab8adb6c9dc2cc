"""Claims about fingerprints of what scans show, and the near-duplicates found with them."""

import time
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolatent.errors import ScanError
from neurolatent.volume.likeness import THRESHOLD, content_fingerprint, likeness, near_duplicates
from neurolatent.volume.quality import template_mask
from neurolatent.volume.resample import resample, resample_smoothed
from neurolatent.volume.space import Grid
from neurolatent.volume.template import template_maps
from neurolatent.workspace import ScanKey

GRID = Grid(4.0)
PEOPLE = 8


def _template(grid=GRID) -> np.ndarray:
    maps = template_maps()
    return resample_smoothed(maps.t1, np.linalg.inv(maps.world_from_voxel) @ grid.world_from_voxel, grid.shape)


def _brain(seed) -> np.ndarray:
    """The template with blobs of a few centimetres, as an anatomy of its own."""
    coarse = np.random.default_rng(seed).normal(0, 0.12, (12, 15, 12)).astype(np.float32)
    blobs = resample(coarse, np.diag([0.25, 0.25, 0.25, 1.0]), GRID.shape)
    return np.where(template_mask(GRID), np.clip(_template() + blobs, 0, 1), 0).astype(np.float32)


@pytest.fixture(scope="module")
def brains() -> list[np.ndarray]:
    return [_brain(seed) for seed in range(PEOPLE)]


def _print(volume) -> str:
    return content_fingerprint(volume.astype(np.float32), template_mask(GRID), GRID)


def test_a_fingerprint_is_under_a_kilobyte_and_the_same_for_the_same(brains):
    assert len(_print(brains[0])) <= 1000
    assert _print(brains[0]) == _print(brains[0].copy())
    assert likeness(_print(brains[0]), _print(brains[0])) == pytest.approx(1, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, PEOPLE - 1), scale=st.floats(0.3, 3), noise=st.floats(0, 0.02))
def test_requantised_rescaled_or_noisy_copies_are_near_duplicates(brains, seed, scale, noise):
    volume = brains[seed]
    rough = np.round(255 * volume) / 255
    noisy = volume + np.random.default_rng(seed).normal(0, noise, volume.shape)
    for copy in (rough, scale * volume, noisy):
        assert likeness(_print(copy), _print(volume)) > THRESHOLD + 0.02


def test_the_same_scan_on_a_finer_or_coarser_grid_is_a_near_duplicate(brains):
    for volume in brains[:3]:
        for spacing_mm in (2.0, 6.0):
            grid = Grid(spacing_mm)
            from_grid = np.linalg.inv(GRID.world_from_voxel) @ grid.world_from_voxel
            moved = resample(volume, from_grid, grid.shape).astype(np.float32)
            again = content_fingerprint(moved, template_mask(grid), grid)
            assert likeness(again, _print(volume)) > THRESHOLD + 0.02


def test_different_brains_are_not(brains):
    prints = list(map(_print, brains))
    assert max(likeness(one, other) for one, other in combinations(prints, 2)) < THRESHOLD - 0.1


def test_what_lies_outside_the_mask_does_not_tell(brains):
    outside = np.where(template_mask(GRID), brains[0], np.random.default_rng(0).random(GRID.shape))
    assert _print(outside) == _print(brains[0])


def test_near_duplicates_are_all_pairs_above_the_threshold_across_blocks(brains, monkeypatch):
    monkeypatch.setattr("neurolatent.volume.likeness.ROWS_AT_A_TIME", 3)
    noise = np.random.default_rng(0).normal(0, 0.02, GRID.shape)
    scans = {ScanKey(f"sub-{row}", "ses-1", "1"): _print(brain) for row, brain in enumerate(brains)}
    scans |= {ScanKey(f"sub-{row}", "ses-1", "2"): _print(brains[row] + noise) for row in (0, 5)}
    expected = {
        (one, other): likeness(scans[one], scans[other])
        for one, other in combinations(scans, 2)
        if likeness(scans[one], scans[other]) >= THRESHOLD
    }
    found = near_duplicates(scans)
    assert {(one, other) for one, other, _ in found} == set(expected)
    assert {one.participant_id for one, _, _ in found} == {"sub-0", "sub-5"}
    assert [value for *_, value in found] == sorted((value for *_, value in found), reverse=True)
    assert len(near_duplicates(scans, threshold=-1.0)) == len(scans) * (len(scans) - 1) // 2
    assert near_duplicates({}) == []


def test_ten_thousand_scans_take_seconds(brains):
    length = len(_print(brains[0])) // 2
    rows = np.random.default_rng(0).integers(-90, 90, (10_000, length), dtype=np.int8)
    rows[9_999] = rows[17]
    scans = {ScanKey(f"sub-{row}", "ses-1", "1"): values.tobytes().hex() for row, values in enumerate(rows)}
    began = time.perf_counter()
    ((one, other, value),) = near_duplicates(scans)
    assert time.perf_counter() - began < 20
    assert (one.participant_id, other.participant_id) == ("sub-17", "sub-9999")
    assert value == pytest.approx(1, abs=1e-5)


def test_a_blank_scan_is_like_none(brains):
    assert likeness(_print(np.zeros(GRID.shape)), _print(brains[0])) == 0


def test_another_grid_or_a_cut_fingerprint_is_refused(brains):
    with pytest.raises(ScanError, match=r"of the 2 mm grid's shape \(96, 120, 96\), got \(48, 60, 48\)"):
        content_fingerprint(brains[0], template_mask(GRID), Grid(2.0))
    with pytest.raises(ScanError, match="got 12 characters"):
        likeness(_print(brains[0]), "00" * 6)
