"""Measured volumes against volumes that are known."""

import numpy as np
import pytest

from neurolatent.analysis.tissue import VOLUME_NAMES, class_means, measure_volumes, tissue_shares
from neurolatent.errors import ScanError
from neurolatent.volume.cache import write_cache
from neurolatent.volume.space import Grid
from neurolatent.workspace import ScanKey

FLUID, GREY, WHITE = 0.12, 0.5, 0.85


def head(ventricle_mm: float, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """White matter in a grey shell in a rim of fluid, with a ball of fluid for a ventricle."""
    affine = grid.world_from_voxel
    axes = [affine[a, 3] + affine[a, a] * np.arange(n) for a, n in enumerate(grid.shape)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt(x**2 + (y + 10) ** 2 + (z - 10) ** 2)
    volume = np.select([radius < 45, radius < 62, radius < 68], [WHITE, GREY, FLUID], 0.0)
    volume[x**2 + (y + 10) ** 2 + (z - 15) ** 2 < ventricle_mm**2] = FLUID
    noisy = volume + 0.03 * np.random.default_rng(1).normal(size=volume.shape)
    return np.clip(noisy, 0, 1) * (radius < 68), radius < 68


def measured(tmp_path, sizes, grid) -> np.ndarray:
    scans = [(ScanKey(f"s{n}", "a", "1"), *head(size, grid), "h") for n, size in enumerate(sizes)]
    cache = write_cache(tmp_path / grid.label, scans, count=len(scans), grid=grid, preprocessing="p")
    return measure_volumes(cache, range(len(scans)))


def test_the_three_typical_intensities_are_found():
    volume, mask = head(14, Grid(4.0))
    np.testing.assert_allclose(class_means(volume[mask]), [FLUID, GREY, WHITE], atol=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_a_small_class_beside_a_broad_one_is_found_however_slowly(seed):
    rng = np.random.default_rng(seed)
    parts = [
        rng.normal(mean, sd, round(200_000 * share))
        for mean, sd, share in ((0.17, 0.09, 0.27), (0.63, 0.15, 0.63), (0.905, 0.045, 0.1))
    ]
    found = class_means(np.clip(np.concatenate(parts), 0, 1))
    np.testing.assert_allclose(found, [0.17, 0.63, 0.905], atol=0.015)


def test_a_voxel_between_two_tissues_counts_in_part_for_both():
    volume, mask = head(14, Grid(4.0))
    fluid, grey, white = tissue_shares(np.append(volume[mask], [(FLUID + GREY) / 2, (GREY + WHITE) / 2]))
    assert fluid[-2] == pytest.approx(0.5, abs=0.06)
    assert white[-1] == pytest.approx(0.5, abs=0.06)
    np.testing.assert_allclose(fluid + grey + white, 1)


@pytest.mark.parametrize("spacing_mm", [4.0, 3.0])
def test_a_growing_ventricle_is_measured_in_its_box_on_any_grid(tmp_path, spacing_mm):
    sizes = np.array([10.0, 14.0, 18.0])
    found = measured(tmp_path, sizes, Grid(spacing_mm))[:, VOLUME_NAMES.index("CSF, lateral ventricles")]
    expected = (4 / 3 * np.pi * sizes**3) / (4 / 3 * np.pi * 68**3)
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=0.1)


def test_an_empty_mask_is_refused_by_the_scans_name(tmp_path):
    volume, mask = head(14, Grid(6.0))
    scans = [(ScanKey("s1", "a", "1"), volume, np.zeros_like(mask), "h")]
    cache = write_cache(tmp_path, scans, count=1, grid=Grid(6.0), preprocessing="p")
    with pytest.raises(ScanError, match="s1/a/1: expected a brain mask with voxels"):
        measure_volumes(cache, [0])
