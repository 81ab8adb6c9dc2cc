"""Measure the intracranial masks of raw heads against DLMUSE's segmentations, and the affine with them.

Run:    python benchmarks/brain_masks.py PATH/TO/IXI --jobs 2
Cost:   about 6 s a head on one core: 96 heads in 6 minutes on two
Writes: docs/results/brain_masks.md and brain_masks.tsv
"""

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
import tyro
from joblib import Parallel, delayed
from scipy import ndimage

from neurolatent.provenance import write_text
from neurolatent.shapes import MaskArray
from neurolatent.volume.brain import soft_mask
from neurolatent.volume.head import prepare_head
from neurolatent.volume.load import read_scan
from neurolatent.volume.placed import mask_to_grid
from neurolatent.volume.quality import overlap
from neurolatent.volume.register import fit_affine
from neurolatent.volume.space import Grid
from neurolatent.volume.warp import fit_warp

VOXEL_MM = 2.0
FIRST_CORTICAL_CODE = 100
ALIGNMENT_GRID = Grid(4.0)
TUNED_ON = ("IXI012", "IXI013", "IXI015", "IXI033", "IXI130", "IXI253", "IXI385", "IXI544")
"""The heads on which the non-linear stage was chosen; they are left out of the second row of figures."""
RESULTS = Path(__file__).parents[1] / "docs" / "results"


@dataclass(frozen=True)
class BrainMasks:
    """Which heads, and how many processes."""

    source: Annotated[Path, tyro.conf.Positional]
    """Folder with `images` and `dlmuse`, both at 2 mm."""
    jobs: int = 1
    """Processes, one thread each."""


@dataclass(frozen=True)
class HeadScore:
    """One head against its reference, `dlmuse > 0`."""

    head: str
    dice: float
    hd95_mm: float
    volume_bias_percent: float
    cortex_lost_percent: float
    correlation: float
    determinant: float
    seconds: float


Scored = tuple[HeadScore, MaskArray, MaskArray]


@dataclass(frozen=True)
class Column:
    """A figure of the table: its title, its format, and which end is the worst."""

    name: str
    title: str
    form: str
    worst: Callable[[np.ndarray], float]


COLUMNS = (
    Column("dice", "Dice", ".3f", np.min),
    Column("hd95_mm", "95th percentile of the surface distance, mm", ".1f", np.max),
    Column("volume_bias_percent", "volume bias, %", "+.1f", lambda values: float(values[np.abs(values).argmax()])),
    Column("cortex_lost_percent", "cortical grey matter lost, %", ".1f", np.max),
    Column("correlation", "correlation of the affine", ".3f", np.min),
    Column("determinant", "determinant of the affine", ".2f", np.max),
    Column("seconds", "seconds", ".1f", np.max),
)


def main(settings: BrainMasks) -> None:
    """Score every head and write the tables."""
    paths = sorted((settings.source / "images").glob("*-T1.nii.gz"))
    results: list[Scored] = Parallel(n_jobs=settings.jobs)(delayed(score_head)(path) for path in paths)  # pyright: ignore[reportAssignmentType]
    scores = [score for score, _, _ in results]
    agreement = [leave_one_out([brain for _, brain, _ in results]), leave_one_out([mask for _, _, mask in results])]
    _write_rows(RESULTS / "brain_masks.tsv", scores)
    write_text(RESULTS / "brain_masks.md", _page(scores, *agreement))


def score_head(path: Path) -> Scored:
    """Return a head's scores, and its reference and mask in standard space."""
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    began = time.process_time()
    head = prepare_head(read_scan(path), path.name)
    fit = fit_affine(head, path.name)
    soft = soft_mask(head, fit, fit_warp(head, fit))
    seconds = time.process_time() - began
    mask, codes = soft > 0.5, _reference(path)
    brain, cortex = codes > 0, codes >= FIRST_CORTICAL_CODE
    score = HeadScore(
        head=path.name.split("-")[0],
        dice=overlap(mask, brain),
        hd95_mm=hd95_mm(mask, brain),
        volume_bias_percent=100 * (mask.sum() / brain.sum() - 1),
        cortex_lost_percent=100 * (cortex & ~mask).sum() / cortex.sum(),
        correlation=fit.correlation,
        determinant=fit.determinant,
        seconds=seconds,
    )
    standard = [mask_to_grid(array.astype(np.float32), head, fit.matrix, ALIGNMENT_GRID) for array in (brain, mask)]
    return score, standard[0], standard[1]


