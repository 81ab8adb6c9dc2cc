"""Likeness of two volumes: known answers, and MONAI's own map."""

import pytest
import torch
from monai.metrics.regression import compute_ssim_and_cs
from torch.nn import functional

from neurolatent.errors import SettingsError
from neurolatent.metrics import comparison_region, has_ssim, masked_mse, masked_ssim, ssim_map, whole_grid_ssim

SHAPE = (36, 40, 34)


def brain(seed: int, shape: tuple[int, int, int] = SHAPE, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """A ball of smooth texture on black, and its mask."""
    rng = torch.Generator().manual_seed(seed)
    axes = [torch.linspace(-n / 2, n / 2, n) for n in shape]
    radius = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()
    mask = (radius < 12).expand(batch, 1, *shape)
    texture = torch.rand((batch, 1, *shape), generator=rng)
    smooth = functional.avg_pool3d(texture, 3, stride=1, padding=1)
    return (0.2 + 0.6 * smooth) * mask, mask


def monai_map(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    padded = [functional.pad(volume, [5] * 6) for volume in (predicted, target)]
    ssim, _ = compute_ssim_and_cs(*padded, 3, (11, 11, 11), (1.5, 1.5, 1.5), data_range=1.0, k1=0.01, k2=0.03)
    return ssim


def test_the_map_is_monais_on_volumes_padded_by_five_zeros():
    (first, mask), (second, _) = brain(1), brain(2)
    expected = monai_map(first, second)
    # MONAI's float32 convolution is itself 6e-4 off its float64 value in single voxels; the means agree.
    torch.testing.assert_close(ssim_map(first, second), expected, atol=1e-3, rtol=0)
    region = comparison_region(mask)
    in_region = torch.stack([expected[n][region[n]].mean() for n in range(2)])
    torch.testing.assert_close(masked_ssim(first, second, mask), in_region, atol=2e-6, rtol=0)
    torch.testing.assert_close(whole_grid_ssim(first, second), expected.mean((1, 2, 3, 4)), atol=2e-6, rtol=0)


def test_identical_volumes_score_one_and_no_error():
    volume, mask = brain(3)
    torch.testing.assert_close(masked_ssim(volume, volume, mask), torch.ones(2))
    assert masked_mse(volume, volume, mask).tolist() == [0, 0]


def test_a_shift_by_one_voxel_costs_far_more_inside_the_brain_than_over_the_grid():
    volume, mask = brain(4, (64, 64, 64))
    shifted = volume.roll(1, dims=2)
    assert (masked_ssim(shifted, volume, mask) < 0.8).all()
    assert (whole_grid_ssim(shifted, volume) > 0.9).all()


def test_the_score_inside_the_brain_does_not_depend_on_the_size_of_the_background():
    (first, mask), (second, _) = brain(5), brain(6)
    wide = [functional.pad(volume, [7] * 6) for volume in (first, second)]
    wide_mask = functional.pad(mask.float(), [7] * 6) > 0
    torch.testing.assert_close(masked_ssim(first, second, mask), masked_ssim(*wide, wide_mask))
    assert (whole_grid_ssim(*wide) > whole_grid_ssim(first, second)).all()


def test_each_scan_of_a_batch_is_scored_by_its_own_mask():
    (first, mask), (second, _) = brain(7), brain(8)
    mask = mask.clone()
    mask[1, :, : SHAPE[0] // 2] = False
    alone = [masked_ssim(first[n : n + 1], second[n : n + 1], mask[n : n + 1]) for n in range(2)]
    torch.testing.assert_close(masked_ssim(first, second, mask), torch.cat(alone))


def test_the_squared_error_is_averaged_over_the_dilated_mask():
    target = torch.zeros(1, 1, *SHAPE)
    mask = torch.zeros(1, 1, *SHAPE, dtype=torch.bool)
    mask[..., 10:14, 10:14, 10:14] = True
    predicted = torch.zeros(1, 1, *SHAPE)
    predicted[..., 9:15, 9:15, 9:15] = 0.5
    predicted[..., 0, 0, 0] = 1
    assert comparison_region(mask).sum() == 6**3
    torch.testing.assert_close(masked_mse(predicted, target, mask), torch.tensor([0.25]))


def test_half_precision_arithmetic_around_it_does_not_reach_the_score():
    (first, mask), (second, _) = brain(9), brain(10)
    with torch.autocast("cpu", torch.bfloat16):
        inside = masked_ssim(first, second, mask)
    torch.testing.assert_close(inside, masked_ssim(first, second, mask), atol=0, rtol=0)


def test_a_grid_too_coarse_for_the_window_is_refused():
    volume, mask = brain(11, (24, 32, 24))
    assert not has_ssim((24, 32, 24))
    assert has_ssim((48, 60, 48))
    with pytest.raises(SettingsError, match=r"at least 32 voxels along each axis, got \(24, 32, 24\)"):
        masked_ssim(volume, volume, mask)


def test_an_empty_mask_is_refused():
    volume, mask = brain(12)
    with pytest.raises(SettingsError, match="mask with voxels in it"):
        masked_ssim(volume, volume, torch.zeros_like(mask))
