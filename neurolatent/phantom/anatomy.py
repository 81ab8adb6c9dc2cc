"""Anatomies with gyral patterns of their own, made from the template by large warps and perturbed tissue maps."""

from dataclasses import dataclass

import numpy as np
import torch

from neurolatent.phantom.growth import coarsen, skull_window, ventricle_velocity
from neurolatent.phantom.lattice import (
    COARSE,
    FINE,
    Field,
    Lattice,
    Points,
    ScalarField,
    VectorField,
    blur,
    flow_on_lattice,
    smooth_noise,
)
from neurolatent.phantom.regions import region_priors
from neurolatent.volume.template import TemplateMaps

REGIONS = ("ventricle", "hippocampus", "entorhinal", "temporal", "grey", "brain")
"""Regions whose volumes are drawn; `grey` is the cortex, `brain` is all grey and white matter."""
MAPS = ("grey", "white", "intracranial", "detail")

WARP_SCALES_MM, WARP_SIZES_MM = (28.0, 14.0, 8.0), (4.0, 3.2, 1.5)
TISSUE_SCALES_MM, TISSUE_SIZES = (12.0, 5.0), (0.35, 0.35)
PRIOR = Lattice(spacing_mm=2.5, shape=(66, 82, 74), centre_mm=(0.0, -17.0, 3.0))
"""Of the region priors, whose edges are soft."""
OPENING = 1.3
"""Amplitude of the ventricles' field that brings the template's to those of about 75 years."""
SHARPNESS = 2.2
FLUID_BIAS = 1.0
"""Opens the sulci that averaging many brains closed."""
TEMPLATE_INTENSITIES = (0.65, 0.87, 0.27)
"""Template T1 of pure grey matter, white matter and fluid."""
_ANATOMY_STREAM = 0xA7A7


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One gyral pattern on the FINE lattice: what an image shows, and what the regions hold."""

    index: int
    maps: Field
    """Channels as in MAPS: shares of grey, of white and of the inside of the skull; intensity beyond pure tissue's."""
    measured: Field
    """Channels as in REGIONS, the share of each node that belongs to the region; then the inside of the skull."""
    hindbrain: ScalarField
    temporal_lobe: ScalarField

    @property
    def labels(self) -> Field:
        """The channels of REGIONS alone."""
        return self.measured[: len(REGIONS)]


def build_anatomy(source: Field, index: int) -> Anatomy:
    """Make the anatomy of that number from the prepared template; the same for every cohort."""
    rng = np.random.default_rng(np.random.SeedSequence(_ANATOMY_STREAM, spawn_key=(index,)))
    nodes = FINE.points()
    places = nodes + COARSE.sample(_gyral_warp(rng, coarsen(source[2:3], FINE, COARSE)[0]), nodes)
    sampled = FINE.sample(source, places).reshape(-1, *FINE.shape)
    maps = _tissue_maps(sampled[:4], draw_noise(rng, FINE, TISSUE_SCALES_MM, TISSUE_SIZES))
    return _with_labels(index, maps, sampled[4:])


def draw_noise(
    rng: np.random.Generator, lattice: Lattice, scales: tuple[float, ...], sizes: tuple[float, ...]
) -> VectorField:
    """Draw three smooth random fields, each the sum of several scales."""
    white = torch.tensor(rng.standard_normal((3, *lattice.shape), dtype=np.float32))
    return smooth_noise(white, lattice, scales, sizes)


def _gyral_warp(rng: np.random.Generator, support: ScalarField) -> VectorField:
    """Draw a large warp that moves gyri and leaves the skull mostly where it is."""
    hold = 0.25 + 0.75 * skull_window(support, COARSE, rim_mm=5.0)
    return flow_on_lattice(draw_noise(rng, COARSE, WARP_SCALES_MM, WARP_SIZES_MM) * hold, COARSE)


def prepare_template(template: TemplateMaps) -> Field:
    """Return the template on FINE: grey, white, support, detail and region priors, its ventricles at `OPENING`.

    The template averages young adults; the phantom's people are 55 to 90 years old.
    """
    nodes = FINE.points()
    raw = _sample_template(template, nodes)
    priors = PRIOR.sample(region_priors(PRIOR.points()).reshape(-1, *PRIOR.shape), nodes).reshape(-1, *FINE.shape)
    grey, white, support, _ = raw
    fluid = (support - grey - white).clamp_min(0.0)
    ventricle, white, support = coarsen(
        torch.stack([fluid * priors[0], white * (1 - priors[5]), support]), FINE, COARSE
    )
    velocity = ventricle_velocity(ventricle, white, skull_window(support, COARSE, rim_mm=3.0))
    places = nodes + COARSE.sample(flow_on_lattice(-OPENING * velocity, COARSE), nodes)
    return FINE.sample(torch.cat([raw, priors]), places).reshape(-1, *FINE.shape)


def _sample_template(template: TemplateMaps, places: Points) -> Field:
    """Return grey, white, brain support and the T1's deviation from pure tissue, on FINE."""
    t1, grey, white = (torch.tensor(values) for values in (template.t1, template.grey, template.white))
    support = (t1 > 0).to(t1.dtype)
    pure_grey, pure_white, pure_fluid = TEMPLATE_INTENSITIES
    fluid = (1 - grey - white).clamp(0, 1)
    detail = (t1 - pure_grey * grey - pure_white * white - pure_fluid * fluid) * support
    i, j, k = t1.shape
    x, y, z = (float(value) for value in template.world_from_voxel[:3, 3] + (np.array([i, j, k]) - 1) / 2)
    lattice = Lattice(spacing_mm=1.0, shape=(i, j, k), centre_mm=(x, y, z))
    return lattice.sample(torch.stack([grey, white, support, detail]), places).reshape(4, *FINE.shape)


def _tissue_maps(raw: Field, perturbation: VectorField) -> Field:
    """Sharpen the averaged tissue probabilities into one brain's, randomly perturbed."""
    grey, white, support, detail = raw
    intracranial = torch.sigmoid((blur(support[None], 2.2)[0] - 0.33) * 25.0)
    shares = torch.stack([grey, white, (1 - grey - white).clamp(0, 1)]).clamp_min(1e-4)
    bias = torch.tensor([0.0, 0.0, FLUID_BIAS])[:, None, None, None]
    weights = torch.softmax(SHARPNESS * shares.log() + bias + perturbation, dim=0)
    smoothed = blur(detail[None], 1.3)[0].clamp(-0.12, 0.12)
    return torch.stack(
        [
            weights[0] * intracranial,
            weights[1] * intracranial,
            intracranial,
            smoothed * (weights[0] + weights[1]),
        ]
    )


def _with_labels(index: int, maps: Field, priors: Field) -> Anatomy:
    """Say what belongs to each region: the prior that came along from the template, times the tissue."""
    grey, white, intracranial, _ = maps
    in_ventricle, in_hippocampus, in_entorhinal, in_temporal, in_deep, hindbrain = priors
    ventricle = in_ventricle * (intracranial - grey - white).clamp_min(0.0)
    hippocampus = in_hippocampus * (grey + white) * (1 - hindbrain)
    entorhinal = in_entorhinal * grey * (1 - in_hippocampus)
    cortex = (grey * (1 - in_deep) * (1 - in_hippocampus) * (1 - hindbrain) - entorhinal).clamp_min(0.0)
    lobe = in_temporal * (1 - hindbrain)
    measured = torch.stack([ventricle, hippocampus, entorhinal, cortex * lobe, cortex, grey + white, intracranial])
    return Anatomy(index, maps, measured, hindbrain, lobe)
