"""Regular lattices in template millimetres, and the fields on them: sampling, blurring, flowing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.backends import cudnn
from torch.nn import functional

Field = Float[Tensor, "_ i j k"]
"""Any number of channels on one lattice."""
VectorField = Float[Tensor, "3 i j k"]
ScalarField = Float[Tensor, "i j k"]
CoarseField = Float[Tensor, "_ I J K"]
"""On COARSE, where another lattice has its part too."""
CoarseVectorField = Float[Tensor, "3 I J K"]
CoarseScalarField = Float[Tensor, "I J K"]
Points = Float[Tensor, "3 n"]
"""World coordinates in millimetres, RAS+."""
Velocity = Callable[[Points], Points]
"""Millimetres per unit time, at any points."""
Carry = Callable[[Points], Points]
"""Where points go."""
PLAIN_CORRECTIONS, MOST_CORRECTIONS, LONGEST_CORRECTION_MM = 8, 60, 3.0
AT_A_TIME = 2**16
"""Points for which nodes and weights stay in a processor's cache."""
SMALL_STEP_MM = 0.25
"""To either side of a point, for a gradient: small beside every lattice."""


@dataclass(frozen=True)
class Lattice:
    """Where the values of a field lie; axes along x, y and z."""

    spacing_mm: float
    shape: tuple[int, int, int]
    centre_mm: tuple[float, float, float]

    @cached_property
    def origin_mm(self) -> tuple[float, float, float]:
        """World position of the first node."""
        x, y, z = (
            centre - (extent - 1) / 2 * self.spacing_mm
            for centre, extent in zip(self.centre_mm, self.shape, strict=True)
        )
        return x, y, z

    def axes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the nodes' positions along x, y and z, on torch's default device."""
        x, y, z = (
            origin + self.spacing_mm * torch.arange(extent, dtype=torch.float32)
            for origin, extent in zip(self.origin_mm, self.shape, strict=True)
        )
        return x, y, z

    def points(self) -> Points:
        """Return the positions of all nodes, in C order."""
        return torch.stack(torch.meshgrid(*self.axes(), indexing="ij")).reshape(3, -1)

    def sample(self, field: Field, points: Points) -> Float[Tensor, "_ n"]:
        """Interpolate linearly at the points; beyond the lattice its outermost values go on.

        Each point is a weighted sum of eight rows of a table of nodes: on a processor faster than
        `grid_sample`, most so where the field has many channels and is stored `by_node`.
        """
        table = field.reshape(field.shape[0], -1).T.contiguous()
        parts = [self._interpolate(table, part) for part in points.split(AT_A_TIME, dim=1)]
        return torch.cat(parts).T

    def _interpolate(self, table: Float[Tensor, "node _"], points: Points) -> Float[Tensor, "n _"]:
        _, columns, layers = self.shape
        last = points.new_tensor(self.shape)[:, None] - 1
        origin = points.new_tensor(self.origin_mm)[:, None]
        units = torch.minimum(((points - origin) / self.spacing_mm).clamp_min_(0), last)
        corner = torch.minimum(units.floor(), last - 1)
        x, y, z = units - corner
        i, j, k = corner.to(torch.int32)
        first = (i * columns + j) * layers + k
        edges = torch.tensor([0, 1, columns, columns + 1], device=points.device) * layers
        nodes = first[:, None] + torch.stack([edges, edges + 1], dim=1).reshape(-1).to(first.dtype)
        weights = torch.empty(nodes.shape, dtype=points.dtype, device=points.device)
        both, only_y = x * y, (1 - x) * y
        for edge, share in enumerate((1 - x - only_y, only_y, x - both, both)):
            above = torch.mul(share, z, out=weights[:, 2 * edge + 1])
            torch.sub(share, above, out=weights[:, 2 * edge])
        return functional.embedding_bag(nodes, table, mode="sum", per_sample_weights=weights)


def by_node(field: Field) -> Field:
    """Store all channels of a node side by side, for `Lattice.sample`."""
    return field.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)


FINE = Lattice(spacing_mm=1.5, shape=(108, 135, 120), centre_mm=(0.0, -17.0, 3.0))
"""Of tissue maps."""
MEDIUM = Lattice(spacing_mm=2.0, shape=(82, 102, 91), centre_mm=(0.0, -17.0, 3.0))
"""Of the flow that thins the cortex."""
COARSE = Lattice(spacing_mm=4.0, shape=(40, 52, 44), centre_mm=(0.0, -17.0, 5.0))
"""Of smooth deformations."""


def flow_on_lattice(
    velocity: VectorField, lattice: Lattice, *, squarings: int = 5, moving: Int[Tensor, " n"] | None = None
) -> VectorField:
    """Integrate a stationary velocity for unit time by scaling and squaring: Arsigny et al. 2006.

    Args:
        velocity: Millimetres per unit time at the nodes.
        lattice: Of the nodes.
        squarings: How often half the flow is composed with itself.
        moving: Positions, in C order, of the nodes whose velocity is not 0, where that is known; others stay.
    """
    nodes = lattice.points()
    displacement = (by_node(velocity) / 2**squarings).reshape(3, -1)
    places = slice(None) if moving is None else moving
    for _ in range(squarings):
        steps = displacement[:, places]
        onwards = lattice.sample(displacement.reshape(velocity.shape), nodes[:, places] + steps)
        displacement = displacement.clone()
        displacement[:, places] = steps + onwards
    return displacement.reshape(velocity.shape)


def flow_points(velocity: Velocity, points: Points, *, steps: int) -> Points:
    """Carry points along a stationary velocity for unit time by the midpoint rule.

    From the second step on, the velocity at the last midpoint leads to the next: one evaluation a step, not two.
    """
    step = 1.0 / steps
    latest = velocity(points)
    for _ in range(steps):
        latest = velocity(points + 0.5 * step * latest)
        points = points + step * latest
    return points


def gradients(carry: Carry, points: Points) -> Float[Tensor, "n 3 3"]:
    """Return the Jacobian matrices of a map at points, by central differences: entry (i, j) is of axis i along j."""
    steps = SMALL_STEP_MM * torch.eye(3, device=points.device)[:, :, None]
    columns = [(carry(points + step) - carry(points - step)) / (2 * SMALL_STEP_MM) for step in steps]
    return torch.stack(columns).permute(2, 1, 0)


def invert(carry: Carry, places: Points, near: Points, *, within_mm: float = 0.002) -> Points:
    """Return the points that a one-to-one map carries to these places.

    Most are found by moving each by what it misses; the few where the map is steep need Newton's rule.

    Args:
        carry: Without folds, and not far from the identity.
        places: Where the points should arrive.
        near: A guess of the points.
        within_mm: How near to its place a point must arrive.
    """
    points, left = near.clone(), torch.arange(places.shape[1], device=places.device)
    missed, trust = places - carry(near), torch.ones_like(near[0])
    for correction in range(MOST_CORRECTIONS):
        off = missed.norm(dim=0) > within_mm
        left, missed, trust = left[off], missed[:, off], trust[off]
        if not len(left):
            break
        step = missed if correction < PLAIN_CORRECTIONS else _newton_step(carry, points[:, left], missed)
        aims = points[:, left] + step * trust
        apart = places[:, left] - carry(aims)
        nearer = apart.norm(dim=0) < missed.norm(dim=0)
        points[:, left[nearer]] = aims[:, nearer]
        missed, trust = torch.where(nearer, apart, missed), torch.where(nearer, 1.0, trust / 2)
    return points


def _newton_step(carry: Carry, points: Points, missed: Points) -> Points:
    step = torch.linalg.lstsq(gradients(carry, points), missed.T[..., None]).solution[..., 0].T
    return step * (LONGEST_CORRECTION_MM / step.norm(dim=0)).clamp_max(1.0)


def volume_change(displacement: VectorField, spacing_mm: float) -> ScalarField:
    """Return the Jacobian determinant of x + displacement(x)."""
    rows = [torch.stack(torch.gradient(displacement[axis], spacing=spacing_mm)) for axis in range(3)]
    jacobian = torch.stack(rows) + torch.eye(3, device=displacement.device)[:, :, None, None, None]
    a, b, c = jacobian
    return a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])


def divergence(velocity: VectorField, spacing_mm: float) -> ScalarField:
    """Return the rate at which a velocity makes volume."""
    x, y, z = (torch.gradient(velocity[axis], spacing=spacing_mm, dim=axis)[0] for axis in range(3))
    return x + y + z


def blur(field: Field, sigma_voxels: float | tuple[float, ...]) -> Field:
    """Convolve every channel with a Gaussian, one width for all axes or one for each; edges repeated."""
    sigmas = sigma_voxels if isinstance(sigma_voxels, tuple) else (sigma_voxels,) * 3
    result = field[:, None]
    for axis, sigma in enumerate(sigmas):
        radius = max(1, round(3 * sigma))
        offsets = torch.arange(-radius, radius + 1, dtype=field.dtype, device=field.device)
        kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
        kernel = kernel / kernel.sum()
        size, pad = [1, 1, 1], [0, 0, 0, 0, 0, 0]
        size[axis] = len(kernel)
        pad[2 * (2 - axis)] = pad[2 * (2 - axis) + 1] = radius
        padded = functional.pad(result, pad, mode="replicate")
        with cudnn.flags(enabled=True, allow_tf32=False):  # else a GPU rounds to 10 bits
            result = functional.conv3d(padded, kernel.reshape(1, 1, *size))
    return result[:, 0]


def blur_mm(field: Field, lattice: Lattice, sigma_mm: float) -> Field:
    """Convolve with a wide Gaussian through the Fourier transform, the lattice repeating itself."""
    squared = (wave_numbers(lattice) ** 2).sum(0)
    spectrum = torch.fft.rfftn(field, dim=(1, 2, 3)) * torch.exp(-0.5 * squared * sigma_mm**2)
    return torch.fft.irfftn(spectrum, s=lattice.shape, dim=(1, 2, 3))


def wave_numbers(lattice: Lattice) -> VectorField:
    """Return angular wave numbers per millimetre for `rfftn` over the lattice."""
    i, j, k = lattice.shape
    axes = [torch.fft.fftfreq(i), torch.fft.fftfreq(j), torch.fft.rfftfreq(k)]
    scaled = [axis * (2 * torch.pi / lattice.spacing_mm) for axis in axes]
    return torch.stack(torch.meshgrid(*scaled, indexing="ij"))


def velocity_from_growth(growth: ScalarField, lattice: Lattice) -> VectorField:
    """Return the curl-free velocity whose divergence is the growth, less its mean (Poisson's equation)."""
    waves = wave_numbers(lattice)
    squared = (waves**2).sum(0)
    squared[0, 0, 0] = 1.0
    potential = -torch.fft.rfftn(growth) / squared
    potential[0, 0, 0] = 0.0
    return torch.stack([torch.fft.irfftn(1j * wave * potential, s=lattice.shape) for wave in waves])


def smooth_noise(white: Field, lattice: Lattice, scales_mm: tuple[float, ...], sizes: tuple[float, ...]) -> Field:
    """Shape white noise into the sum of Gaussian-correlated noises, one scale and standard deviation each."""
    squared = (wave_numbers(lattice) ** 2).sum(0)
    power = torch.zeros_like(squared)
    for scale, size in zip(scales_mm, sizes, strict=True):
        shape = torch.exp(-squared * scale**2)
        power += size**2 * shape / _mean_over_all_waves(shape, lattice)
    spectrum = torch.fft.rfftn(white, dim=(1, 2, 3)) * power.sqrt()
    return torch.fft.irfftn(spectrum, s=lattice.shape, dim=(1, 2, 3))


def _mean_over_all_waves(half: ScalarField, lattice: Lattice) -> Tensor:
    """Average over the full spectrum, of which `rfftn` keeps a half."""
    weight = torch.full_like(half, 2.0)
    weight[..., 0] = 1.0
    if lattice.shape[2] % 2 == 0:
        weight[..., -1] = 1.0
    return (weight * half).sum() / (lattice.shape[0] * lattice.shape[1] * lattice.shape[2])
