"""Head motion during a scan: every line of k-space sees the head where it then was.

The scan is a 3D T1w (MPRAGE) that acquires the planes of its slow phase-encode axis in linear order, as in a sagittal
acquisition, whose slow axis is y (A–P) and whose partitions and readout are fast. The head rests, and jerks away and
back. Only translations are simulated: a phase ramp over each plane. Ghosts run, and wrap around, along the slow axis.
"""

from math import ceil, isfinite, pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.errors import SettingsError
from neurolatent.phantom.lattice import ScalarField

SCAN_MINUTES = 5.0
ACQUIRED_MM = 1.0
"""The scan's voxel along the slow axis: a coarser image holds only the lines that were acquired in mid-scan."""
JERK_MM, JERK_SECONDS = 3.0, 5.0
"""How far the head goes, and how long it stays there (chosen: a swallow or a twitch)."""
GAIN = 21.0
"""Millimetres moved per millimetre of dose.

Tuned so that apparent grey matter falls by about 0.7 % per mm/min (Reuter 2015) between 0 and 6 mm/min, measured by
`neurolatent.analysis.tissue` in noise-free standard-space images of 4 mm; finer ones lose less. Taken literally, a
dose does a twentieth: a brain without scalp that is only translated lacks bright fat, rotations and disturbed spins.
"""
SLOW_AXIS = 1
Positions = Float[np.ndarray, "time 3"]
"""Where the head is, in millimetres along x, y and z from where it rests."""


def with_motion(
    intensity: ScalarField,
    *,
    dose_mm_per_min: float,
    seed: int,
    spacing_mm: tuple[float, float, float],
    slow_axis: int = SLOW_AXIS,
) -> ScalarField:
    """Return the magnitude image of a head that moved; the same seed moves it alike on every grid.

    Args:
        intensity: The real image of a head at rest, axes along x, y and z.
        dose_mm_per_min: Mean speed of the head; 0 returns the image itself.
        seed: Of the trajectory; a higher dose adds jerks to those of a lower one.
        spacing_mm: Of the voxels along each axis.
        slow_axis: Along which the planes of k-space are acquired one after another.
    """
    if not (isfinite(dose_mm_per_min) and dose_mm_per_min >= 0):
        msg = f"Expected a finite motion of at least 0 mm/min, got {dose_mm_per_min}. State 0 for a head at rest."
        raise SettingsError(msg)
    if dose_mm_per_min == 0:
        return intensity
    wave_numbers = np.fft.fftfreq(intensity.shape[slow_axis], spacing_mm[slow_axis])
    positions = head_positions((0.5 + ACQUIRED_MM * wave_numbers) * SCAN_MINUTES, dose_mm_per_min, seed)
    return acquire(intensity, positions, spacing_mm=spacing_mm, slow_axis=slow_axis)


def head_positions(minutes: Float[np.ndarray, " time"], dose_mm_per_min: float, seed: int) -> Positions:
    """Draw a trajectory by its jerks and return it at these times, which need not lie within the scan.

    The head goes 2 JERK_MM with each jerk, out and back, and with all of them as far as the dose says; the last jerk
    takes what is left. Positions are from where the head rests: there the image has its edges, even if the centre of
    k-space was acquired during a jerk.
    """
    jerks = GAIN * dose_mm_per_min * SCAN_MINUTES / (2 * JERK_MM)
    starts, cosines, turns = np.random.default_rng(seed).random((ceil(jerks), 3)).T
    planar, angles = np.sqrt(1 - (2 * cosines - 1) ** 2), 2 * pi * turns
    directions = np.stack([planar * np.cos(angles), planar * np.sin(angles), 2 * cosines - 1], axis=1)
    sizes_mm = JERK_MM * np.minimum(jerks - np.arange(ceil(jerks)), 1.0)
    since = minutes[:, None] - SCAN_MINUTES * starts
    away = (since >= 0) & (since < JERK_SECONDS / 60)
    return away @ (sizes_mm[:, None] * directions)


def acquire(
    intensity: ScalarField, positions: Positions, *, spacing_mm: tuple[float, float, float], slow_axis: int = SLOW_AXIS
) -> ScalarField:
    """Multiply each plane of k-space by exp(−2πi k·d), its head being displaced by d, and return the magnitude image.

    The positions are those at the planes of the slow axis, in the order of `fftfreq`.
    """
    spectrum = torch.fft.fftn(intensity)
    displaced = intensity.new_tensor(positions)
    for axis, (count, voxel_mm) in enumerate(zip(intensity.shape, spacing_mm, strict=True)):
        wave_numbers = torch.fft.fftfreq(count, voxel_mm, device=intensity.device)
        cycles = _along(wave_numbers, axis) * _along(displaced[:, axis], slow_axis)
        spectrum *= torch.polar(torch.ones_like(cycles), -2 * pi * cycles)
    return torch.fft.ifftn(spectrum).abs()


def _along(values: Float[Tensor, " n"], axis: int) -> Float[Tensor, "_ _ _"]:
    """Lay values along one axis of an image."""
    return values.reshape([-1 if other == axis else 1 for other in range(3)])
