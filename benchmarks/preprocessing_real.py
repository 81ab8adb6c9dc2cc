"""Preprocessing of real heads: masks and registration against DLMUSE, pairs of visits, time."""

import resource
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from evidence import Result, mean, surface_mm
from joblib import Parallel, delayed
from matplotlib.image import imsave

from neurolatent.cohort.visits import Visit, write_visits
from neurolatent.provenance import write_json
from neurolatent.shapes import Affine, MaskArray
from neurolatent.volume.brain import soft_mask
from neurolatent.volume.cache import open_cache
from neurolatent.volume.head import Head, prepare_head
from neurolatent.volume.load import read_scan
from neurolatent.volume.placed import Placed, mask_to_grid, volume_on_grid
from neurolatent.volume.preprocess import Options, one_thread, preprocess
from neurolatent.volume.quality import overlap, template_mask
from neurolatent.volume.register import find_head, fit_template
from neurolatent.volume.space import Grid
from neurolatent.volume.warp import fit_warp
from neurolatent.workspace import Workspace

GRID = Grid(2.0)
GREY_CODES = (23, 30, 31, 32, 36, 37, 38, 39, 47, 48, 55, 56, 57, 58, 59, 60, 71, 72, 73, 75, 76)
FIRST_CORTICAL_CODE = 100
LANDMARKS = {"lateral ventricles": (51, 52), "thalamus": (59, 60)}
CHOSEN_ON = (
    "IXI012", "IXI013", "IXI015", "IXI033", "IXI049", "IXI079", "IXI093", "IXI104", "IXI130", "IXI132", "IXI162",
    "IXI202", "IXI218", "IXI253", "IXI258", "IXI284", "IXI328", "IXI385", "IXI437", "IXI446", "IXI484", "IXI544",
    "IXI567", "IXI608",
)  # fmt: skip
"""The 24 heads on which settings were chosen; the table is of the others."""
SEED, REPEATED = 31, 16
POSED_PEOPLE, POSES = 5, 10

