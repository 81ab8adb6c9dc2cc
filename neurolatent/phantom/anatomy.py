"""Anatomies with gyral patterns of their own, made from the template by large warps and perturbed tissue maps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.phantom.growth import VENTRICLE_WIDTHS_MM, coarsen, skull_window, ventricle_velocity
from neurolatent.phantom.lattice import (
    COARSE,
    FINE,
    CoarseField,
    CoarseScalarField,
    CoarseVectorField,
    Field,
    Lattice,
    Points,
    ScalarField,
    VectorField,
    blur,
    blur_mm,
    by_node,
    flow_on_lattice,
    smooth_noise,
)
from neurolatent.phantom.regions import PRIORS, region_priors
from neurolatent.volume.template import TemplateMaps

MAPS = ("grey", "white", "intracranial", "detail")
TISSUES = (
    "lateral_ventricle",
    "third_ventricle",
    "inferior_horn",
    "hippocampus",
    "entorhinal",
    "cortex",
    "brain",
    "intracranial",
)
"""What has edges as sharp as tissue; `cortex` is all but hippocampus and entorhinal cortex."""
MASKS = ("left", "temporal", "frontal", "parietal", "hindbrain")
"""What divides tissues, with soft edges."""

WARP_SCALES_MM, WARP_SIZES_MM = (28.0, 14.0, 8.0), (4.0, 3.2, 1.5)
TISSUE_SCALES_MM, TISSUE_SIZES = (12.0, 5.0), (0.35, 0.35)
PRIOR = Lattice(spacing_mm=2.5, shape=(66, 82, 74), centre_mm=(0.0, -17.0, 3.0))
"""Of the region priors, whose edges are soft."""
OPENINGS = {"lateral_ventricle": 1.2, "third_ventricle": 1.2, "inferior_horn": 0.7}
"""Amplitudes of the ventricles' fields that bring the template's to those of about 75 years."""
SHARPNESS = 2.2
FLUID_BIAS = 1.0
"""Opens the sulci that averaging many brains closed."""
TEMPLATE_INTENSITIES = (0.65, 0.87, 0.27)
"""Template T1 of pure grey matter, white matter and fluid."""
PERIVENTRICULAR_MM = 7.0
MEDIAL = ("lateral_ventricle", "third_ventricle", "inferior_horn", "hippocampus", "entorhinal")
MEDIAL_REACH_MM, MEDIAL_HOLD = 6.0, 0.75
"""People differ in gyri more than in what lies deep."""
_ANATOMY_STREAM = 0xA7A7
DRAWS = (4, 9, 10, 13, 14, 0)
"""Of sixteen draws, those whose regions are nearest to people's in size and in symmetry."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One gyral pattern: what an image shows, and what the regions hold."""

    index: int
    gyral_velocity: CoarseVectorField
    """On COARSE; its flow leads from a place in the anatomy to that in the template."""
    maps: Field
    """On FINE, channels as in MAPS: shares of grey, of white and of the inside of the skull; intensity beyond these."""
    tissues: Field
    """On FINE, channels as in TISSUES: the share of each node that belongs to each."""
    masks: CoarseField
    """On COARSE, channels as in MASKS."""
    periventricular: CoarseScalarField
    """On COARSE: 1 at the lateral ventricles, falling to 0 over about 15 mm."""

    def region_shares(self, places: Points) -> Float[Tensor, "_ n"]:
        """Return how much of each place belongs to each of REGIONS, then to the inside of the skull."""
        tissues = dict(zip(TISSUES, FINE.sample(self.tissues, places), strict=True))
        left, temporal, frontal, parietal, _ = COARSE.sample(self.masks, places)
        cortex, beside = tissues["cortex"], (left, 1 - left)
        other = cortex * (1 - temporal)
        return torch.stack(
            [
                *(tissues["lateral_ventricle"] * side for side in beside),
                tissues["third_ventricle"],
                *(tissues["inferior_horn"] * side for side in beside),
                *(tissues["hippocampus"] * side for side in beside),
                *(tissues["entorhinal"] * side for side in beside),
                *(cortex * temporal * side for side in beside),
                other * frontal,
                other * parietal,
                other * (1 - frontal - parietal),
                tissues["brain"],
                tissues["intracranial"],
            ]
        )


