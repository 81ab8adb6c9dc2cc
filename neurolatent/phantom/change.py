"""How brains change: one velocity field per process, so many of each as a person's coefficients say.

A person's change is y → exp(v_smooth)(exp(v_cortex)(y)), from the anatomy to the brain at that time. The smooth part
(ventricles, hippocampus, entorhinal cortex, whole brain) lives on the coarse lattice; thinning displaces the cortical
boundary and needs the fine one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.phantom.anatomy import REGIONS, Anatomy
from neurolatent.phantom.growth import (
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
    Points,
    ScalarField,
    VectorField,
    blur,
    flow_on_lattice,
    flow_points,
)

SMOOTH_FIELDS = ("ventricle", "hippocampus", "entorhinal", "brain")
CORTEX_FIELDS = ("temporal", "grey")
Amplitudes = Float[Tensor, " region"]
"""One per region, in the order of REGIONS: the field of that name, positive where the region grows."""
Fields = Float[Tensor, "_ 3 _ _ _"]


@dataclass(frozen=True, eq=False)
class ChangeFields:
    """The velocity fields of one anatomy; a unit amplitude starts to change its region's log volume by 1."""

    smooth: Fields
    """On COARSE, in the order of SMOOTH_FIELDS."""
    cortex: Fields
    """On FINE, in the order of CORTEX_FIELDS."""

    def smooth_velocity(self, amplitudes: Amplitudes) -> VectorField:
        """Mix the smooth fields."""
        return torch.einsum("f,f...->...", _pick(amplitudes, SMOOTH_FIELDS), self.smooth)

    def cortex_velocity(self, amplitudes: Amplitudes) -> VectorField:
        """Mix the cortical fields."""
        return torch.einsum("f,f...->...", _pick(amplitudes, CORTEX_FIELDS), self.cortex)

    def apply(self, amplitudes: Amplitudes, points: Points) -> Points:
        """Carry points of the anatomy to where the change has moved them."""
        moved = flow_points(self.cortex_velocity(amplitudes), FINE, points)
        return moved + COARSE.sample(flow_on_lattice(self.smooth_velocity(amplitudes), COARSE), moved)

    def undo(self, amplitudes: Amplitudes, points: Points) -> Points:
        """Carry points of the changed brain back to the anatomy: the inverse of `apply`."""
        moved = points + COARSE.sample(flow_on_lattice(-self.smooth_velocity(amplitudes), COARSE), points)
        return flow_points(-self.cortex_velocity(amplitudes), FINE, moved)


def build_change_fields(anatomy: Anatomy) -> ChangeFields:
    """Make the velocity fields of an anatomy from its tissue and its regions."""
    return ChangeFields(_smooth_fields(anatomy), _cortex_fields(anatomy))


def _smooth_fields(anatomy: Anatomy) -> Fields:
    grey, white, intracranial, _ = anatomy.maps
    fluid = (intracranial - grey - white).clamp_min(0.0)
    sources = torch.stack([intracranial, white * (1 - anatomy.hindbrain), fluid, anatomy.hindbrain * (grey + white)])
    inside, white, fluid, hindbrain = coarsen(sources, FINE, COARSE)
    ventricle, hippocampus, entorhinal, _, _, brain = coarsen(anatomy.labels, FINE, COARSE)
    window = skull_window(inside, COARSE, rim_mm=3.0)
    outer = (fluid - ventricle).clamp_min(0.0)

    def shrinking(region: ScalarField, receiver: ScalarField, reach_mm: float) -> VectorField:
        growth = -exchange(region, receiver, COARSE, reach_mm=reach_mm)
        return per_log_volume(confined_velocity(growth, window, COARSE), region, COARSE)

    return torch.stack(
        [
            ventricle_velocity(ventricle, white, window),
            shrinking(hippocampus, fluid, 7.0),
            shrinking(entorhinal, outer, 7.0),
            shrinking((brain - 0.7 * hindbrain).clamp_min(0.0), outer, 18.0),
        ]
    )


def _cortex_fields(anatomy: Anatomy) -> Fields:
    grey, white, intracranial, _ = anatomy.maps
    ventricle, temporal, cortex = (anatomy.labels[REGIONS.index(name)] for name in ("ventricle", "temporal", "grey"))
    outer = (intracranial - grey - white - ventricle).clamp_min(0.0)
    growth = -exchange(cortex, outer, FINE, reach_mm=10.0)
    window = blur(intracranial[None], 1.0)[0]
    everywhere = confined_velocity(blur(growth[None], 0.8)[0], window, FINE)
    lobe = blur(anatomy.temporal_lobe[None], 3.0)[0]
    return torch.stack(
        [
            per_log_volume(everywhere * lobe, temporal, FINE),
            per_log_volume(everywhere, cortex, FINE),
        ]
    )


def _pick(amplitudes: Amplitudes, names: tuple[str, ...]) -> Float[Tensor, " field"]:
    return torch.stack([amplitudes[REGIONS.index(name)] for name in names])
