"""How brains change: one velocity field per process, so many of each as a person's coefficients say.

A person's change is y → exp(v_smooth)(exp(v_cortex)(y)), from the anatomy to the brain at that time. The smooth part
(ventricles, hippocampi, entorhinal cortex, whole brain) lives on the coarse lattice; thinning displaces the cortical
boundary, lobe by lobe, and needs a finer one.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurolatent.phantom.anatomy import MASKS, TISSUES, Anatomy
from neurolatent.phantom.growth import (
    VENTRICLE_WIDTHS_MM,
    coarsen,
    confined_velocity,
    exchange,
    per_log_volume,
    skull_window,
    ventricle_velocity,
)
from neurolatent.phantom.lattice import (
    COARSE,
    FINE,
    MEDIUM,
    Carry,
    Field,
    Points,
    ScalarField,
    VectorField,
    Velocity,
    blur,
    blur_mm,
    by_node,
    divergence,
    flow_on_lattice,
    flow_points,
)
from neurolatent.phantom.structures import REGIONS, SIDED, VENTRICLE_PARTS

CORTEX_FIELDS = ("temporal_left", "temporal_right", "frontal", "parietal", "occipital")
SMOOTH_FIELDS = tuple(region for region in REGIONS if region not in CORTEX_FIELDS)
SMOOTH_PLACES, CORTEX_PLACES = (
    [REGIONS.index(region) for region in fields] for fields in (SMOOTH_FIELDS, CORTEX_FIELDS)
)
LOBE_BLUR_MM = 3.0
CORTEX_STEPS = 5
"""With two, a strongly thinned cortex folds; with five, none of ten people's did within three years."""
Amplitudes = Float[Tensor, " region"]
"""One per region, in the order of REGIONS: the field of that name, positive where the region grows."""
Fields = Float[Tensor, "_ 3 _ _ _"]


@dataclass(frozen=True, eq=False)
class ChangeFields:
    """The velocity fields of one anatomy; a unit amplitude starts to change its region's log volume by 1."""

    smooth: Fields
    """On COARSE, in the order of SMOOTH_FIELDS."""
    thinning: VectorField
    """On MEDIUM: moves the surface of the cortex everywhere."""
    lobes: Field
    """On MEDIUM, in the order of CORTEX_FIELDS: how much of the thinning a unit amplitude of each lobe is."""

    def undo(self, amplitudes: Amplitudes, points: Points) -> Points:
        """Carry points of the changed brain back to the anatomy."""
        return self.undoing(amplitudes)(points)

    def undoing(self, amplitudes: Amplitudes) -> Carry:
        """Return what `undo` does to any points: this is the change, everything else follows from it."""
        smooth, cortex = self._smooth_flow(-amplitudes), self._cortex_velocity(-amplitudes)
        if not amplitudes[CORTEX_PLACES].any():
            return lambda points: points + COARSE.sample(smooth, points)
        return lambda points: flow_points(cortex, points + COARSE.sample(smooth, points), steps=CORTEX_STEPS)

    def roughly_applying(self, amplitudes: Amplitudes) -> Carry:
        """Return nearly the inverse of `undoing`, as far as fields on a lattice allow."""
        smooth, cortex = self._smooth_flow(amplitudes), self._cortex_velocity(amplitudes)

        def apply(points: Points) -> Points:
            moved = flow_points(cortex, points, steps=CORTEX_STEPS)
            return moved + COARSE.sample(smooth, moved)

        return apply

    def _smooth_flow(self, amplitudes: Amplitudes) -> VectorField:
        velocity = torch.einsum("f,f...->...", amplitudes[SMOOTH_PLACES], self.smooth)
        return flow_on_lattice(velocity, COARSE, moving=self._moving)

    @cached_property
    def _moving(self) -> Int[Tensor, " n"]:
        """Nodes of COARSE that any smooth field moves."""
        return torch.nonzero(self.smooth.abs().amax(dim=(0, 1)).reshape(-1))[:, 0]

    def _cortex_velocity(self, amplitudes: Amplitudes) -> Velocity:
        """Mix the lobes, and return the velocity at any points."""
        velocity = by_node(torch.einsum("f,f...->...", amplitudes[CORTEX_PLACES], self.lobes) * self.thinning)
        return lambda points: MEDIUM.sample(velocity, points)


