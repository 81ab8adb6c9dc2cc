"""Claims about heads that move while they are scanned."""

import numpy as np
import pytest
import torch
from torch import Tensor

from neurolatent.errors import SettingsError
from neurolatent.phantom.motion import (
    GAIN,
    JERK_MM,
    SCAN_MINUTES,
    SLOW_AXIS,
    acquire,
    head_positions,
    with_motion,
)

SEEDS = range(6)
COARSE_MM, FINE_MM = (4.0, 4.0, 4.0), (2.0, 2.0, 2.0)


def _head(shape: tuple[int, int, int]) -> Tensor:
    """A smooth-edged ellipsoid with a fluid-like hollow, in an empty field of 192 × 240 × 192 mm."""
    x, y, z = torch.meshgrid(
        *(
            (torch.arange(count) - (count - 1) / 2) * extent / count
            for count, extent in zip(shape, (192, 240, 192), strict=True)
        ),
        indexing="ij",
    )
    outer = torch.sigmoid((1 - ((x / 60) ** 2 + (y / 75) ** 2 + (z / 55) ** 2).sqrt()) * 20)
    hollow = torch.sigmoid((1 - ((x / 25) ** 2 + (y / 30) ** 2 + ((z - 8) / 15) ** 2).sqrt()) * 8)
    return outer * (1 - 0.7 * hollow)


@pytest.fixture(scope="module")
def head() -> Tensor:
    return _head((48, 60, 48))


def _moved(
    head: Tensor,
    dose: float,
    seed: int = 1,
    spacing_mm: tuple[float, float, float] = COARSE_MM,
    slow_axis: int = SLOW_AXIS,
) -> Tensor:
    return with_motion(head, dose_mm_per_min=dose, seed=seed, spacing_mm=spacing_mm, slow_axis=slow_axis)


def _lost(head: Tensor, dose: float) -> float:
    return sum(float((_moved(head, dose, seed) - head).abs().mean()) for seed in SEEDS) / len(SEEDS)


def test_a_head_at_rest_is_left_exactly_as_it_is(head: Tensor):
    assert torch.equal(_moved(head, 0.0), head)


def test_hardly_any_motion_hardly_changes_the_image(head: Tensor):
    assert float((_moved(head, 1e-4) - head).abs().max()) < 1e-3


def test_the_same_seed_gives_the_same_bits_and_another_another_image(head: Tensor):
    assert torch.equal(_moved(head, 3.0), _moved(head, 3.0))
    assert not torch.allclose(_moved(head, 3.0), _moved(head, 3.0, seed=2), atol=1e-3)


def test_more_motion_spoils_more(head: Tensor):
    lost = [_lost(head, dose) for dose in (0.5, 1.0, 2.0, 4.0, 8.0)]
    assert lost == sorted(lost)
    assert lost[-1] > 2 * lost[0]


def test_the_head_moves_as_far_as_the_dose_says():
    minutes = np.linspace(-1, SCAN_MINUTES + 1, 100_001)
    for seed, dose in enumerate((0.3, 1.0, 4.0)):
        steps_mm = np.linalg.norm(np.diff(head_positions(minutes, dose, seed), axis=0), axis=1)
        # Two jerks that begin or end within one of the 4 ms shorten the way: rare, and by little.
        np.testing.assert_allclose(steps_mm.sum(), GAIN * dose * SCAN_MINUTES, rtol=0.02)


def test_a_higher_dose_adds_jerks_to_those_of_a_lower_one():
    minutes = np.linspace(0, SCAN_MINUTES, 2001)
    one_more = 2 * JERK_MM / (GAIN * SCAN_MINUTES)
    low, high = (head_positions(minutes, jerks * one_more, 4) for jerks in (3, 4))
    apart = np.linalg.norm(np.diff(high - low, axis=0), axis=1)
    assert (apart > 1e-9).sum() <= 2
    np.testing.assert_allclose(apart[apart > 1e-9], JERK_MM)


