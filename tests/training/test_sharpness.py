"""Structure and frequencies, against MONAI and against spectra worked out by hand."""

import pytest
import torch
from monai.metrics.regression import compute_ms_ssim
from torch.nn import functional

from neurolatent.training.sharpness import SCALE_WEIGHTS, count_scales, frequency_error, structure_error


@pytest.fixture
def volume():
    return functional.avg_pool3d(torch.rand(2, 1, 50, 52, 50, generator=torch.Generator().manual_seed(0)), 3, 1)


def test_structure_is_that_of_monai_where_monai_has_one(volume):
    other = volume + 0.05 * torch.randn(volume.shape, generator=torch.Generator().manual_seed(1))
    assert count_scales(tuple(volume.shape[2:])) == 3
    weights = torch.tensor(SCALE_WEIGHTS[:3])
    expected = compute_ms_ssim(other, volume, 3, weights=(weights / weights.sum()).tolist())[:, 0]
    torch.testing.assert_close(1 - structure_error(volume, other), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("extent", "scales"), [(8, 1), (11, 1), (22, 2), (48, 3), (128, 4), (176, 5)])
def test_a_coarse_grid_has_fewer_scales(extent, scales):
    assert count_scales((extent, extent + 40, extent)) == scales


@pytest.mark.parametrize("error", [structure_error, frequency_error])
def test_a_volume_is_like_itself_and_a_blurred_one_less_so(volume, error):
    blurred = functional.avg_pool3d(volume, 3, 1, 1)
    assert error(volume, volume) == pytest.approx([0, 0], abs=1e-6)
    assert (error(volume, blurred) > 0).all()
    assert (error(volume, functional.avg_pool3d(volume, 5, 1, 2)) > error(volume, blurred)).all()


@pytest.mark.parametrize("error", [structure_error, frequency_error])
def test_opposed_and_constant_volumes_have_finite_gradients(volume, error):
    for made in (1 - volume, torch.zeros_like(volume), volume):
        reconstruction = made.clone().requires_grad_()
        error(volume, reconstruction).sum().backward()
        assert torch.isfinite(reconstruction.grad).all()


@pytest.mark.parametrize("extent", [6, 7])
def test_half_a_spectrum_counts_as_the_whole(extent):
    difference = torch.randn(2, 1, 4, 5, extent, dtype=torch.float64)
    power = torch.fft.fftn(difference, dim=(2, 3, 4), norm="ortho").abs() ** 2
    focus = power.sqrt() / power.sqrt().flatten(1).amax(1)[:, None, None, None, None]
    expected = (focus * power).flatten(1).mean(1)
    torch.testing.assert_close(frequency_error(torch.zeros_like(difference), difference), expected)


def test_one_frequency_that_is_off_costs_its_square():
    """The worst frequency has a weight of 1: a wave of amplitude a has a mean square of a²/2, shared by two."""
    wave = 0.4 * torch.cos(2 * torch.pi * 3 * torch.arange(16) / 16).reshape(1, 1, 16, 1, 1).expand(1, 1, 16, 8, 8)
    assert frequency_error(torch.zeros_like(wave), wave).item() == pytest.approx(0.4**2 / 2, rel=1e-4)


def test_errors_survive_half_precision_around_them(volume):
    other = volume + 0.01
    for error in (structure_error, frequency_error):
        with torch.autocast("cpu", torch.bfloat16):
            inside = error(volume, other)
        torch.testing.assert_close(inside, error(volume, other))
