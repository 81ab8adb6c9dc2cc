"""A scanner: contrast, point spread, bias field, motion, Rician noise, and heads that never lie quite the same."""

from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.errors import SettingsError
from neurolatent.phantom.lattice import Points, ScalarField, blur
from neurolatent.phantom.motion import with_motion
from neurolatent.phantom.parameters import PhantomParameters, Scanner

Placement = Float[np.ndarray, "4 4"]
"""A rigid or similarity transform of world coordinates in millimetres."""
HEAD_CENTRE_MM = (0.0, -17.0, 5.0)
NOISE_REFERENCE_MM = 1.5
BIAS_TERMS = 9
BIAS_REACH_MM = 90.0
"""Where each term of the bias field's logarithm has the stated standard deviation."""
MOST_DEGREES = 10.0
VOXEL_LIMITS_MM = (0.8, 3.0)
ANY_ORIENTATION = "any"
ORIENTATIONS = tuple("".join(letters) for axes in permutations(("RL", "AP", "SI")) for letters in product(*axes))
"""All 48 ways to store a volume: where its first, second and third axis lead."""
Axes = tuple[Tensor, Tensor, Tensor]
"""Voxel positions in millimetres along x, y and z."""


@dataclass(frozen=True, eq=False)
class Acquisition:
    """What is particular to one scan, drawn before any of it is applied."""

    scanner: Scanner
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
    motion_mm_per_min: float
    motion_seed: int
    voxel_mm: tuple[float, float, float]
    """Of a raw scan, along x, y and z."""
    orientation: str
    """Of a raw scan's file."""


@dataclass(frozen=True)
class RawProtocol:
    """What all raw scans of a cohort have in common, where it is not left to their scanners."""

    voxel_mm: tuple[float, float, float] | None = None
    orientation: str | None = None
    """One of 48, or `any`: drawn for every scan."""
    still: bool = False
    """Nobody moves."""

    def check(self, space: str) -> None:
        """Refuse voxels and orientations that no scan has, and any for images that are not raw."""
        if space != "raw" and self != RawProtocol():
            msg = f"Voxels, orientation and rest are those of raw scans, got them for {space} space. State raw space."
            raise SettingsError(msg)
        low, high = VOXEL_LIMITS_MM
        if self.voxel_mm is not None and not all(low <= size <= high for size in self.voxel_mm):
            msg = f"Expected voxels of {low} to {high} mm, got {self.voxel_mm}. State others."
            raise SettingsError(msg)
        if self.orientation not in {None, ANY_ORIENTATION, *ORIENTATIONS}:
            msg = f"Expected an orientation such as RAS or LPI, or `{ANY_ORIENTATION}`, got {self.orientation!r}."
            raise SettingsError(msg)


def draw_acquisition(
    rng: np.random.Generator, parameters: PhantomParameters, scanner: Scanner, *, median_motion_mm_per_min: float
) -> Acquisition:
    """Draw a scan in standard space, where registration leaves a small misplacement and bias."""
    scans = parameters.scans
    return Acquisition(
        scanner=scanner,
        placement=placement(
            scans["reposition_degrees"] * rng.standard_normal(3), scans["reposition_mm"] * rng.standard_normal(3)
        ),
        bias=rng.standard_normal(BIAS_TERMS),
        bias_sd=scans["bias_sd"],
        noise_seed=int(rng.integers(2**63)),
        noise_sd=scans["noise_sd"],
        gain=1.0,
        ventricle_day=scans["ventricle_day_sd"] * float(rng.standard_normal()),
        motion_mm_per_min=_motion(rng, parameters, median_motion_mm_per_min),
        motion_seed=int(rng.integers(2**63)),
        voxel_mm=scanner.raw_voxel_mm,
        orientation=scanner.raw_orientation,
    )


def draw_raw_acquisition(
    rng: np.random.Generator,
    parameters: PhantomParameters,
    scanner: Scanner,
    *,
    median_motion_mm_per_min: float,
    protocol: RawProtocol,
) -> Acquisition:
    """Draw a raw scan: the head's own pose, full bias, the scanner's arbitrary gain."""
    scans = parameters.scans
    drawn = draw_acquisition(rng, parameters, scanner, median_motion_mm_per_min=median_motion_mm_per_min)
    degrees = (scans["raw_pose_degrees"] * rng.standard_normal(3)).clip(-MOST_DEGREES, MOST_DEGREES)
    shift_mm, gain, one_of = scans["raw_pose_mm"] * rng.standard_normal(3), rng.normal(6.5, 0.3), rng.random()
    wanted = protocol.orientation or scanner.raw_orientation
    return replace(
        drawn,
        placement=placement(degrees, shift_mm),
        bias_sd=scans["raw_bias_sd"],
        gain=float(np.exp(gain)),
        motion_mm_per_min=0.0 if protocol.still else drawn.motion_mm_per_min,
        voxel_mm=protocol.voxel_mm or scanner.raw_voxel_mm,
        orientation=ORIENTATIONS[int(one_of * len(ORIENTATIONS))] if wanted == ANY_ORIENTATION else wanted,
    )


def _motion(rng: np.random.Generator, parameters: PhantomParameters, median_mm_per_min: float) -> float:
    motion = parameters.motion
    drawn = median_mm_per_min * np.exp(motion["log_sd"] * rng.standard_normal())
    return float(min(drawn, motion["most_mm_per_min"]))


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


def weighted(maps: Float[Tensor, "4 n"], hypointense: Float[Tensor, " n"], scanner: Scanner) -> Float[Tensor, " n"]:
    """Turn tissue shares (as in MAPS) into the scanner's intensities; hypointense white matter is as dark as grey."""
    grey, white, intracranial, detail = maps
    fluid, dark = intracranial - grey - white, white * hypointense
    return scanner.fluid * fluid + scanner.grey * (grey + dark) + scanner.white * (white - dark) + detail


def spread(intensity: ScalarField, scanner: Scanner, spacing_mm: float) -> ScalarField:
    """Blur as the scanner's point spread does."""
    return blur(intensity[None], scanner.point_spread_mm / spacing_mm)[0]


def record(intensity: ScalarField, axes: Axes, acquisition: Acquisition) -> ScalarField:
    """Shade by the bias field, let the head move, add Rician noise, apply the gain."""
    x_mm, y_mm, z_mm = (float(axis[1] - axis[0]) for axis in axes)
    spacing_mm = (x_mm * y_mm * z_mm) ** (1 / 3)
    shaded = with_motion(
        intensity * bias_field(acquisition, axes),
        dose_mm_per_min=acquisition.motion_mm_per_min,
        seed=acquisition.motion_seed,
        spacing_mm=(x_mm, y_mm, z_mm),
    )
    sd = acquisition.noise_sd * acquisition.scanner.white * NOISE_REFERENCE_MM / spacing_mm
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
