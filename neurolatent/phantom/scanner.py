"""A simple scanner: contrast, point spread, bias field, Rician noise, and heads that never lie quite the same."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.phantom.lattice import Points, ScalarField, blur
from neurolatent.phantom.parameters import Site

Placement = Float[np.ndarray, "4 4"]
"""A rigid or similarity transform of world coordinates in millimetres."""
HEAD_CENTRE_MM = (0.0, -17.0, 5.0)
NOISE_REFERENCE_MM = 1.5
BIAS_TERMS = 9
BIAS_REACH_MM = 90.0
"""Where each term of the bias field's logarithm has the stated standard deviation."""
Axes = tuple[Tensor, Tensor, Tensor]
"""Voxel positions in millimetres along x, y and z."""


@dataclass(frozen=True, eq=False)
class Acquisition:
    """What is random about one scan, drawn before any of it is applied."""

    placement: Placement
    """Where the head lies: from standard space (or the person's own millimetres, raw) to the scanner's."""
    bias: Float[np.ndarray, "term"]
    bias_sd: float
    noise_seed: int
    noise_sd: float
    """Of white matter's intensity, at 1.5 mm."""
    gain: float
    ventricle_day: float
    """Difference of this day's log ventricle volume from the course's."""


def draw_acquisition(rng: np.random.Generator, scans: Mapping[str, float]) -> Acquisition:
    """Draw a scan in standard space, where registration leaves a small misplacement and bias."""
    return Acquisition(
        placement=placement(
            scans["reposition_degrees"] * rng.standard_normal(3), scans["reposition_mm"] * rng.standard_normal(3)
        ),
        bias=rng.standard_normal(BIAS_TERMS),
        bias_sd=scans["bias_sd"],
        noise_seed=int(rng.integers(2**63)),
        noise_sd=scans["noise_sd"],
        gain=1.0,
        ventricle_day=scans["ventricle_day_sd"] * float(rng.standard_normal()),
    )


def draw_raw_acquisition(rng: np.random.Generator, scans: Mapping[str, float]) -> Acquisition:
    """Draw a raw scan: the head's own pose, full bias, the scanner's arbitrary gain."""
    degrees = (scans["raw_pose_degrees"] * rng.standard_normal(3)).clip(-10.0, 10.0)
    return Acquisition(
        placement=placement(degrees, scans["raw_pose_mm"] * rng.standard_normal(3)),
        bias=rng.standard_normal(BIAS_TERMS),
        bias_sd=scans["raw_bias_sd"],
        noise_seed=int(rng.integers(2**63)),
        noise_sd=scans["noise_sd"],
        gain=float(np.exp(rng.normal(6.5, 0.3))),
        ventricle_day=scans["ventricle_day_sd"] * float(rng.standard_normal()),
    )


def placement(degrees: Float[np.ndarray, "3"], shift_mm: Float[np.ndarray, "3"]) -> Placement:
    """Return the rotation about the head's centre by these angles about x, y and z, then the shift."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[j, i] = np.sin(angle)
        turn[i, j] = -turn[j, i]
        rotation = turn @ rotation
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    centre = np.array(HEAD_CENTRE_MM)
    matrix[:3, 3] = centre + shift_mm - rotation @ centre
    return matrix


def transform(matrix: Placement, points: Points) -> Points:
    """Apply a transform of world coordinates."""
    linear = torch.tensor(matrix[:3, :3], dtype=torch.float32)
    return linear @ points + torch.tensor(matrix[:3, 3:], dtype=torch.float32)


def weighted(maps: Float[Tensor, "4 n"], site: Site) -> Float[Tensor, " n"]:
    """Turn tissue shares (as in MAPS) into the site's intensities."""
    grey, white, intracranial, detail = maps
    return site.fluid * (intracranial - grey - white) + site.grey * grey + site.white * white + detail


def spread(intensity: ScalarField, site: Site, spacing_mm: float) -> ScalarField:
    """Blur as the site's point spread does."""
    return blur(intensity[None], site.point_spread_mm / spacing_mm)[0]


def record(
    intensity: ScalarField, axes: Axes, acquisition: Acquisition, site: Site, *, spacing_mm: float
) -> ScalarField:
    """Shade by the bias field, add Rician noise, apply the gain."""
    shaded = intensity * bias_field(acquisition, axes)
    sd = acquisition.noise_sd * site.white * NOISE_REFERENCE_MM / spacing_mm
    noise = np.random.default_rng(acquisition.noise_seed).standard_normal((2, *intensity.shape), dtype=np.float32)
    real, imaginary = torch.tensor(noise) * sd
    return acquisition.gain * ((shaded + real) ** 2 + imaginary**2).sqrt()


def bias_field(acquisition: Acquisition, axes: Axes) -> ScalarField:
    """Return a smooth positive field: the exponential of a quadratic in world coordinates."""
    centred = [(axis - centre) / BIAS_REACH_MM for axis, centre in zip(axes, HEAD_CENTRE_MM, strict=True)]
    x, y, z = torch.meshgrid(*centred, indexing="ij")
    terms = (x, y, z, x * y, y * z, z * x, x**2, y**2, z**2)
    exponent = torch.zeros_like(x)
    for weight, term in zip(acquisition.bias, terms, strict=True):
        exponent += float(weight) * acquisition.bias_sd * term
    return torch.exp(exponent)