NO_VISIT = Visit(
    participant_id="", session_id="", run="1", months=0.0, age_years=None, age_precision_years=None, sex=None,
    diagnosis=None, dx_rule=None, site=None, scanner_tesla=None, cohort="pairs", mask_source=None, image="",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class HeadScore:
    """One real head against its reference, `dlmuse > 0`."""

    head: str
    figures: Mapping[str, float]
    reference: MaskArray
    """In standard space."""
    centred: MaskArray
    """The same, only centred."""
    ventricles: MaskArray
    landmarks_mm: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """Name → in standard space, and only centred."""


def measure_others(source: Path, jobs: int) -> Result:
    """Measure the heads on which nothing was chosen."""
    names = [path.name.split("-")[0] for path in images(source)]
    return measure_heads(source, [name for name in names if name not in CHOSEN_ON], jobs)


def measure_heads(source: Path, names: Iterable[str], jobs: int) -> Result:
    """Hold masks and registration of real heads against DLMUSE's segmentations."""
    wanted = set(names)
    paths = [path for path in images(source) if path.name.split("-")[0] in wanted]
    scores: list[HeadScore] = Parallel(n_jobs=jobs)(delayed(_score)(path) for path in paths)  # pyright: ignore[reportAssignmentType]
    print("\n".join(f"{one.head} { ({name: round(v, 3) for name, v in one.figures.items()}) }" for one in scores))
    rows = [
        ("Dice", "dice", ".3f", np.min),
        ("95th percentile of the surface distance, mm", "hd95_mm", ".1f", np.max),
        ("volume bias, %", "bias_percent", "+.1f", _furthest),
        ("grey matter lost, %", "grey_lost_percent", ".1f", np.max),
        ("correlation of the affine", "correlation", ".3f", np.min),
        ("determinant of the affine", "determinant", ".2f", np.max),
        ("processor seconds, reading to volume at 2 mm", "seconds", ".1f", np.max),
    ]
    table = ["| | mean [95 % interval] | worst |", "|---|---|---|"]
    for title, name, form, worst in rows:
        values = np.array([one.figures[name] for one in scores])
        table.append(f"| {title} | {mean(values, form)} | {worst(values):{form}} |")
    bias = np.array([one.figures["bias_percent"] for one in scores])
    brains, centred = (_leave_one_out([getattr(one, kind) for one in scores]) for kind in ("reference", "centred"))
    ventricles = _pairwise([one.ventricles for one in scores])
    lines = [
        f"IXI Hammersmith (3 T, 2 mm, healthy adults), {len(scores)} heads, against `dlmuse > 0`",
        "\n".join(table),
        (
            f"- heads with a Dice below 0.95: {sum(one.figures['dice'] < 0.95 for one in scores)}; "
            f"SD of the volume bias {bias.std():.1f} %"
        ),
        (
            f"- registration: Dice of each DLMUSE brain with the majority of the others {mean(brains, '.3f')}, worst "
            f"{brains.min():.3f}; only centred {mean(centred, '.3f')}, worst {centred.min():.3f}"
        ),
        *(f"- {name}: distance of centroids from their mean {_distances(scores, name)}" for name in LANDMARKS),
        f"- lateral ventricles of two people overlap by a Dice of {mean(ventricles, '.2f')} ({len(ventricles)} pairs)",
    ]
    return {"title": "Real heads: masks and registration", "lines": lines}


def _score(path: Path) -> HeadScore:
    with one_thread():
        began = time.process_time()
        scan = read_scan(path)
        head = prepare_head(scan, path.name)
        fit = fit_template(head, find_head(head, path.name))
        soft = soft_mask(head, fit, fit_warp(head, fit))
        placed = Placed(path.name, scan, head, fit.matrix)
        standard_mask = mask_to_grid(soft, head, fit.matrix, GRID)
        volume_on_grid(placed.evened(standard_mask, GRID), standard_mask, GRID)
        seconds = time.process_time() - began
        mask, codes = soft > 0.5, dlmuse_codes(path)
        brain, grey = codes > 0, (codes >= FIRST_CORTICAL_CODE) | np.isin(codes, GREY_CODES)
        figures = {
            "dice": overlap(mask, brain),
            "hd95_mm": max(
                surface_mm(*pair, voxel_mm=GRID.spacing_mm, percentile=95) for pair in ((mask, brain), (brain, mask))
            ),
            "bias_percent": 100 * (mask.sum() / brain.sum() - 1),
            "grey_lost_percent": 100 * float((grey & ~mask).sum() / grey.sum()),
            "correlation": fit.correlation,
            "determinant": fit.determinant,
            "seconds": seconds,
        }
        centred = _centring(brain, head.world_from_voxel)
        landmarks = {
            name: (_landmark(codes, wanted, head, fit.matrix), _landmark(codes, wanted, head, centred))
            for name, wanted in LANDMARKS.items()
        }
        carried = [
            mask_to_grid(array.astype(np.float32), head, affine, GRID)
            for array, affine in (
                (brain, fit.matrix),
                (brain, centred),
                (np.isin(codes, LANDMARKS["lateral ventricles"]), fit.matrix),
            )
        ]
        reference, only_centred, ventricles = carried
        return HeadScore(path.name.split("-")[0], figures, reference, only_centred, ventricles, landmarks)


def _centring(brain: MaskArray, world_from_voxel: Affine) -> Affine:
    """Return the transform that knows the head's middle and the cohort's usual size alone."""
    middle_mm = np.argwhere(brain).mean(axis=0) @ world_from_voxel[:3, :3].T + world_from_voxel[:3, 3]
    template_mm = np.argwhere(template_mask(GRID)).mean(axis=0) * GRID.spacing_mm + GRID.world_from_voxel[:3, 3]
    scale = 0.6 ** (1 / 3)
    centred = np.diag([scale, scale, scale, 1.0])
    centred[:3, 3] = middle_mm - scale * template_mm
    return centred


def _landmark(codes: np.ndarray, wanted: Sequence[int], head: Head, head_from_standard: Affine) -> np.ndarray:
    world_mm = np.argwhere(np.isin(codes, wanted)).mean(axis=0) @ head.world_from_voxel[:3, :3].T
    standard = np.linalg.inv(head_from_standard)
    return standard[:3, :3] @ (world_mm + head.world_from_voxel[:3, 3]) + standard[:3, 3]


def _distances(scores: Sequence[HeadScore], name: str) -> str:
    registered, centred = (np.array([one.landmarks_mm[name][kind] for one in scores]) for kind in (0, 1))
    apart = [np.linalg.norm(places - places.mean(axis=0), axis=1) for places in (registered, centred)]
    return f"{mean(apart[0], '.1f')} mm, only centred {mean(apart[1], '.1f')} mm"


def measure_pairs(pairs: Path, folder: Path, jobs: int) -> Result:
    """Preprocess real people's two visits, together and each alone, say how alike they come out, and show them."""
    people = sorted(path.name for path in pairs.iterdir() if (path / "study2_T1W.nii.gz").is_file())
    visits = [
        replace(NO_VISIT, participant_id=f"sub-{name}", session_id=f"ses-{study}", months=12.0 * (study - 1),
                image=f"{name}/study{study}_T1W.nii.gz")
        for name in people for study in (1, 2)
    ]  # fmt: skip
    lines: list[str] = []
    for title, together in (("together", True), ("each alone", False)):
        workspace = Workspace(folder / f"pairs_{title.replace(' ', '_')}")
        write_visits(workspace.visits_tsv, visits)
        write_json(
            workspace.visits_json,
            {"source_root": str(pairs.resolve()), "cohort": "pairs", "simulation": False},
        )
        done = preprocess(workspace, spacing_mm=GRID.spacing_mm, options=Options(together=together), jobs=jobs)
        cache = open_cache(workspace.cache(GRID.spacing_mm))
        volumes, masks = (np.asarray(one).reshape(-1, 2, *GRID.shape) for one in (cache.volumes, cache.masks))
        alike = [
            np.corrcoef(*pair[:, both.all(axis=0) & (pair > 0).all(axis=0)].astype(np.float64))[0, 1]
            for pair, both in zip(volumes, masks, strict=True)
        ]
        overlaps = [overlap(*both) for both in masks]
        found = ", ".join(f"{r:.3f}" for r in alike)
        lines.append(
            f"- {title}: correlation of the two visits where both show the brain {found}; Dice of their masks "
            f"{', '.join(f'{dice:.3f}' for dice in overlaps)} ({len(people)} people, {len(done.failures)} scans failed)"
        )
        _show_pairs(folder / f"{workspace.root.name}.png", volumes)
    return {"title": "Two real people scanned twice, slices of 3 mm", "lines": lines}


def _show_pairs(path: Path, volumes: np.ndarray) -> None:
    """Draw a row for each person: the visits, and the later less the earlier."""
    middle = GRID.shape[2] // 2
    slices = [(first, second, 0.5 + (second - first) / 2) for first, second in volumes[..., middle].astype(np.float32)]
    picture = np.concatenate([np.concatenate([np.rot90(one) for one in row], axis=1) for row in slices])
    imsave(path, picture, cmap="gray", vmin=0, vmax=1)


def measure_time(source: Path) -> Result:
    """Time the chain of one scan, and what two workers bring."""
    paths = images(source)[:16]
    _score(paths[0])
    walls: dict[int, float] = {}
    for jobs in (1, 2):
        start = time.monotonic()
        Parallel(n_jobs=jobs)(delayed(_chain)(path) for path in paths)
        walls[jobs] = time.monotonic() - start
    peaks: list[float] = Parallel(n_jobs=2)(delayed(_peak_memory_gb)(path) for path in paths[:2])  # pyright: ignore[reportAssignmentType]
    lines = [
        f"- one worker: {walls[1] / len(paths):.1f} s a scan ({len(paths)} heads at 2 mm, the worker's start included)",
        f"- two workers: {walls[2] / len(paths):.1f} s a scan, {walls[1] / walls[2]:.2f} times as fast",
        f"- peak memory of a worker: {max(peaks):.2f} GB",
    ]
    return {"title": "Time and memory", "lines": lines}


def _chain(path: Path) -> float:
    return _score(path).figures["seconds"]


def _peak_memory_gb(path: Path) -> float:
    _score(path)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def images(source: Path) -> list[Path]:
    """Return the heads' files, in order."""
    return sorted((source / "images").glob("*-T1.nii.gz"))


def dlmuse_codes(path: Path) -> np.ndarray:
    """Return the MUSE codes of a head's voxels, its axes towards right, front and top."""
    name = path.name.replace("-T1.nii.gz", "-T1_dlmuse.nii.gz")
    image = nib.as_closest_canonical(nib.Nifti1Image.from_filename(path.parents[1] / "dlmuse" / name))
    return np.asarray(image.dataobj)


def _leave_one_out(masks: Sequence[MaskArray]) -> np.ndarray:
    """Return the Dice of each mask with the majority vote of the others."""
    total = np.sum(masks, axis=0, dtype=np.int32)
    return np.array([overlap(mask, 2 * (total - mask) > len(masks) - 1) for mask in masks])


def _pairwise(masks: Sequence[MaskArray]) -> np.ndarray:
    """Return the Dice of every mask with the next in order."""
    return np.array([overlap(one, other) for one, other in zip(masks, [*masks[1:], masks[0]], strict=True)])


def _furthest(values: np.ndarray) -> float:
    return float(values[np.abs(values).argmax()])
