"""Scans that come in standard space with their mask: checked and taken as they are, never copied."""

from pathlib import Path

import numpy as np
from nibabel.spatialimages import SpatialImage

from neurolatent.errors import ScanError
from neurolatent.shapes import MaskArray, VoxelArray
from neurolatent.volume.likeness import content_fingerprint
from neurolatent.volume.load import read_image
from neurolatent.volume.measures import mask_smoothness, template_similarity
from neurolatent.volume.opening import hash_input
from neurolatent.volume.pictures import write_planes
from neurolatent.volume.quality import (
    ScanOutcome,
    overlap,
    signal_and_contrast,
    template_mask,
    template_volume,
)
from neurolatent.volume.recipe import Recipe
from neurolatent.volume.records import Measures, ScanFiles, ScanRecord, read_record, write_record
from neurolatent.volume.space import Grid, given_mask_path
from neurolatent.workspace import ScanKey

TOLERANCE = 1e-3
Voxels = tuple[VoxelArray, MaskArray]
GIVEN = "given"
"""As `mask_source`: the mask came with a volume that was in standard space already."""


def take_given(key: ScanKey, path: Path, derivatives: Path, recipe: Recipe) -> tuple[ScanOutcome, Voxels | None]:
    """Check, measure and draw a standard-space scan; return its voxels too where they had to be read.

    Only its picture and its record are written: the cache takes the voxels from here or from the source.

    Raises:
        ScanError: If the scan or its mask cannot be used.
    """
    files, grid = ScanFiles(derivatives, key, recipe.grid.label), recipe.grid
    inputs = {"image": hash_input(path), "mask": hash_input(given_mask_path(path))}
    record = read_record(files.record) if files.picture.is_file() else None
    why = record.differs(inputs=inputs, recipe=recipe.hash) if record else ""
    if record and not why:
        return ScanOutcome(key, "skipped", "", "", record), None
    files.discard()
    volume, mask = read_given(path, grid)
    record = ScanRecord(
        inputs=inputs,
        together={"/".join(key): inputs["image"]},
        recipe_hash=recipe.hash,
        mask_source=GIVEN,
        measures=_measure(volume, mask, grid),
        scan_from_standard=np.eye(4),
        content_fingerprint=content_fingerprint(volume, mask, grid),
    )
    write_planes(files.picture, volume, grid, mask, grid)
    write_record(files.record, key, record, recipe)
    return ScanOutcome(key, "done", "", why, record), (volume, mask)


def read_given(path: Path, grid: Grid) -> Voxels:
    """Read and check a standard-space scan and its mask."""
    volume = _on_grid(path, grid).astype(np.float32)
    mask_path = given_mask_path(path)
    mask = _on_grid(mask_path, grid) > 0.5
    if not np.isfinite(volume).all():
        unusable = int((~np.isfinite(volume)).sum())
        msg = f"{path.name}: expected finite intensities, got {unusable} NaN or infinite voxels. Convert it again."
        raise ScanError(msg)
    low, high = float(volume.min()), float(volume.max())
    if low < -TOLERANCE or high > 1 + TOLERANCE or low == high:
        msg = f"{path.name}: expected intensities from 0 to 1, got {low:g} to {high:g}. Use the raw scan instead."
        raise ScanError(msg)
    if not mask.any():
        msg = f"{mask_path.name}: expected a mask with voxels inside, got an empty one. Write it again."
        raise ScanError(msg)
    return np.where(mask, np.clip(volume, 0, 1), 0).astype(np.float32), mask


def _measure(volume: VoxelArray, mask: MaskArray, grid: Grid) -> Measures:
    """Measure a scan whose registration is not known."""
    signal, contrast = signal_and_contrast(volume, mask, grid)
    volume_ml = float(mask.sum()) * grid.spacing_mm**3 / 1000
    return Measures(
        affine_correlation=None,
        rigid_correlation=None,
        template_scale=None,
        mask_volume_ml=volume_ml,
        intracranial_ml=volume_ml,
        template_overlap=overlap(mask, template_mask(grid)),
        coverage=1.0,
        signal_to_noise=signal,
        contrast_to_noise=contrast,
        template_similarity=template_similarity(volume, mask, template_volume(grid)),
        mask_smoothness=mask_smoothness(mask, grid.spacing_mm),
    )


def _on_grid(path: Path, grid: Grid) -> np.ndarray:
    image, values = read_image(path)
    if values.shape != grid.shape:
        expected = f"expected the shape {grid.shape} of the {grid.spacing_mm:g} mm grid"
        msg = f"{path.name}: {expected}, got {values.shape}. Choose the preset of its spacing, or use the raw scan."
        raise ScanError(msg)
    if not np.allclose(np.asarray(image.affine), grid.world_from_voxel, atol=TOLERANCE):
        expected = f"expected the affine of the {grid.spacing_mm:g} mm grid"
        msg = f"{path.name}: {expected}, got one with origin {_origin(image)} mm. Use the raw scan instead."
        raise ScanError(msg)
    return values


def _origin(image: SpatialImage) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in np.asarray(image.affine)[:3, 3])
