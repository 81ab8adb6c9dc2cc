"""Likeness of two volumes: SSIM and squared error inside the brain, and SSIM over the whole grid.

SSIM follows Wang et al. 2004 (doi:10.1109/TIP.2003.819861) in 3D, with an 11-voxel Gaussian window (σ 1.5 voxels),
k 0.01 and 0.03 and a data range of 1, on volumes padded by 5 zeros. Its map is MONAI's `compute_ssim_and_cs` but for
rounding (a test holds it to that); only the voxels that a mean needs are computed, one axis at a time: 30 times faster.
Values are comparable on one grid only: 1.5 voxels are 6 mm at 4 mm and 2.25 mm at 1.5 mm.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from neurolatent.errors import SettingsError
from neurolatent.shapes import MaskVolume, Volume

WINDOW_VOXELS = 11
PADDING_VOXELS = WINDOW_VOXELS // 2
SIGMA_VOXELS = 1.5
LUMINANCE_CONSTANT = 0.01**2
CONTRAST_CONSTANT = 0.03**2
SMALLEST_EXTENT = 32
"""Below it the window covers a third of the brain: the `tiny` grid (24×32×24) has no SSIM."""

Score = Float[Tensor, " batch"]
Band = tuple[int, int]


def has_ssim(shape: Sequence[int]) -> bool:
    """Tell whether a grid is fine enough for an 11-voxel window."""
    return min(shape) >= SMALLEST_EXTENT


def comparison_region(mask: MaskVolume) -> MaskVolume:
    """Dilate the target's mask by one voxel: the one region over which all models of that target are scored."""
    return functional.max_pool3d(mask.float(), kernel_size=3, stride=1, padding=1) > 0


def masked_ssim(predicted: Volume, target: Volume, mask: MaskVolume) -> Score:
    """Average the SSIM map over the target's mask dilated by one voxel; windows are not cut at the mask."""
    region = comparison_region(mask).float()
    box = _bounding_box(region)
    inside = region[..., slice(*box[0]), slice(*box[1]), slice(*box[2])]
    return (_ssim_in_box(predicted, target, box) * inside).sum((1, 2, 3, 4)) / inside.sum((1, 2, 3, 4))


def masked_and_whole_ssim(predicted: Volume, target: Volume, mask: MaskVolume) -> tuple[Score, Score]:
    """Return `masked_ssim` and `whole_grid_ssim` from one map."""
    region, found = comparison_region(mask).float(), ssim_map(predicted, target)
    return (found * region).sum((1, 2, 3, 4)) / region.sum((1, 2, 3, 4)), found.mean((1, 2, 3, 4))


def whole_grid_ssim(predicted: Volume, target: Volume) -> Score:
    """Average the SSIM map over every voxel, background too: high whatever the model, for comparison only."""
    return ssim_map(predicted, target).mean((1, 2, 3, 4))


def masked_mse(predicted: Volume, target: Volume, mask: MaskVolume) -> Score:
    """Mean squared error over the same region as `masked_ssim`."""
    region = comparison_region(mask).float()
    squared = (predicted.float() - target.float()) ** 2
    return (squared * region).sum((1, 2, 3, 4)) / region.sum((1, 2, 3, 4))


def ssim_map(predicted: Volume, target: Volume) -> Volume:
    """Return the SSIM of every voxel."""
    i, j, k = predicted.shape[-3:]
    return _ssim_in_box(predicted, target, ((0, i), (0, j), (0, k)))


def _ssim_in_box(predicted: Volume, target: Volume, box: tuple[Band, Band, Band]) -> Tensor:
    """Return the SSIM of the voxels in a box; windows reach beyond it."""
    _check_grid(predicted, target)
    # Half precision would drown the variances, which are differences of nearly equal numbers.
    with torch.autocast(predicted.device.type, enabled=False):
        x, y = predicted.float(), target.float()
        moments = torch.stack([x, y, x * x, y * y, x * y])
        for axis, band in enumerate(box, start=-3):
            moments = _smooth(moments, axis, band)
    mean_x, mean_y, square_x, square_y, product = moments
    variance_x, variance_y = square_x - mean_x * mean_x, square_y - mean_y * mean_y
    covariance = product - mean_x * mean_y
    contrast = (2 * covariance + CONTRAST_CONSTANT) / (variance_x + variance_y + CONTRAST_CONSTANT)
    luminance = (2 * mean_x * mean_y + LUMINANCE_CONSTANT) / (mean_x**2 + mean_y**2 + LUMINANCE_CONSTANT)
    return luminance * contrast


def _smooth(values: Tensor, axis: int, band: Band) -> Tensor:
    """Weigh with the window along one axis, at the positions of the band; voxels beyond the grid are 0."""
    weights = _window_matrix(values.shape[axis], band).to(values.device)
    return torch.movedim(torch.movedim(values, axis, -1) @ weights, -1, axis)


def _window_matrix(extent: int, band: Band) -> Float[Tensor, "extent position"]:
    """Column p holds the Gaussian window centred at voxel band[0] + p; cutting it off is padding with zeros."""
    offsets = torch.arange(extent)[:, None] - torch.arange(*band)[None, :]
    window = torch.exp(-((offsets / SIGMA_VOXELS) ** 2) / 2) * (offsets.abs() <= PADDING_VOXELS)
    one_window = torch.arange(-PADDING_VOXELS, PADDING_VOXELS + 1)
    return window / torch.exp(-((one_window / SIGMA_VOXELS) ** 2) / 2).sum()


def _bounding_box(region: Volume) -> tuple[Band, Band, Band]:
    """Return the half-open ranges that hold every voxel of the batch's regions."""
    filled = region.amax((0, 1)) > 0
    if not bool(filled.any()):
        msg = "Expected a brain mask with voxels in it, got an empty one. Rerun `neurolatent preprocess`."
        raise SettingsError(msg)
    i, j, k = (_filled_range(filled.amax(other)) for other in ((1, 2), (0, 2), (0, 1)))
    return i, j, k


def _filled_range(filled: Tensor) -> Band:
    where = torch.nonzero(filled)
    return int(where.min()), int(where.max()) + 1


def _check_grid(predicted: Volume, target: Volume) -> None:
    if predicted.shape != target.shape:
        msg = f"SSIM: expected two volumes of one shape, got {tuple(predicted.shape)} and {tuple(target.shape)}."
        raise SettingsError(msg)
    if not has_ssim(target.shape[-3:]):
        msg = (
            f"SSIM: expected at least {SMALLEST_EXTENT} voxels along each axis, got {tuple(target.shape[-3:])}. "
            "Its 11-voxel window says nothing on so coarse a grid; use the squared error, or a finer preset."
        )
        raise SettingsError(msg)
