"""Draw brains: slices in three planes, upright, the person's left on the left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from nibabel.affines import apply_affine

from neurolatent.errors import ScanError
from neurolatent.report.drawing import GREY
from neurolatent.shapes import Affine, VoxelArray

PLANES = ("sagittal", "coronal", "axial")
CUT_MM = (24.0, -20.0, 10.0)
"""Through hippocampus and lateral ventricle (MNI)."""
BRAIN_BELOW = 0.02
"""Where the mean brain is darker than this fraction of its maximum, a map is left transparent."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A volume with where it lies."""

    array: VoxelArray
    world_from_voxel: Affine

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along the three axes."""
        sizes = np.linalg.norm(self.world_from_voxel[:3, :3], axis=0)
        return float(sizes[0]), float(sizes[1]), float(sizes[2])


def read_picture(path: Path) -> Picture:
    """Read a map as RAS+; anything but one 3D volume is refused."""
    image = nib.as_closest_canonical(nib.Nifti1Image.from_filename(path))
    if image.ndim != 3:
        msg = f"{path.name}: expected one 3D volume, got shape {image.shape}. Rerun the protocol that wrote it."
        raise ScanError(msg)
    return Picture(np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine, dtype=np.float64))


def cut(picture: Picture, plane: str) -> np.ndarray:
    """Return one slice with up pointing up; the first axis runs upwards on the page (`origin="lower"`)."""
    axis = PLANES.index(plane)
    voxel = apply_affine(np.linalg.inv(picture.world_from_voxel), np.array(CUT_MM))
    index = int(np.clip(round(float(voxel[axis])), 0, picture.array.shape[axis] - 1))
    return np.take(picture.array, index, axis=axis).T


def aspect_of(picture: Picture, plane: str) -> float:
    """Return height by width of a voxel in a plane."""
    across, up = [size for axis, size in enumerate(picture.spacing_mm) if axis != PLANES.index(plane)]
    return up / across


def show_brain(axes: Axes, picture: Picture, plane: str, *, low: float = 0.0, high: float = 1.0) -> None:
    """Draw a slice in grey on black."""
    axes.imshow(
        cut(picture, plane), cmap="gray", vmin=low, vmax=high, origin="lower", aspect=aspect_of(picture, plane),
        interpolation="bicubic",
    )  # fmt: skip
    bare(axes)


def show_change(axes: Axes, change: Picture, mean: Picture, plane: str, *, limit: float) -> None:
    """Draw a map of change over the mean brain; small changes let the brain shine through."""
    show_brain(axes, mean, plane, high=float(mean.array.max()) or 1.0)
    values = cut(change, plane)
    inside = cut(mean, plane) > BRAIN_BELOW * float(mean.array.max())
    opacity = np.clip(np.abs(values) / (0.4 * limit), 0, 1) * inside
    axes.imshow(
        values, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=opacity, origin="lower", aspect=aspect_of(change, plane),
        interpolation="nearest",
    )  # fmt: skip


def change_colours(limit: float) -> ScalarMappable:
    """Return the diverging scale, symmetric about 0."""
    return ScalarMappable(Normalize(-limit, limit), "RdBu_r")


def symmetric_limit(changes: Sequence[Picture], mean: Picture) -> float:
    """Return the scale that all maps share: the largest of their 99th percentiles of |change| in the brain."""
    limits = []
    for change in changes:
        inside = mean.array > BRAIN_BELOW * float(mean.array.max())
        values = np.abs(change.array[inside]) if change.array.shape == inside.shape else np.abs(change.array)
        limits.append(float(np.percentile(values, 99)))
    return max(limits, default=0.0) or 1.0


def bare(axes: Axes) -> None:
    """Take ticks and frame away."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def brain_row(grid: Sequence[Axes], pictures: Mapping[str, Picture], plane: str) -> None:
    """Draw one slice of several volumes side by side, each with its name above."""
    for axes, (label, picture) in zip(grid, pictures.items(), strict=True):
        show_brain(axes, picture, plane)
        axes.set_title(label, fontsize=7.5, fontweight="normal", loc="center", pad=4)


def side_marks(axes: Axes) -> None:
    """Mark the person's left and right on a coronal or axial slice."""
    for place, letter in ((0.03, "L"), (0.97, "R")):
        axes.text(place, 0.03, letter, color=GREY, fontsize=6.5, ha="center", va="bottom", transform=axes.transAxes)
