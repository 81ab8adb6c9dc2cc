"""Claims about the pictures of raw scans: small, and never a face."""

import heads
import numpy as np
from matplotlib.image import imread

from neurolatent.volume import head
from neurolatent.volume.load import read_scan
from neurolatent.volume.pictures import CONTOUR, PICTURE_MM, SHOWN_WITHIN_MM, write_picture
from neurolatent.volume.placed import Placed
from neurolatent.volume.quality import template_distances_mm, template_mask
from neurolatent.volume.space import Grid


def test_pictures_are_small_blank_away_from_the_brain_and_outline_the_mask(tmp_path, monkeypatch):
    monkeypatch.setattr(head, "_log_bias", lambda voxels, *_: np.zeros_like(voxels))
    scan = read_scan(heads.write_head(tmp_path / "head.nii.gz", heads.pose()))
    placed = Placed("head", scan, head.prepare_head(scan, "head"), heads.pose())
    grid = Grid(4.0)
    write_picture(tmp_path / "qc" / "picture.png", placed, template_mask(grid), grid)
    picture = imread(tmp_path / "qc" / "picture.png")[..., :3]
    fine = Grid(PICTURE_MM)
    widths = [fine.shape[1], fine.shape[0], fine.shape[0]]
    assert max(*fine.shape) <= 96
    assert picture.shape[:2] == (fine.shape[1], sum(widths))
    distance_mm = template_distances_mm(fine)
    blank = np.ones(picture.shape[:2], bool)
    left = 0
    for axis, width in enumerate(widths):
        # What is blank in every slice of an axis is blank in the one that is shown.
        plane = (distance_mm >= SHOWN_WITHIN_MM).all(axis=axis).T[::-1]
        blank[: plane.shape[0], left : left + width] = plane
        left += width
    assert blank.mean() > 0.3
    assert not picture[blank].any()
    outline = np.isclose(picture, CONTOUR, atol=0.01).all(axis=-1)
    assert 300 < outline.sum() < 1500


def test_the_face_lies_outside_what_is_shown():
    # Eyes, nose and chin of the template's head, in its own millimetres.
    grid = Grid(PICTURE_MM)
    for point_mm in ([32, 62, -40], [-32, 62, -40], [0, 98, -45], [0, 80, -75]):
        i, j, k = np.round(np.linalg.inv(grid.world_from_voxel) @ [*point_mm, 1])[:3].astype(int)
        assert template_distances_mm(grid)[i, j, k] > SHOWN_WITHIN_MM