def _edges(image: Tensor) -> Tensor:
    return torch.stack(torch.gradient(image)).norm(dim=0).flatten()


def test_a_jerk_at_mid_scan_leaves_the_heads_edges_where_it_rests():
    head, middle = _head((96, 120, 96)), np.array([SCAN_MINUTES / 2])
    seeds = [seed for seed in range(100) if np.linalg.norm(head_positions(middle, 0.5, seed)) > 2]
    assert len(seeds) > 5
    for seed in seeds[:6]:
        jerk = np.tile(head_positions(middle, 0.5, seed), (120, 1))
        moved = _edges(_moved(head, 0.5, seed, spacing_mm=FINE_MM))
        at_rest, displaced = (
            float(torch.corrcoef(torch.stack([moved, _edges(other)]))[0, 1])
            for other in (head, acquire(head, jerk, spacing_mm=FINE_MM))
        )
        assert at_rest > displaced


def test_a_constant_displacement_only_shifts(head: Tensor):
    displaced = np.tile([4.0, -8.0, 12.0], (60, 1))
    shifted = acquire(head, displaced, spacing_mm=COARSE_MM)
    torch.testing.assert_close(shifted, torch.roll(head, (1, -2, 3), dims=(0, 1, 2)), atol=1e-5, rtol=0)


def test_a_shift_is_in_millimetres_whatever_the_voxels(head: Tensor):
    displaced = np.tile([2.0, 3.0, 1.5], (60, 1))
    shifted = acquire(head, displaced, spacing_mm=(2.0, 1.0, 1.5))
    torch.testing.assert_close(shifted, torch.roll(head, (1, 3, 1), dims=(0, 1, 2)), atol=1e-5, rtol=0)


def test_the_total_intensity_is_roughly_kept(head: Tensor):
    for seed in SEEDS:
        assert 0.999 < float(_moved(head, 3.0, seed).sum() / head.sum()) < 1.25


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_ghosts_run_along_the_slow_axis_outside_the_head(head: Tensor, axis: int):
    moved = np.mean([_moved(head, 4.0, seed, slow_axis=axis).numpy() for seed in SEEDS], axis=0)
    # Rows through the head along each axis, near the ends of the field of view.
    ghosts: list[float] = []
    for other in range(3):
        rows = np.moveaxis(moved, other, 0)
        middle = tuple(slice(count // 2 - 4, count // 2 + 4) for count in rows.shape[1:])
        ghosts.append(float(rows[(slice(0, 3), *middle)].mean()))
    beside = [ghosts[other] for other in range(3) if other != axis]
    assert ghosts[axis] > 0.005
    assert ghosts[axis] > 3 * max(beside)


def test_the_slow_axis_is_from_back_to_front(head: Tensor):
    assert SLOW_AXIS == 1
    assert torch.equal(_moved(head, 2.0), _moved(head, 2.0, slow_axis=1))


def test_a_finer_grid_shows_the_same_motion(head: Tensor):
    fine = _head((96, 120, 96))
    pooled = torch.nn.functional.avg_pool3d(fine[None], 2)[0]
    for seed in SEEDS:
        moved_fine = _moved(fine, 3.0, seed, spacing_mm=FINE_MM)
        change_fine = torch.nn.functional.avg_pool3d((moved_fine - fine)[None], 2)[0].flatten()
        change_coarse = (_moved(pooled, 3.0, seed) - pooled).flatten()
        assert float(torch.corrcoef(torch.stack([change_fine, change_coarse]))[0, 1]) > 0.9
        assert float((change_fine - change_coarse).norm() / change_coarse.norm()) < 0.45


@pytest.mark.parametrize("dose", [-1.0, float("nan"), float("inf")])
def test_an_impossible_dose_is_refused(head: Tensor, dose: float):
    with pytest.raises(SettingsError, match=f"at least 0 mm/min, got {dose}"):
        _moved(head, dose)
