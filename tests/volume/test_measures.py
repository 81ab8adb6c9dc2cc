"""Claims about the quality measures of one scan."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from heads import SHAPE, SPACING_MM, pose, template_head
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, gaussian_filter

from neurolatent.errors import ScanError
from neurolatent.phantom.motion import with_motion
from neurolatent.phantom.parameters import load_parameters
from neurolatent.phantom.people import draw_people, median_motion_mm_per_min, person_rng
from neurolatent.phantom.raw import raw_scan
from neurolatent.phantom.scanner import RawProtocol, draw_raw_acquisition
from neurolatent.phantom.subject import make_subject
from neurolatent.phantom.workbench import shared_workbench
from neurolatent.volume.measures import (
    bias_strength,
    clipped_share,
    mask_smoothness,
    noise_outside,
    ringing,
    template_similarity,
)
from neurolatent.volume.quality import template_distances_mm, template_mask
from neurolatent.volume.resample import resample
from neurolatent.volume.sampling import voxel_centres_mm
from neurolatent.volume.space import Grid
from neurolatent.volume.target import registration_target, template_distance_mm
from neurolatent.volume.template import template_maps

RNG = np.random.default_rng
DOSES_MM_PER_MIN = (0.0, 2.0, 4.0, 8.0)
HEADS = 3
NOISE = 0.02
"""Of white matter's intensity, as in the phantom's scans at 2 mm."""
Head = tuple[np.ndarray, np.ndarray, tuple[float, float, float]]
"""Voxels, brain, and spacing in mm."""


def _ball(shape=(48, 60, 52), radii=(15, 20, 16)) -> np.ndarray:
    axes = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    return sum((axis / radius) ** 2 for axis, radius in zip(axes, radii, strict=True)) < 1


def _noisy(image, sd, seed=0) -> np.ndarray:
    real, imaginary = RNG(seed).normal(0, sd, (2, *image.shape))
    return np.hypot(image + real, imaginary).astype(np.float32)


# Bias


@settings(deadline=None, max_examples=50)
@given(steepness=st.floats(0, 1.5), gain=st.floats(-3, 3))
def test_bias_strength_is_the_ratio_of_the_fields_ends_whatever_its_gain(steepness, gain):
    log_bias = np.broadcast_to(gain + steepness * np.linspace(0, 1, 201)[:, None, None], (201, 3, 3))
    brain = np.ones(log_bias.shape, bool)
    assert bias_strength(log_bias, brain) == pytest.approx(np.exp(0.95 * steepness) - 1, abs=1e-6)


def test_the_field_outside_the_brain_does_not_count():
    brain = _ball()
    assert bias_strength(np.where(brain, 0.1, RNG(0).normal(size=brain.shape)), brain) == pytest.approx(0, abs=1e-6)


# Mask


def test_a_ball_is_smooth_and_voxels_make_no_steps():
    fine, coarse = (_ball(tuple(2 * half for half in halves), radii) for halves, radii in _SIZES)
    assert mask_smoothness(fine, 2.0) == pytest.approx(mask_smoothness(coarse, 4.0), abs=0.004)
    assert 0.97 < mask_smoothness(fine, 2.0) < 1.01


_SIZES = (((48, 60, 50), (32, 42, 34)), ((24, 30, 25), (16, 21, 17)))


def test_a_ragged_or_leaking_mask_stands_out_far_more_than_real_masks_differ():
    # 95 masks of IXI at 4 mm: SD 0.0020 around 0.944.
    grid, spread = Grid(4.0), 0.0020
    brain = template_mask(grid)
    smooth = mask_smoothness(brain, 4.0)
    rough_mm = gaussian_filter(RNG(0).normal(size=brain.shape), 1.0)
    ragged = template_distances_mm(grid) < 3.0 * rough_mm / rough_mm.std()
    leak = brain.copy()
    leak[20:26, 48:59, 13:19] = True
    assert (leak & ~brain).sum() * 0.064 < 25  # mL
    assert smooth > 0.93
    assert mask_smoothness(ragged, 4.0) < smooth - 10 * spread
    assert mask_smoothness(leak, 4.0) < smooth - 4 * spread


def test_an_empty_mask_is_refused():
    with pytest.raises(ScanError, match="got 0 voxels"):
        mask_smoothness(np.zeros((8, 8, 8), bool), 4.0)


# Saturation


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 99), levels=st.sampled_from([12, 60, 255, 4000]))
def test_data_that_are_not_clipped_have_no_clipped_share_however_few_their_levels(seed, levels):
    brain = _ball()
    values = RNG(seed).normal(0.6, 0.12, brain.shape)
    values = np.round(levels * (values - values.min()) / np.ptp(values))
    assert clipped_share(values, brain) < 2e-4
    assert clipped_share(values.max() - values, brain) < 2e-4


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 99), share=st.floats(0.005, 0.2), levels=st.sampled_from([60, 255, 4000]))
def test_the_clipped_share_is_what_was_clipped(seed, share, levels):
    brain = _ball()
    values = RNG(seed).normal(0.6, 0.12, brain.shape)
    top = np.quantile(values[brain], 1 - share)
    saturated = np.round(levels * np.clip(values, 0, top) / top)
    assert clipped_share(saturated, brain) == pytest.approx(share, abs=0.002 + 3 / levels)


def test_a_brain_darker_than_saturated_fat_is_not_clipped():
    brain = _ball()
    values = np.where(brain, 0.5, 1.0)
    assert clipped_share(values, brain) == 0
    values[brain] = np.minimum(RNG(0).normal(0.8, 0.2, brain.sum()), 1.0)
    assert clipped_share(values, brain) > 0.1


# Ghosts


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("gain", [1.0, 300.0])
def test_a_known_ghost_is_found_along_whichever_axis_it_runs(axis, gain):
    head = _ball(radii=(14, 18, 16))
    brain = _ball(radii=(11, 15, 13))
    for ghost in (0.03, 0.08):
        in_line = np.broadcast_to(head.any(axis=axis, keepdims=True), head.shape)
        voxels = gain * _noisy(np.where(head, 1.0, ghost * in_line), 0.02)
        assert ringing(voxels, brain, (4.0, 4.0, 4.0)) == pytest.approx(ghost, rel=0.2)


@settings(deadline=None, max_examples=30)
@given(sd=st.floats(0.005, 0.06), seed=st.integers(0, 99))
def test_noise_alone_is_no_ghost(sd, seed):
    head, brain = _ball(radii=(14, 18, 16)), _ball(radii=(11, 15, 13))
    assert ringing(_noisy(head.astype(float), sd, seed), brain, (4.0, 4.0, 4.0)) < 0.35 * sd


def test_without_air_there_is_nothing_to_say():
    head, brain = _ball(radii=(14, 18, 16)), _ball(radii=(11, 15, 13))
    noisy = _noisy(head.astype(float), 0.02)
    assert ringing(np.where(head, noisy, 0), brain, (4.0, 4.0, 4.0)) is None
    assert ringing(np.where(brain, noisy, 0), brain, (4.0, 4.0, 4.0)) is None
    inner = (slice(16, -16), slice(20, -20), slice(17, -17))
    assert ringing(noisy[inner], brain[inner], (4.0, 4.0, 4.0)) is None


@pytest.fixture(scope="module")
def template_heads() -> list[Head]:
    """The template's head in a few poses, at rest and without noise."""
    return [_template_head(seed) for seed in range(HEADS)]