def hd95_mm(one: MaskArray, other: MaskArray) -> float:
    """Return the 95th percentile of the distances between two surfaces, the larger of both directions."""
    return max(_surface_distance_mm(one, other), _surface_distance_mm(other, one))


def leave_one_out(masks: Sequence[MaskArray]) -> np.ndarray:
    """Return the Dice of each mask in standard space with the majority vote of the others."""
    total = np.sum(masks, axis=0, dtype=np.int32)
    return np.array([overlap(mask, 2 * (total - mask) > len(masks) - 1) for mask in masks])


def _surface_distance_mm(one: MaskArray, other: MaskArray) -> float:
    edges = [mask & ~np.asarray(ndimage.binary_erosion(mask), dtype=bool) for mask in (one, other)]
    distances_mm = ndimage.distance_transform_edt(~edges[1], sampling=VOXEL_MM)
    return float(np.percentile(np.asarray(distances_mm)[edges[0]], 95))


def _reference(path: Path) -> np.ndarray:
    name = path.name.replace("-T1.nii.gz", "-T1_dlmuse.nii.gz")
    image = nib.as_closest_canonical(nib.Nifti1Image.from_filename(path.parents[1] / "dlmuse" / name))
    return np.asarray(image.dataobj)


def _page(scores: Sequence[HeadScore], brains: np.ndarray, masks: np.ndarray) -> str:
    unseen = [score for score in scores if score.head not in TUNED_ON]
    lines = [
        "# Intracranial masks of raw heads",
        "",
        "Raw T1w heads (IXI Hammersmith, 3T, 2 mm, healthy adults of 20 to 82 years, one scanner) against the",
        "segmentations of DLMUSE (`dlmuse > 0`). Command: `python benchmarks/brain_masks.py PATH/TO/IXI --jobs 2`.",
        f"The non-linear stage was chosen on {len(TUNED_ON)} of these heads; the {len(unseen)} others stand beside.",
        "",
        f"| | all, mean (worst), n = {len(scores)} | unseen, mean (worst), n = {len(unseen)} |",
        "|---|---|---|",
        *(f"| {column.title} | {_cell(column, scores)} | {_cell(column, unseen)} |" for column in COLUMNS),
        "",
        f"Heads with a Dice below 0.95: {sum(score.dice < 0.95 for score in scores)}.",
        f"SD of the volume bias: {np.std([score.volume_bias_percent for score in scores]):.1f} %.",
        "Seconds are of one core (processor time) and include reading, bias field, affine, warp and mask.",
        "",
        "## Alignment by the one affine",
        "",
        f"Dice of each in standard space ({ALIGNMENT_GRID.spacing_mm:g} mm) with the majority vote of the others:",
        f"DLMUSE's brain {brains.mean():.3f} (worst {brains.min():.3f}), our mask {masks.mean():.3f}",
        f"(worst {masks.min():.3f}).",
        "",
    ]
    return "\n".join(lines)


def _cell(column: Column, scores: Sequence[HeadScore]) -> str:
    values = np.array([getattr(score, column.name) for score in scores])
    return f"{values.mean():{column.form}} ({column.worst(values):{column.form}})"


def _write_rows(path: Path, scores: Sequence[HeadScore]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(scores[0])), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for score in scores:
            writer.writerow(
                {name: f"{v:.4g}" if isinstance(v, float | np.floating) else v for name, v in asdict(score).items()}
            )


if __name__ == "__main__":
    main(tyro.cli(BrainMasks))