def build_change_fields(anatomy: Anatomy) -> ChangeFields:
    """Make the velocity fields of an anatomy from its tissue and its regions."""
    thinning = _thinning(anatomy)
    return ChangeFields(_smooth_fields(anatomy), thinning, _lobes(anatomy, thinning))


def _smooth_fields(anatomy: Anatomy) -> Fields:
    grey, white, intracranial, _ = anatomy.maps
    fluid = (intracranial - grey - white).clamp_min(0.0)
    hindbrain = anatomy.masks[MASKS.index("hindbrain")]
    inside, white, grey, fluid = coarsen(torch.stack([intracranial, white, grey, fluid]), FINE, COARSE)
    white = white * (1 - hindbrain)
    tissues: dict[str, ScalarField] = dict(zip(TISSUES, coarsen(anatomy.tissues, FINE, COARSE), strict=True))
    left = anatomy.masks[MASKS.index("left")]
    window = skull_window(inside, COARSE, rim_mm=3.0)
    ventricles = sum((tissues[part] for part in VENTRICLE_PARTS), torch.zeros_like(fluid))
    outer = (fluid - ventricles).clamp_min(0.0)
    brain = (tissues["brain"] - 0.7 * hindbrain * tissues["brain"]).clamp_min(0.0)
    receivers = {"hippocampus": fluid, "entorhinal": outer, "brain": outer}

    def field(part: str, side: ScalarField | float) -> VectorField:
        if part in VENTRICLE_PARTS:
            return ventricle_velocity(tissues[part] * side, white, window, width_mm=VENTRICLE_WIDTHS_MM[part])
        region = brain if part == "brain" else tissues[part] * side
        growth = -exchange(region, receivers[part], COARSE, reach_mm=18.0 if part == "brain" else 7.0)
        return per_log_volume(confined_velocity(growth, window, COARSE), region, COARSE)

    parts = (*VENTRICLE_PARTS, "hippocampus", "entorhinal", "brain")
    return torch.stack(
        [field(part, side) for part in parts for side in ((left, 1 - left) if part in SIDED else (1.0,))]
    )


def _thinning(anatomy: Anatomy) -> VectorField:
    """Return the flow that takes the cortex away from within, into the fluid outside it."""
    tissues = dict(zip(TISSUES, anatomy.tissues, strict=True))
    ventricles = sum((tissues[part] for part in VENTRICLE_PARTS), torch.zeros_like(tissues["brain"]))
    outer = (tissues["intracranial"] - tissues["brain"] - ventricles).clamp_min(0.0)
    growth = -exchange(tissues["cortex"], outer, FINE, reach_mm=10.0)
    window = blur(tissues["intracranial"][None], 1.0)[0]
    velocity = confined_velocity(blur(growth[None], 0.8)[0], window, FINE)
    return FINE.sample(velocity, MEDIUM.points()).reshape(3, *MEDIUM.shape)


def _lobes(anatomy: Anatomy, thinning: VectorField) -> Field:
    """Confine the thinning to each lobe, so that a unit changes the lobe's log volume by 1 at first."""
    left, temporal, frontal, parietal, _ = blur_mm(anatomy.masks, COARSE, LOBE_BLUR_MM).clamp(0.0, 1.0)
    other = 1 - temporal
    masks = torch.stack(
        [
            temporal * left,
            temporal * (1 - left),
            other * frontal,
            other * parietal,
            other * (1 - frontal - parietal),
        ]
    )
    nodes = MEDIUM.points()
    shares = anatomy.region_shares(nodes)[CORTEX_PLACES].reshape(-1, *MEDIUM.shape)
    scaled: list[ScalarField] = []
    for mask, region in zip(masks, shares, strict=True):
        share = COARSE.sample(mask[None], nodes).reshape(MEDIUM.shape)
        rate = (divergence(share * thinning, MEDIUM.spacing_mm) * region).sum() / region.sum()
        scaled.append(share / rate.abs())
    return torch.stack(scaled)
