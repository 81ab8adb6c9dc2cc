"""Copies of a standard-space brain as another scanner and another registration might have given it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torchio as tio
from jaxtyping import Float
from torch import Tensor
from torchio.transforms import Affine, BiasField, Blur, Compose, Gamma

OneVolume = Float[Tensor, "1 i j k"]
Triple = tuple[float, float, float]
BIAS_ORDER = 2
BIAS_TERMS = 9
"""Polynomials of x, y and z up to that order but the constant, which the scaling to [0, 1] has taken out."""
STREAM = 1
"""Keeps these draws apart from the others that are made from the same seed and step."""


@dataclass(frozen=True)
class Change:
    """What is done to one volume."""

    rotation_degrees: Triple
    shift_mm: Triple
    scales: Triple
    gamma: float
    bias_coefficients: tuple[float, ...]
    blur_sd_mm: float
    noise_sd: float
    noise_seed: int


@dataclass(frozen=True)
class Augmentation:
    """Change volumes of one grid; the same key (seed, step, place in the batch) changes a volume alike.

    Each size is the largest: draws are uniform from nought to it, or from minus it where there are two directions.
    The sizes are chosen, not fitted to any cohort.
    """

    spacing_mm: float
    """Of the grid."""
    rotation_degrees: float = 3.0
    """About each axis, for what a registration to the template leaves over."""
    shift_mm: float = 2.0
    """Along each axis, for the same reason."""
    scale: float = 0.03
    """A share of the brain's size along each axis, likewise."""
    log_gamma: float = 0.15
    """Of the exponent: grey matter at 0.7 of white then lies at 0.66 to 0.74, for other protocols' contrast."""
    bias: float = 0.06
    """Of each term of the log field at the grid's edge: a median SD of 2 % across the brain, left by a correction."""
    blur_sd_mm: float = 0.7
    """Widens a point spread of 1 mm (full width at half maximum) to 1.9 mm: from fine to coarse protocols."""
    noise_sd_at_1_mm: float = 0.03
    """A share of the range [0, 1]: white matter at a signal-to-noise ratio of about 30, in voxels of 1 mm."""

    def describe(self) -> dict[str, float]:
        """Return what, when changed, makes other volumes."""
        return asdict(self)

    def draw(self, key: Sequence[int]) -> Change:
        """Draw what is done to the volume of this key; no other random numbers are read or moved."""
        rng = np.random.default_rng(np.random.SeedSequence(list(key), spawn_key=(STREAM,)))
        finest = max(self.spacing_mm, 1.0)
        return Change(
            rotation_degrees=_triple(rng.uniform(-self.rotation_degrees, self.rotation_degrees, 3)),
            shift_mm=_triple(rng.uniform(-self.shift_mm, self.shift_mm, 3)),
            scales=_triple(rng.uniform(1 - self.scale, 1 + self.scale, 3)),
            gamma=math.exp(rng.uniform(-self.log_gamma, self.log_gamma)),
            bias_coefficients=tuple(rng.uniform(-self.bias, self.bias, BIAS_TERMS).tolist()),
            blur_sd_mm=float(rng.uniform(0, self.blur_sd_mm)),
            # a coarser voxel is the mean of s³ fine ones
            noise_sd=float(rng.uniform(0, self.noise_sd_at_1_mm)) / finest**1.5,
            noise_seed=int(rng.integers(2**63)),
        )

    def __call__(self, volume: OneVolume, key: Sequence[int]) -> OneVolume:
        """Return a changed copy in [0, 1], still 0 outside the brain; what is no number stays none."""
        return apply_change(volume, self.draw(key), spacing_mm=self.spacing_mm)


def apply_change(volume: OneVolume, change: Change, *, spacing_mm: float) -> OneVolume:
    """Move the brain, then let contrast, field, sharpness and noise be those of another scanner."""
    world_from_voxel = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    subject = tio.Subject(
        volume=tio.ScalarImage(tensor=volume, affine=world_from_voxel),
        brain=tio.LabelMap(tensor=(volume != 0).to(torch.uint8), affine=world_from_voxel),
    )
    with torch.random.fork_rng(devices=[]):  # every torchio transform draws once, were it only to see if it applies
        image, brain = build_transform(change)(subject).get_images(intensity_only=False)
    # torchio's own noise would seed the generators of all GPUs anew
    generator = torch.Generator().manual_seed(change.noise_seed)
    noise = change.noise_sd * torch.randn(volume.shape, generator=generator)
    return (image.data.float() + noise).clamp(0, 1) * brain.data


def build_transform(change: Change) -> Compose:
    """Return a change, but for its noise, as torchio's transform."""
    return Compose(
        [
            Affine(
                scales=change.scales,
                degrees=change.rotation_degrees,
                translation=change.shift_mm,
                default_pad_value=0,
            ),
            Gamma(gamma=change.gamma),
            BiasField(coefficients=[0.0, *change.bias_coefficients], order=BIAS_ORDER),
            Blur(std=(change.blur_sd_mm, change.blur_sd_mm, change.blur_sd_mm)),
        ]
    )


def _triple(values: np.ndarray) -> Triple:
    a, b, c = (float(value) for value in values)
    return a, b, c