def _template_head(seed) -> Head:
    scan_from_template = pose(RNG(seed).normal(0, 5, 3), RNG(seed).normal(0, 4, 3))
    world_from_voxel = np.diag([*SPACING_MM, 1.0])
    world_from_voxel[:3, 3] = -(np.array(SHAPE) - 1) / 2 * SPACING_MM + (0, -16, 8)
    target = registration_target()
    template_from_voxel = np.linalg.inv(scan_from_template @ target.world_from_voxel) @ world_from_voxel
    voxels, brain = (
        resample(array, template_from_voxel, SHAPE)
        for array in (template_head() / 1000, target.inside.astype(np.float32))
    )
    return voxels, brain > 0.5, SPACING_MM


@pytest.fixture(scope="module")
def phantom_heads() -> list[Head]:
    """Heads of a few people of one anatomy, at rest and without noise, as the phantom's scanners see them at 2 mm."""
    parameters, bench = load_parameters(), shared_workbench(template_maps(), "cpu")
    drawn = draw_people(parameters, seed=11, index=np.arange(60), arm="balanced")
    drawn = draw_people(parameters, seed=11, index=np.flatnonzero(drawn.anatomy == 0)[:HEADS], arm="balanced")
    with torch.inference_mode():
        return [_phantom_head(bench, parameters, drawn, row) for row in range(HEADS)]


