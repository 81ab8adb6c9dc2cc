"""How regional volumes answer to the fields' amplitudes, measured once per anatomy; and the amplitudes for a volume.

Each field is measured alone, at a few amplitudes; log responses are added. What they do to each other, and what a
person's own shape does, a person's calibration finds out: it starts from here.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from neurolatent.phantom.body import Body
from neurolatent.phantom.quadrature import Quadrature
from neurolatent.phantom.structures import OTHER_LOBES, REGIONS, VENTRICLE, sides

_BY_PART = {
    "lateral_ventricle": (-1.6, -0.8, 1.0, 2.5, 5.0),
    "third_ventricle": (-1.2, -0.6, 0.8, 1.8, 3.0),
    "inferior_horn": (-1.2, -0.6, 0.8, 2.0, 4.0),
    "hippocampus": (-0.9, -0.45, 0.45),
    "entorhinal": (-0.9, -0.45, 0.45),
    "temporal": (-0.5, -0.25, 0.25, 0.5),
    **dict.fromkeys(OTHER_LOBES, (-0.3, -0.15, 0.15, 0.3)),
    "brain": (-0.16, -0.08, 0.08, 0.16),
}
PROBES = {region: probes for part, probes in _BY_PART.items() for region in sides(part)}
"""Amplitudes at which each field is measured; persons' lie mostly between the outermost."""
DEGREE = 3
LogVolumes = Float[np.ndarray, " region"]
Amplitude = Float[np.ndarray, " region"]


@dataclass(frozen=True, eq=False)
class Response:
    """Log volumes as a sum over fields of polynomials in stretched amplitudes."""

    zero: LogVolumes
    """Of the anatomy itself, before a person's shape and any change."""
    skull_ml: float
    """Inside of the anatomy's skull."""
    coefficients: Float[np.ndarray, "region field power"]
    """Of powers 1 to DEGREE."""

    def log_change(self, stretched: Amplitude) -> LogVolumes:
        """Return each region's log volume less that at amplitude 0."""
        powers = stretched[:, None] ** np.arange(1, DEGREE + 1)
        return np.einsum("rfp,fp->r", self.coefficients, powers)

    def slopes(self, stretched: Amplitude) -> Float[np.ndarray, "region field"]:
        """Return the derivative of `log_change`."""
        order = np.arange(1, DEGREE + 1)
        return np.einsum("rfp,fp->rf", self.coefficients, order * stretched[:, None] ** (order - 1))

    def solve(self, log_change: LogVolumes) -> Amplitude:
        """Return the stretched amplitudes that give these changes, by Newton's method kept within LIMITS."""
        stretched = np.zeros(len(REGIONS))
        for _ in range(30):
            step = np.linalg.solve(self.slopes(stretched), log_change - self.log_change(stretched))
            stretched = np.clip(stretched + np.clip(step, -0.2, 0.2), *LIMITS)
        return stretched


def relax(stretched: Amplitude) -> Amplitude:
    """Return amplitudes of the fields: the ventricles' grow exponentially, since they open ever more slowly."""
    amplitudes = stretched.copy()
    amplitudes[VENTRICLE] = np.where(stretched > 0, np.expm1(np.maximum(stretched, 0.0)), stretched)[VENTRICLE]
    return amplitudes


def stretch(amplitudes: Amplitude) -> Amplitude:
    """Undo `relax`."""
    stretched = amplitudes.copy()
    stretched[VENTRICLE] = np.where(amplitudes > 0, np.log1p(np.maximum(amplitudes, 0.0)), amplitudes)[VENTRICLE]
    return stretched


LIMITS = np.array(
    [
        stretch(np.array([1.5 * min(PROBES[name]) for name in REGIONS])),
        stretch(np.array([2.0 * max(PROBES[name]) for name in REGIONS])),
    ]
)


TYPICAL = 0.25 * (LIMITS[1] - LIMITS[0])
"""Sizes of stretched amplitudes, so that steps of all fields can be compared."""


def measure_response(body: Body, quadrature: Quadrature) -> Response:
    """Measure a body's volumes at all PROBES and fit the polynomials."""
    zero, skull_ml = log_volumes(body, np.zeros(len(REGIONS)), quadrature)
    coefficients = np.zeros((len(REGIONS), len(REGIONS), DEGREE))
    for field, name in enumerate(REGIONS):
        probes = np.zeros((len(PROBES[name]), len(REGIONS)))
        probes[:, field] = PROBES[name]
        changes = np.array([log_volumes(body, probe, quadrature)[0] - zero for probe in probes])
        powers = np.array([stretch(probe)[field] for probe in probes])[:, None] ** np.arange(1, DEGREE + 1)
        coefficients[:, field] = np.linalg.lstsq(powers, changes, rcond=None)[0].T
    return Response(zero, skull_ml, coefficients)


def log_volumes(body: Body, amplitudes: Amplitude, quadrature: Quadrature) -> tuple[LogVolumes, float]:
    """Measure the log volumes of a body at these amplitudes, and the millilitres inside its skull."""
    volumes = quadrature.volumes_ml(body, torch.tensor(amplitudes, dtype=torch.float32)).cpu().numpy()
    return np.log(volumes[:-1].astype(np.float64)), float(volumes[-1])
