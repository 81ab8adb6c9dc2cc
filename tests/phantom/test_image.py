"""Claims about images in standard space."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurolatent.phantom.geometry import tissue_maps
from neurolatent.phantom.image import noise_free, scan
from neurolatent.phantom.people import person_rng
from neurolatent.phantom.scanner import draw_acquisition, placement
from neurolatent.phantom.subject import make_subject
from neurolatent.phantom.workbench import shared_workbench
from neurolatent.volume.space import Grid
from neurolatent.volume.template import template_maps

GRID = Grid(4.0)


def _box(low, high):
    """Voxels of the grid between two corners in MNI millimetres."""
    origin = GRID.world_from_voxel[:3, 3]
    first, last = (np.rint((np.array(corner) - origin) / GRID.spacing_mm).astype(int) for corner in (low, high))
    return tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))


def _acquisition(subject, parameters, run=1, *, motion_mm_per_min=1.0):
    rng = person_rng(1, 0, 9, run)
    return draw_acquisition(rng, parameters, subject.scanner(0.0), median_motion_mm_per_min=motion_mm_per_min)


@pytest.fixture(scope="module")
def images(bench, subjects, parameters):
    acquisition = _acquisition(subjects[0], parameters)
    return scan(bench, subjects[0], 0.0, GRID, acquisition), noise_free(bench, subjects[0], 0.0, GRID)


def test_a_scan_is_normalised_within_an_intracranial_mask(images):
    (volume, mask), _ = images
    assert volume.shape == mask.shape == GRID.shape
    assert volume.min() == 0
    assert volume.max() == 1
    assert not volume[~mask].any()
    assert 1.7e6 < mask.sum() * GRID.spacing_mm**3 < 2.3e6


def test_a_scan_shows_the_noise_free_brain_and_is_not_it(images):
    (volume, _), (clean, mask) = images
    assert 0.97 < np.corrcoef(volume[mask], clean[mask])[0, 1] < 0.9995


def test_it_lies_on_the_template(images):
    _, (clean, mask) = images
    maps = template_maps()
    voxels = np.argwhere(mask) @ GRID.world_from_voxel[:3, :3].T + GRID.world_from_voxel[:3, 3]
    nearest = np.rint(voxels - maps.world_from_voxel[:3, 3]).astype(int)
    inside = ((nearest >= 0) & (nearest < maps.t1.shape)).all(axis=1)
    template = maps.t1[tuple(nearest[inside].T)]
    assert np.corrcoef(clean[mask][inside], template)[0, 1] > 0.5


def test_ventricles_darken_their_surroundings_as_ad_goes_on(bench, subjects):
    ventricles = _box((-24, -44, 4), (24, 24, 28))
    early, late = (noise_free(bench, subjects[1], months, GRID)[0][ventricles] for months in (0.0, 48.0))
    assert np.mean(late < 0.3) > 1.1 * np.mean(early < 0.3)


def test_the_hippocampus_changes_visibly_at_four_millimetres(bench, subjects):
    temporal = _box((-40, -40, -28), (40, -4, -4))
    early, late = (noise_free(bench, subjects[1], months, GRID)[0][temporal] for months in (0.0, 48.0))
    assert late.mean() < early.mean() - 0.01


def test_repeats_differ_by_little_and_never_by_nothing(bench, subjects, parameters):
    first, second = (
        scan(bench, subjects[0], 0.0, GRID, replace(_acquisition(subjects[0], parameters, run), motion_mm_per_min=0.0))[
            0
        ]
        for run in (1, 2)
    )
    inside = (first > 0) & (second > 0)
    assert 0.95 < np.corrcoef(first[inside], second[inside])[0, 1] < 0.9999


def test_a_finer_grid_shows_the_same_brain(bench, subjects, images):
    _, (coarse, mask) = images
    fine, _ = noise_free(bench, subjects[0], 0.0, Grid(2.0))
    pooled = fine.reshape(48, 2, 60, 2, 48, 2).mean(axis=(1, 3, 5))
    assert np.corrcoef(pooled[mask], coarse[mask])[0, 1] > 0.99


def test_another_scanner_shows_the_same_brain_in_another_contrast(bench, subjects, parameters):
    north, south = (
        noise_free(bench, subjects[0], 0.0, GRID, scanner=site.scanners[0])[0] for site in parameters.sites[:2]
    )
    inside = (north > 0) & (south > 0)
    assert 0.97 < np.corrcoef(north[inside], south[inside])[0, 1] < 0.9999
    assert abs(np.median(north[inside]) - np.median(south[inside])) > 0.005


def test_hypointensities_are_dark_white_matter_of_the_drawn_volume(bench, subjects):
    for subject in subjects:
        maps = tissue_maps(bench, subject, 0.0, Grid(2.0))
        assert (maps["hypointensities"] <= maps["white"] + 1e-6).all()
        share = maps["hypointensities"].sum() / maps["intracranial"].sum()
        drawn = subject.hypointensities_ml(0.0) / subject.people.intracranial_ml[subject.row]
        assert share == pytest.approx(drawn, rel=0.06)


def test_a_head_that_moves_spoils_its_image(bench, subjects, parameters):
    still, moved = (
        scan(bench, subjects[0], 0.0, GRID, _acquisition(subjects[0], parameters, motion_mm_per_min=dose))[0]
        for dose in (0.0, 6.0)
    )
    clean, mask = noise_free(bench, subjects[0], 0.0, GRID)
    assert np.corrcoef(moved[mask], clean[mask])[0, 1] < np.corrcoef(still[mask], clean[mask])[0, 1] - 0.002


def test_a_placement_is_rigid_and_turns_about_the_heads_centre():
    matrix = placement(np.array([5.0, -3.0, 8.0]), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    centre = np.array([0.0, -17.0, 5.0, 1.0])
    np.testing.assert_allclose((matrix @ centre)[:3], [1.0, -15.0, 8.0])


@pytest.mark.gpu
def test_a_gpu_draws_the_image_that_the_cpu_draws(parameters, subjects, bench):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_gpu = shared_workbench(template_maps(), "cuda")
    there = make_subject(on_gpu, parameters, subjects[0].people, subjects[0].row)
    (drawn, mask), (expected, expected_mask) = (
        scan(one, subject, 0.0, GRID, _acquisition(subject, parameters))
        for one, subject in ((on_gpu, there), (bench, subjects[0]))
    )
    assert (mask != expected_mask).mean() < 1e-4
    np.testing.assert_allclose(drawn, expected, atol=5e-3)
    assert np.abs(drawn - expected).mean() < 1e-4