def build_anatomy(source: Field, index: int) -> Anatomy:
    """Make the anatomy of that number from the prepared template; the same for every cohort."""
    rng = np.random.default_rng(np.random.SeedSequence(_ANATOMY_STREAM, spawn_key=(DRAWS[index],)))
    nodes = FINE.points()
    medial = source[[4 + PRIORS.index(name) for name in MEDIAL]].amax(dim=0)
    velocity = _gyral_velocity(rng, *coarsen(torch.stack([source[2], medial]), FINE, COARSE))
    places = nodes + COARSE.sample(flow_on_lattice(velocity, COARSE), nodes)
    sampled = FINE.sample(source, places).reshape(-1, *FINE.shape)
    maps = _tissue_maps(sampled[:4], draw_noise(rng, FINE, TISSUE_SCALES_MM, TISSUE_SIZES))
    priors: dict[str, ScalarField] = dict(zip(PRIORS, sampled[4:], strict=True))
    tissues = _tissues(maps, priors)
    masks = coarsen(torch.stack([_mask(priors, name) for name in MASKS]), FINE, COARSE)
    lateral = coarsen(tissues[:1], FINE, COARSE)
    nearby = blur_mm(lateral, COARSE, PERIVENTRICULAR_MM)[0].clamp_min(0.0)
    periventricular = (nearby / nearby.max()).sqrt()
    return Anatomy(index, velocity, by_node(maps), by_node(tissues), by_node(masks), periventricular)


def draw_noise(
    rng: np.random.Generator, lattice: Lattice, scales: tuple[float, ...], sizes: tuple[float, ...]
) -> VectorField:
    """Draw three smooth random fields, each the sum of several scales."""
    white = torch.tensor(rng.standard_normal((3, *lattice.shape), dtype=np.float32))
    return smooth_noise(white, lattice, scales, sizes)


def _gyral_velocity(rng: np.random.Generator, support: ScalarField, medial: ScalarField) -> VectorField:
    """Draw the velocity of a large warp that moves gyri, and leaves the skull and what is deep mostly as they are."""
    nearby = blur_mm(medial[None], COARSE, MEDIAL_REACH_MM)[0]
    hold = (0.25 + 0.75 * skull_window(support, COARSE, rim_mm=5.0)) * (1 - MEDIAL_HOLD * (3 * nearby).clamp(0.0, 1.0))
    return draw_noise(rng, COARSE, WARP_SCALES_MM, WARP_SIZES_MM) * hold


def prepare_template(template: TemplateMaps) -> Field:
    """Return the template on FINE: grey, white, support, detail and region priors, its ventricles opened by OPENINGS.

    The template averages young adults; the phantom's people are 55 to 90 years old.
    """
    nodes = FINE.points()
    raw = _sample_template(template, nodes)
    priors = PRIOR.sample(region_priors(PRIOR.points()).reshape(-1, *PRIOR.shape), nodes).reshape(-1, *FINE.shape)
    grey, white, support, _ = raw
    fluid = (support - grey - white).clamp_min(0.0)
    hindbrain = priors[PRIORS.index("hindbrain")]
    sources = torch.stack(
        [*(fluid * priors[PRIORS.index(part)] for part in OPENINGS), white * (1 - hindbrain), support]
    )
    *ventricles, white, support = coarsen(sources, FINE, COARSE)
    window = skull_window(support, COARSE, rim_mm=3.0)
    velocity = torch.zeros(3, *COARSE.shape)
    for (part, amplitude), ventricle in zip(OPENINGS.items(), ventricles, strict=True):
        velocity += amplitude * ventricle_velocity(ventricle, white, window, width_mm=VENTRICLE_WIDTHS_MM[part])
    places = nodes + COARSE.sample(flow_on_lattice(-velocity, COARSE), nodes)
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


def _tissues(maps: Field, priors: Mapping[str, ScalarField]) -> Field:
    """Say what belongs to each of TISSUES: the prior that came along from the template, times the tissue."""
    grey, white, intracranial, _ = maps
    fluid = (intracranial - grey - white).clamp_min(0.0)
    above = 1 - priors["hindbrain"]
    hippocampus = priors["hippocampus"] * (grey + white) * above
    entorhinal = priors["entorhinal"] * grey * (1 - priors["hippocampus"])
    cortex = (grey * (1 - priors["deep"]) * (1 - priors["hippocampus"]) * above - entorhinal).clamp_min(0.0)
    ventricles = (priors[part] * fluid for part in TISSUES[:3])
    return torch.stack([*ventricles, hippocampus, entorhinal, cortex, grey + white, intracranial])


def _mask(priors: Mapping[str, ScalarField], name: str) -> ScalarField:
    return priors[name] * (1 - priors["hindbrain"]) if name == "temporal" else priors[name]
