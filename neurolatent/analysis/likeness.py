"""Score many volumes against their targets, over one region per target."""

from dataclasses import dataclass

import numpy as np
import torch

from neurolatent import metrics
from neurolatent.analysis.study import MaskArrays
from neurolatent.shapes import Values, VolumeArray

BATCH_SCANS = 8


@dataclass(frozen=True)
class Likeness:
    """Scores of some volumes; SSIM is absent on a grid too coarse for its window."""

    mse: Values
    ssim: Values | None
    ssim_whole_grid: Values | None


def score(predicted: VolumeArray, target: VolumeArray, masks: MaskArrays) -> Likeness:
    """Score each volume against the target of the same place."""
    with_ssim = metrics.has_ssim(target.shape[1:])
    mse, ssim, whole = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    for start in range(0, len(target), BATCH_SCANS):
        part = slice(start, start + BATCH_SCANS)
        volume, real, mask = (torch.from_numpy(array[part])[:, None] for array in (predicted, target, masks))
        mse.append(metrics.masked_mse(volume, real, mask).numpy())
        if with_ssim:
            inside, everywhere = metrics.masked_and_whole_ssim(volume, real, mask)
            ssim.append(inside.numpy())
            whole.append(everywhere.numpy())
    joined = [np.concatenate(parts).astype(np.float64) if parts else None for parts in (ssim, whole)]
    return Likeness(np.concatenate(mse).astype(np.float64), joined[0], joined[1])
