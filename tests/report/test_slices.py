"""Brains are drawn upright, the person's left on the left, and changes on a scale symmetric about 0."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neurolatent.errors import ScanError
from neurolatent.report.slices import CUT_MM, Picture, cut, read_picture, symmetric_limit
from neurolatent.volume.space import Grid

GRID = Grid(4.0)


def lit(x_mm: float, y_mm: float, z_mm: float) -> Picture:
    """One bright voxel at a place in MNI millimetres."""
    voxel = np.linalg.inv(GRID.world_from_voxel) @ [x_mm, y_mm, z_mm, 1]
    values = np.zeros(GRID.shape, dtype=np.float32)
    values[tuple(np.round(voxel[:3]).astype(int))] = 1
    return Picture(values, GRID.world_from_voxel)


def place_of_light(plane: str, x_mm: float, y_mm: float, z_mm: float) -> tuple[float, float]:
    """Where the light lies on the page: to the right and up, from 0 to 1."""
    page = cut(lit(x_mm, y_mm, z_mm), plane)
    up, right = np.argwhere(page == 1)[0] / (np.array(page.shape) - 1)
    return float(right), float(up)


def test_up_is_up_and_the_persons_left_is_on_the_left() -> None:
    x, y, z = CUT_MM
    assert place_of_light("coronal", 40, y, z)[0] > 0.5 > place_of_light("coronal", -40, y, z)[0]
    assert place_of_light("coronal", x, y, 60)[1] > 0.7
    assert place_of_light("axial", x, 50, z)[1] > 0.7
    assert place_of_light("sagittal", x, 50, z)[0] > 0.7


def test_a_map_stored_in_another_orientation_is_drawn_the_same(tmp_path: Path) -> None:
    picture = lit(40, CUT_MM[1], 30)
    image = nib.Nifti1Image(picture.array, picture.world_from_voxel)
    turned = image.as_reoriented(nib.orientations.axcodes2ornt(("P", "S", "R")))
    turned.to_filename(tmp_path / "map.nii.gz")
    np.testing.assert_array_equal(cut(read_picture(tmp_path / "map.nii.gz"), "coronal"), cut(picture, "coronal"))


def test_a_map_of_four_dimensions_is_refused_by_name(tmp_path: Path) -> None:
    nib.Nifti1Image(np.zeros((4, 4, 4, 2), dtype=np.float32), np.eye(4)).to_filename(tmp_path / "map.nii.gz")
    with pytest.raises(ScanError, match=r"map.nii.gz: expected one 3D volume, got shape \(4, 4, 4, 2\)"):
        read_picture(tmp_path / "map.nii.gz")


def test_one_scale_holds_for_all_maps_and_ignores_what_lies_outside_the_brain() -> None:
    mean, small, large = np.zeros((3, *GRID.shape), dtype=np.float32)
    mean[10:20] = 1
    small[10:20], large[10:20], large[30] = 0.1, -0.3, 99
    pictures = [Picture(one, GRID.world_from_voxel) for one in (small, large)]
    assert symmetric_limit(pictures, Picture(mean, GRID.world_from_voxel)) == pytest.approx(0.3)


def test_maps_without_any_change_still_have_a_scale() -> None:
    flat = Picture(np.zeros(GRID.shape, dtype=np.float32), GRID.world_from_voxel)
    assert symmetric_limit([flat], lit(0, 0, 0)) == 1.0
