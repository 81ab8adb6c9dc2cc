"""Claims about the pictures of scans: small, and never a face."""

import heads
import numpy as np
import pytest
from matplotlib.image import imread

from neurolatent.volume import head
from neurolatent.volume.load import read_scan
from neurolatent.volume.pictures import (
    CONTOUR,
    PICTURE_MM,
    SHARED_CONTOUR,
    SHOWN_WITHIN_MM,
    TEMPLATE_CONTOUR,
    write_picture,
    write_planes,
)
from neurolatent.volume.placed import Placed
from neurolatent.volume.quality import template_distances_mm, template_mask
from neurolatent.volume.space import Grid

# Machado, Oliveira and Fernandes 2009 (doi:10.1109/TVCG.2009.113), at full severity, on linear RGB.
COLOUR_BLIND = {
    "none": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
FINE = Grid(PICTURE_MM)
WIDTHS = [FINE.shape[1], FINE.shape[0], FINE.shape[0]]
MIDDLE_MM = (11.25, -15.75, 6.25)


@pytest.fixture
def placed(tmp_path, monkeypatch):
    monkeypatch.setattr(head, "_log_bias", lambda voxels, *_: np.zeros_like(voxels))
    scan = read_scan(heads.write_head(tmp_path / "head.nii.gz", heads.pose()))
    return Placed("head", scan, head.prepare_head(scan, "head"), heads.pose())


@pytest.fixture
def drawn(tmp_path, placed):
    def draw(mask, grid):
        write_picture(tmp_path / "qc" / "picture.png", placed, mask, grid)
        return imread(tmp_path / "qc" / "picture.png")[..., :3]

    return draw


def painted(picture, *colours):
    return np.any([np.isclose(picture, colour, atol=0.01).all(axis=-1) for colour in colours], axis=0)


def in_every_slice(mask):
    """Lay the three planes side by side: what holds in every slice of an axis holds in the one that is shown."""
    planes = [mask.all(axis=axis).T[::-1] for axis in range(3)]
    height = max(map(len, planes))
    # Below the shorter planes is padding.
    return np.hstack([np.pad(plane, ((0, height - len(plane)), (0, 0)), constant_values=True) for plane in planes])


def test_pictures_are_small_blank_away_from_the_brain_and_outline_the_mask(drawn):
    grid = Grid(4.0)
    picture = drawn(template_mask(grid), grid)
    assert max(*FINE.shape) <= 96
    assert picture.shape[:2] == (FINE.shape[1], sum(WIDTHS))
    blank = in_every_slice(template_distances_mm(FINE) >= SHOWN_WITHIN_MM)
    assert blank.mean() > 0.3
    assert not picture[blank].any()
    assert 300 < painted(picture, CONTOUR, SHARED_CONTOUR).sum() < 1500


def test_the_templates_outline_is_where_its_surface_is(drawn):
    far = template_distances_mm(FINE) < -12
    picture = drawn(far, FINE)
    outline = painted(picture, TEMPLATE_CONTOUR)
    assert 300 < outline.sum() < 1500
    assert not outline[in_every_slice(template_distances_mm(FINE) >= 0)].any()
    assert painted(picture, CONTOUR).sum() > 300
    assert not painted(picture, SHARED_CONTOUR).any()


def test_outlines_that_run_together_have_a_colour_of_their_own(drawn):
    picture = drawn(template_mask(FINE), FINE)
    assert painted(picture, SHARED_CONTOUR).sum() > 300
    assert not painted(picture, CONTOUR, TEMPLATE_CONTOUR).any()


def test_a_mask_of_the_whole_head_draws_no_profile(drawn):
    picture = drawn(np.ones(FINE.shape, bool), FINE)
    assert not picture[in_every_slice(template_distances_mm(FINE) >= SHOWN_WITHIN_MM)].any()
    assert painted(picture, CONTOUR).sum() > 300


def middles(values):
    """Lay the slices through the same points as the picture's side by side: at x = 11.25, y and z the middle."""
    i, j, k = (int(np.argmin(np.abs(ticks - at))) for ticks, at in zip(ticks_mm(FINE), MIDDLE_MM, strict=True))
    planes = [plane.T[::-1] for plane in (values[i], values[:, j], values[:, :, k])]
    height = max(map(len, planes))
    return np.hstack([np.pad(plane, ((0, height - len(plane)), (0, 0))) for plane in planes])


def ticks_mm(grid):
    origin_mm = grid.world_from_voxel[:3, 3]
    return [origin + grid.spacing_mm * np.arange(length) for origin, length in zip(origin_mm, grid.shape, strict=True)]


@pytest.mark.parametrize("spacing_mm", [1.5, 2.5, 4.0, 8.0])
def test_a_volume_of_any_spacing_is_drawn_where_it_lies(spacing_mm, tmp_path):
    # What rises evenly along every axis is the same on all grids, and tells left from right and up from down.
    def ramp(grid):
        x, y, z = np.meshgrid(*ticks_mm(grid), indexing="ij")
        return ((x + 2 * y + 4 * z) / 1400 + 0.5).astype(np.float32)

    grid = Grid(spacing_mm)
    write_planes(tmp_path / "picture.png", ramp(grid), grid, template_mask(grid), grid)
    picture = imread(tmp_path / "picture.png")[..., :3]
    wanted, plain = middles(ramp(FINE)), middles(template_distances_mm(FINE)) < -6
    plain &= np.ptp(picture, axis=2) == 0
    low, high = np.percentile(wanted[middles(template_distances_mm(FINE)) < 0], (0.5, 99.5))
    assert plain.sum() > 3000
    np.testing.assert_allclose(picture[plain, 0], np.clip((wanted[plain] - low) / (high - low), 0, 1), atol=0.03)


def test_a_mask_that_meets_no_slice_still_gives_a_picture(tmp_path):
    mask = np.zeros(FINE.shape, bool)
    mask[2, 2, 2] = True
    values = np.random.default_rng(0).uniform(0, 1, FINE.shape).astype(np.float32)
    write_planes(tmp_path / "picture.png", values, FINE, mask, FINE)
    picture = imread(tmp_path / "picture.png")[..., :3]
    assert painted(picture, TEMPLATE_CONTOUR).sum() > 300
    assert not painted(picture, CONTOUR, SHARED_CONTOUR).any()


@pytest.mark.parametrize("eyes", COLOUR_BLIND)
def test_colour_blind_people_tell_the_outlines_apart_and_from_the_scan(eyes):
    greys = [(level, level, level) for level in np.linspace(0, 1, 21)]
    colours = [CONTOUR, TEMPLATE_CONTOUR, SHARED_CONTOUR]
    for colour, others in ((one, [*colours[:at], *colours[at + 1 :], *greys]) for at, one in enumerate(colours)):
        # A difference of about 2 is just seen side by side; 20 is another colour.
        assert min(np.linalg.norm(seen(colour, eyes) - seen(other, eyes)) for other in others) > 20


def seen(colour, eyes):
    """Return the colour in CIE L*a*b*, as these eyes see it."""
    encoded = np.array(colour)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(COLOUR_BLIND[eyes]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    ratio = xyz / [0.9505, 1.0, 1.089]
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_the_face_lies_outside_what_is_shown():
    # Eyes, nose and chin of the template's head, in its own millimetres.
    grid = Grid(PICTURE_MM)
    for point_mm in ([32, 62, -40], [-32, 62, -40], [0, 98, -45], [0, 80, -75]):
        i, j, k = np.round(np.linalg.inv(grid.world_from_voxel) @ [*point_mm, 1])[:3].astype(int)
        assert template_distances_mm(grid)[i, j, k] > SHOWN_WITHIN_MM