def _phantom_head(bench, parameters, drawn, row) -> Head:
    subject = make_subject(bench, parameters, drawn, row)
    acquisition = draw_raw_acquisition(
        person_rng(11, int(drawn.index[row]), 4, 0, 1),
        parameters,
        subject.scanner(0.0),
        median_motion_mm_per_min=median_motion_mm_per_min(parameters, drawn, row, 0.0),
        protocol=RawProtocol(voxel_mm=(2.0, 2.0, 2.0), orientation="RAS"),
    )
    still = replace(acquisition, motion_mm_per_min=0.0, noise_sd=0.0, gain=1.0 / acquisition.scanner.white)
    raw = raw_scan(subject, bench.distance(0), 0.0, still)
    standard_mm = voxel_centres_mm(raw.volume.shape, raw.standard_from_world @ raw.world_from_voxel)
    return raw.volume, (template_distance_mm(standard_mm) < -2.0).numpy(), (2.0, 2.0, 2.0)


@pytest.mark.parametrize("heads", ["template_heads", pytest.param("phantom_heads", marks=pytest.mark.slow)])
def test_ringing_rises_with_the_dose_of_motion(heads, request):
    found = np.array(
        [
            [_ringing_of(head, dose, seed) for dose in DOSES_MM_PER_MIN]
            for seed, head in enumerate(request.getfixturevalue(heads))
        ]
    )
    mean = found.mean(axis=0)
    assert (np.diff(mean) > 0.1 * mean[1]).all(), found.round(4)
    assert (found[:, -1] > 5 * found[:, 0]).all(), found.round(4)


def _ringing_of(head, dose_mm_per_min, seed) -> float:
    voxels, brain, spacing_mm = head
    moved = with_motion(torch.tensor(voxels), dose_mm_per_min=dose_mm_per_min, seed=seed, spacing_mm=spacing_mm)
    return ringing(_noisy(moved.numpy(), NOISE, seed), brain, spacing_mm)


@pytest.mark.data
def test_real_heads_ring_a_little_and_less_than_heads_that_moved_much(shared_data, template_heads):
    found: list[float] = []
    for path in sorted((shared_data / "ixi-2mm" / "images").glob("*.nii.gz"))[:10]:
        image = nib.as_closest_canonical(nib.load(path))
        brain_path = shared_data / "ixi-2mm" / "dlmuse" / path.name.replace(".nii.gz", "_dlmuse.nii.gz")
        brain = np.asarray(nib.as_closest_canonical(nib.load(brain_path)).dataobj) > 0
        spacing_mm = [float(mm) for mm in image.header.get_zooms()]
        found.append(ringing(image.get_fdata(dtype=np.float32), brain, spacing_mm))
    much = min(_ringing_of(head, 4.0, seed) for seed, head in enumerate(template_heads))
    assert min(found) > 0.003
    assert max(found) < much


# Noise


@settings(deadline=None, max_examples=15)
@given(sigma=st.floats(2, 300), seed=st.integers(0, 99))
def test_the_noise_outside_is_that_of_magnitude_air(sigma, seed):
    head = _ball()
    voxels = _noisy(np.where(head, 1000.0, 0.0), sigma, seed)
    assert noise_outside(voxels, head) == pytest.approx(0.95 * 0.655 * sigma, rel=0.04)


def test_air_that_was_zeroed_in_part_counts_where_it_was_not_and_wholly_zeroed_air_says_nothing():
    head = _ball()
    voxels = _noisy(np.where(head, 1000.0, 0.0), 20)
    whole = noise_outside(voxels, head)
    voxels[:, 46:, :26] = 0
    assert noise_outside(voxels, head) == pytest.approx(whole, rel=0.04)
    assert noise_outside(np.where(head, voxels, 0), head) is None
    assert noise_outside(np.where(binary_dilation(head), voxels, 0) - 5, head) is None


# Template


def test_similarity_is_one_for_the_template_itself_in_any_unit_and_falls_with_noise():
    grid = Grid(8.0)
    mask = template_mask(grid)
    template = RNG(0).normal(size=grid.shape)
    noise = RNG(1).normal(size=grid.shape)
    assert template_similarity(np.where(mask, 3 * template + 2, 9.0), mask, template) == pytest.approx(1)
    assert template_similarity(-template, mask, template) == pytest.approx(-1)
    assert template_similarity(template + noise, mask, template) == pytest.approx(0.5**0.5, abs=0.05)
    assert template_similarity(np.full(grid.shape, 0.4), mask, template) == 0
