"""Likeness that a blurred reconstruction lacks, told without a pretrained network: structure and frequencies."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from neurolatent.metrics import CONTRAST_CONSTANT, LUMINANCE_CONSTANT, SIGMA_VOXELS, WINDOW_VOXELS
from neurolatent.model.blocks import full_precision
from neurolatent.model.noise import PerSample
from neurolatent.shapes import Volume

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""From the finest scale on: Wang et al. 2003 (doi:10.1109/ACSSC.2003.1292216), section 3.2."""
MIDDLE = 0.5
SMALLEST_SIMILARITY = 1e-4
"""A power below 1 has no slope at 0; where the contrast of scan and reconstruction is opposed, L1 has to mend it."""

Moments = Float[Tensor, "moment batch 1 _ _ _"]


def structure_error(volume: Volume, reconstruction: Volume) -> PerSample:
    """1 − multi-scale SSIM: Wang et al. 2003, equation 7, in 3D, on as many of the five scales as the window fits.

    That is three at 48 voxels and four at 128; their weights are made to add up to 1. MONAI's gives one value for each
    scan too, but asks for 160 voxels or more for its five scales, and convolves with a dense window.
    """
    scales = count_scales(tuple(volume.shape[2:]))
    weights = torch.tensor(SCALE_WEIGHTS[:scales], device=volume.device)
    x, y = full_precision(volume), full_precision(reconstruction)
    similarity = x.new_ones(len(x))
    for scale, weight in enumerate((weights / weights.sum()).tolist(), start=1):
        whole, contrast = _similarities(x, y)
        similarity = similarity * (whole if scale == scales else contrast).clamp(min=SMALLEST_SIMILARITY) ** weight
        x, y = functional.avg_pool3d(x, 2), functional.avg_pool3d(y, 2)
    return 1 - similarity


def count_scales(shape: tuple[int, ...]) -> int:
    """Return at how many scales a grid holds the window: one at least."""
    fitting = [scale for scale in range(len(SCALE_WEIGHTS)) if min(shape) >> scale >= WINDOW_VOXELS]
    return max(1, len(fitting))


def frequency_error(volume: Volume, reconstruction: Volume) -> PerSample:
    """Focal frequency loss: Jiang et al. 2021, equations 7 and 8 with α = 1 (arXiv:2012.12821), in 3D.

    The squared error of each frequency, weighed by its own size: the frequencies that are worst count most. As the
    spectrum of a real volume is symmetric, half of it is computed; what has a mirrored copy counts twice.
    """
    with torch.autocast(volume.device.type, enabled=False):
        difference = full_precision(reconstruction) - full_precision(volume)
        spectrum = torch.fft.rfftn(difference, dim=(2, 3, 4), norm="ortho")
        squares = spectrum.real**2 + spectrum.imag**2
    size = squares.detach().sqrt()
    focus = size / size.flatten(1).amax(1).clamp(min=torch.finfo(size.dtype).tiny)[:, None, None, None, None]
    extent = volume.shape[4]
    copies = squares.new_full((squares.shape[4],), 2.0)
    copies[0] = 1
    if extent % 2 == 0:
        copies[-1] = 1
    return (focus * squares * copies).flatten(1).sum(1) / volume[0].numel()


def _similarities(x: Volume, y: Volume) -> tuple[PerSample, PerSample]:
    """Return the mean SSIM of each scan, and its part without luminance, over the windows that lie inside."""
    with torch.autocast(x.device.type, enabled=False):
        # Counted from the middle of the range: variances are differences of nearly equal numbers.
        low_x, low_y = x - MIDDLE, y - MIDDLE
        moments = torch.stack([low_x, low_y, low_x * low_x, low_y * low_y, low_x * low_y])
        for axis in (3, 4, 5):
            moments = _smooth(moments, axis)
    mean_x, mean_y, square_x, square_y, product = moments
    variances = square_x - mean_x**2 + square_y - mean_y**2
    contrast = (2 * (product - mean_x * mean_y) + CONTRAST_CONSTANT) / (variances + CONTRAST_CONSTANT)
    mean_x, mean_y = mean_x + MIDDLE, mean_y + MIDDLE
    luminance = (2 * mean_x * mean_y + LUMINANCE_CONSTANT) / (mean_x**2 + mean_y**2 + LUMINANCE_CONSTANT)
    return (luminance * contrast).flatten(1).mean(1), contrast.flatten(1).mean(1)


def _smooth(values: Moments, axis: int) -> Moments:
    """Weigh with a Gaussian window along one axis; on a grid smaller than the window, with what there is of it."""
    columns = _windows(values.shape[axis]).to(values.device, values.dtype)
    return torch.movedim(torch.movedim(values, axis, -1) @ columns, -1, axis)


@cache
def _windows(extent: int) -> Float[Tensor, "extent position"]:
    """Column p holds the window that begins at voxel p."""
    window = min(WINDOW_VOXELS, extent)
    offsets = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    weights = torch.exp(-((offsets / SIGMA_VOXELS) ** 2) / 2)
    columns = torch.zeros(extent, extent - window + 1, dtype=torch.float64)
    for position in range(columns.shape[1]):
        columns[position : position + window, position] = weights / weights.sum()
    return columns
