"""Correlations of maps inside a mask, person by person and of group means."""

import numpy as np

from neurolatent.analysis.intervals import Drawn, Statistic, Weights
from neurolatent.analysis.study import MaskArrays
from neurolatent.shapes import MaskArray, Values, VolumeArray


def correlate(first: VolumeArray, second: VolumeArray, masks: MaskArrays) -> Values:
    """Pearson correlation of each pair of maps over the voxels of its mask; 0 where a map is flat."""
    found: list[float] = []
    for one, other, mask in zip(first, second, masks, strict=True):
        x, y = (volume[mask].astype(np.float64) for volume in (one, other))
        x, y = x - x.mean(), y - y.mean()
        length = np.sqrt((x @ x) * (y @ y))
        found.append(float(x @ y / length) if length > 0 else 0.0)
    return np.array(found)


def correlation_of_means(first: VolumeArray, second: VolumeArray, mask: MaskArray) -> Statistic:
    """Correlation of the two weighted mean maps over one mask; 0 where one is flat.

    The mean of centred maps is the centred mean, so all products of means come from the maps' own products: no mean
    map is ever made for a resample.
    """
    x, y = (_centred(volumes[:, mask]) for volumes in (first, second))
    cross, own_x, own_y = x @ y.T, x @ x.T, y @ y.T

    def statistic(weights: Weights) -> Drawn:
        products = [((weights @ gram) * weights).sum(1) for gram in (cross, own_x, own_y)]
        length = np.sqrt(products[1] * products[2])
        return np.divide(products[0], length, out=np.zeros_like(length), where=length > 0)

    return statistic


def _centred(rows: np.ndarray) -> np.ndarray:
    values = rows.astype(np.float64)
    return values - values.mean(1, keepdims=True)
