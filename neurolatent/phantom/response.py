"""How regional volumes answer to the fields' amplitudes, measured once per anatomy; and the amplitudes for a volume.

Each field is measured alone, at a few amplitudes; log responses are added. What they do to each other, and what a
person's own shape does, is measured for each person at one time and added as an offset (`Calibration`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from neurolatent.phantom.anatomy import REGIONS
from neurolatent.phantom.body import Body, BrainPoints

PROBES = {
    "ventricle": (-1.6, -0.8, 0.8, 1.8, 3.2, 5.0),
    "hippocampus": (-0.9, -0.45, 0.45),
    "entorhinal": (-0.9, -0.45, 0.45),
    "temporal": (-0.5, -0.25, 0.25, 0.5),
    "grey": (-0.24, -0.12, 0.12, 0.24),
    "brain": (-0.16, -0.08, 0.08, 0.16),
}
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
    ventricle = stretched[:1]
    return np.concatenate([np.where(ventricle > 0, np.expm1(np.maximum(ventricle, 0.0)), ventricle), stretched[1:]])


def stretch(amplitudes: Amplitude) -> Amplitude:
    """Undo `relax`."""
    ventricle = amplitudes[:1]
    return np.concatenate([np.where(ventricle > 0, np.log1p(np.maximum(ventricle, 0.0)), ventricle), amplitudes[1:]])


LIMITS = np.array([[1.3 * min(PROBES[name]) for name in REGIONS], [1.5 * max(PROBES[name]) for name in REGIONS]])


def measure_response(body: Body, points: BrainPoints) -> Response:
    """Measure a body's volumes at all PROBES and fit the polynomials."""
    zero, skull_ml = log_volumes(body, np.zeros(len(REGIONS)), points)
    coefficients = np.zeros((len(REGIONS), len(REGIONS), DEGREE))
    for field, name in enumerate(REGIONS):
        probes = np.zeros((len(PROBES[name]), len(REGIONS)))
        probes[:, field] = PROBES[name]
        changes = np.array([log_volumes(body, probe, points)[0] - zero for probe in probes])
        powers = np.array([stretch(probe)[field] for probe in probes])[:, None] ** np.arange(1, DEGREE + 1)
        coefficients[:, field] = np.linalg.lstsq(powers, changes, rcond=None)[0].T
    return Response(zero, skull_ml, coefficients)


def log_volumes(body: Body, amplitudes: Amplitude, points: BrainPoints) -> tuple[LogVolumes, float]:
    """Measure the log volumes of a body at these amplitudes, and the millilitres inside its skull."""
    volumes, skull_ml = body.volumes_ml(torch.tensor(amplitudes, dtype=torch.float32), points)
    return np.log(volumes.cpu().numpy().astype(np.float64)), skull_ml
