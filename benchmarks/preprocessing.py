"""Measure preprocessing on real heads and on the phantom: masks, registration, poses, repeats, time.

Run:    python benchmarks/preprocessing.py PATH/TO/IXI --pairs PATH/TO/LONGITUDINAL-MS
Cost:   about 30 minutes on two cores; a rerun does only what is missing
Writes: docs/results/preprocessing.md
"""

import csv
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import nibabel as nib
import numpy as np
import torch
import tyro
from evidence import MACHINE, RESAMPLES, Result, mean, measure_missing, redraw, write_page
from joblib import Parallel, delayed
from matplotlib.image import imsave
from scipy import ndimage

from neurolatent import steps
from neurolatent.analysis.tissue import CSF_REGIONS_MM, class_means, inside_boxes
from neurolatent.cohort.visits import Visit, write_visits
from neurolatent.errors import ScanError, SettingsError
from neurolatent.phantom import write_phantom
from neurolatent.phantom.geometry import tissue_maps
from neurolatent.phantom.parameters import load_parameters
from neurolatent.phantom.people import draw_people, person_rng
from neurolatent.phantom.raw import raw_scan
from neurolatent.phantom.scanner import ORIENTATIONS, RawProtocol, draw_raw_acquisition, placement
from neurolatent.phantom.subject import Subject, make_subject
from neurolatent.phantom.workbench import shared_workbench
from neurolatent.provenance import write_json
from neurolatent.shapes import Affine, MaskArray, VoxelArray
from neurolatent.volume.brain import soft_mask
from neurolatent.volume.cache import open_cache
from neurolatent.volume.head import Head, prepare_head
from neurolatent.volume.load import read_scan
from neurolatent.volume.placed import Placed, mask_to_grid, volume_on_grid
from neurolatent.volume.preprocess import Options, one_thread, preprocess
from neurolatent.volume.quality import overlap, template_mask
from neurolatent.volume.register import find_head, fit_template
from neurolatent.volume.resample import resample
from neurolatent.volume.space import Grid
from neurolatent.volume.template import template_maps
from neurolatent.volume.warp import fit_warp
from neurolatent.workspace import ScanKey, Workspace

VOXEL_MM, GRID = 2.0, Grid(2.0)
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


@dataclass(frozen=True)
class Evidence:
    """Which heads to measure, and where to keep the results."""

    source: Annotated[Path, tyro.conf.Positional]
    """Folder with `images` and `dlmuse`, both at 2 mm."""
    folder: Path = Path("out/preprocessing_evidence")
    """Of results."""
    page: Path = Path("docs/results/preprocessing.md")
    """Markdown file to write."""
    pairs: Path | None = None
    """Folder with one of two real visits a person: PERSON/study1_T1W.nii.gz and PERSON/study2_T1W.nii.gz."""
    only: tuple[str, ...] = ()
    """Names of sections to measure; all of them by default."""
    chosen: bool = False
    """Only print the masks of the 24 heads on which settings are chosen."""
    jobs: int = 2
    """Processes, one thread each."""
    machine: str = MACHINE
    """What it runs on."""


def main(settings: Evidence) -> None:
    """Measure what is missing, then write the page."""
    if settings.chosen:
        print("\n".join(measure_heads(settings, CHOSEN_ON)["lines"]))
        return
    sections = {name: partial(measure, settings) for name, measure in SECTIONS.items()}
    measure_missing(sections, settings.folder, settings.only)
    command = "python benchmarks/preprocessing.py PATH/TO/IXI --pairs PATH/TO/LONGITUDINAL-MS"
    head = f"Command: `{command}`. Machine: {settings.machine}."
    write_page(settings.page, "Preprocessing, measured", head, settings.folder, list(SECTIONS))


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


def measure_others(settings: Evidence) -> Result:
    """Measure the heads on which nothing was chosen."""
    names = [path.name.split("-")[0] for path in _images(settings.source)]
    return measure_heads(settings, [name for name in names if name not in CHOSEN_ON])


def measure_heads(settings: Evidence, names: Iterable[str]) -> Result:
    """Hold masks and registration of real heads against DLMUSE's segmentations."""
    wanted = set(names)
    paths = [path for path in _images(settings.source) if path.name.split("-")[0] in wanted]
    scores: list[HeadScore] = Parallel(n_jobs=settings.jobs)(delayed(_score)(path) for path in paths)  # pyright: ignore[reportAssignmentType]
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
        mask, codes = soft > 0.5, _codes(path)
        brain, grey = codes > 0, (codes >= FIRST_CORTICAL_CODE) | np.isin(codes, GREY_CODES)
        figures = {
            "dice": overlap(mask, brain),
            "hd95_mm": max(_surface_mm(mask, brain, 95), _surface_mm(brain, mask, 95)),
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


def measure_poses(settings: Evidence) -> Result:
    """Scan phantom heads in many poses, voxels, orientations, fields and integer types, and compare with the rest."""
    found: list[dict[str, float]] = []
    for row in range(POSED_PEOPLE):
        rest = _posed(_subject(row), None)
        answers: list[dict[str, float]] = Parallel(n_jobs=settings.jobs)(  # pyright: ignore[reportAssignmentType]
            delayed(_pose_error)(row, number, rest) for number in range(POSES)
        )
        found += answers
    apart = np.array([one["apart_mm"] for one in found if "apart_mm" in one])
    surface, dice, bias = (
        np.array([one[name] for one in found if "apart_mm" in one]) for name in ("surface_mm", "dice", "bias_percent")
    )
    failed = len(found) - len(apart)
    lines = [
        (
            f"- transform with the known pose taken off, against the one at rest: {mean(apart, '.2f')}"
            f" mm, 95th percentile {np.quantile(apart, 0.95):.2f}, worst {apart.max():.2f} ({len(apart)} scans)"
        ),
        f"- mask's surface to the true intracranial space's: {mean(surface, '.2f')} mm, worst {surface.max():.2f}",
        (
            f"- Dice of the mask with the true intracranial space {mean(dice, '.3f')}, worst {dice.min():.3f}; its"
            f" volume is off by {mean(bias, '+.1f')} %"
        ),
        f"- refused: {failed} of {len(found)}",
        (
            f"- {POSED_PEOPLE} people; poses ±20° about each axis and ±30 mm, voxels 0.8 to 3 mm along each, 48"
            " orientations, bias, gain, noise, motion, stored as uint8, int16, uint16, int32 or float32 with slope and"
            " intercept"
        ),
    ]
    return {"title": "Phantom heads: poses, voxels, orientations, number types", "lines": lines}


@dataclass(frozen=True, eq=False)
class Posed:
    """Where standard space was found in a scan, and the truth."""

    scan_from_standard: Affine
    true_standard_from_scan: Affine
    mask: VoxelArray
    head: Head


def _posed(subject: Subject, number: int | None) -> Posed:
    """Scan a head, at rest or in a drawn pose, write and read it as a file, and register it."""
    parameters = load_parameters()
    rng = person_rng(SEED, subject.row, 7, number or 0)
    x_mm, y_mm, z_mm = (1.2, 1.2, 1.2) if number is None else rng.uniform(0.8, 3.0, 3).tolist()
    orientation = "RAS" if number is None else ORIENTATIONS[int(rng.integers(len(ORIENTATIONS)))]
    protocol = RawProtocol(voxel_mm=(x_mm, y_mm, z_mm), orientation=orientation)
    scanner = subject.scanner(0.0)
    acquisition = draw_raw_acquisition(rng, parameters, scanner, median_motion_mm_per_min=1.0, protocol=protocol)
    degrees, shift_mm = (
        (np.zeros(3), np.zeros(3)) if number is None else (rng.uniform(-20, 20, 3), rng.uniform(-30, 30, 3))
    )
    acquisition = replace(acquisition, placement=placement(degrees, shift_mm))
    bench = shared_workbench(template_maps(), "cpu")
    with torch.inference_mode():
        raw = raw_scan(subject, bench.distance(subject.body.anatomy.index), 0.0, acquisition)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.nii.gz"
        _save(path, raw.volume, raw.world_from_voxel, rng)
        scan = read_scan(path)
    head = prepare_head(scan, "head")
    fit = fit_template(head, find_head(head, "head"))
    soft = soft_mask(head, fit, fit_warp(head, fit))
    return Posed(fit.matrix, raw.standard_from_world, soft, head)


def _save(path: Path, volume: VoxelArray, world_from_voxel: Affine, rng: np.random.Generator) -> None:
    kind = [np.uint8, np.int16, np.uint16, np.int32, np.float32][int(rng.integers(5))]
    image = nib.Nifti1Image(volume, world_from_voxel)
    image.header.set_data_dtype(kind)
    nib.save(image, path)  # nibabel chooses slope and intercept


def _pose_error(row: int, number: int, rest: Posed) -> dict[str, float]:
    with one_thread():
        subject = _subject(row)
        try:
            posed = _posed(subject, number)
        except ScanError as error:
            print(row, number, error)
            return {}
        points = np.argwhere(template_mask(Grid(8.0))) * 8.0 + Grid(8.0).world_from_voxel[:3, 3]
        # Both lead from the found standard space, through the scan, to the true one.
        ways = [one.true_standard_from_scan @ one.scan_from_standard for one in (rest, posed)]
        ends = [points @ way[:3, :3].T + way[:3, 3] for way in ways]
        apart_mm = float(np.linalg.norm(ends[0] - ends[1], axis=1).mean()) * subject.native_scale
        return {"apart_mm": apart_mm, **_against_truth(subject, posed)}


def _against_truth(subject: Subject, posed: Posed) -> dict[str, float]:
    """Hold the mask against the true intracranial space."""
    grid = Grid(2.0)
    with torch.inference_mode():
        bench = shared_workbench(template_maps(), "cpu")
        inside = tissue_maps(bench, subject, 0.0, grid)["intracranial"]
    i, j, k = posed.head.voxels.shape
    grid_from_head = np.linalg.inv(grid.world_from_voxel) @ posed.true_standard_from_scan @ posed.head.world_from_voxel
    truth = resample(inside.astype(np.float32), grid_from_head, (i, j, k)) > 0.5
    mask = posed.mask > 0.5
    return {
        "surface_mm": (_surface_mm(mask, truth, None) + _surface_mm(truth, mask, None)) / 2,
        "dice": overlap(mask, truth),
        "bias_percent": 100 * (mask.sum() / truth.sum() - 1),
    }


def _subject(row: int) -> Subject:
    parameters = load_parameters()
    bench = shared_workbench(template_maps(), "cpu")
    with torch.inference_mode():
        return make_subject(
            bench, parameters, draw_people(parameters, seed=SEED, index=np.arange(POSED_PEOPLE), arm="balanced"), row
        )


def measure_repeats(settings: Evidence) -> Result:
    """Preprocess two scans of one day, together and each alone, and compare the volumes measured from them."""
    lines = [
        (
            "Repeat scans differ in position, noise, bias field and gain, and the ventricles by 1 % from day to day;"
            " the second table adds what the head's motion does. A voxel counts for the tissue whose intensity is"
            " nearest."
        )
    ]
    for what, still in (("heads at rest", True), ("heads that move as people's do", False)):
        source = settings.folder / f"repeats_{'still' if still else 'moving'}"
        write_phantom(
            source, subjects=REPEATED, seed=SEED, visits=1, space="raw", repeats=1.0,
            raw=RawProtocol(voxel_mm=(1.2, 1.2, 1.2), still=still), jobs=settings.jobs,
        )  # fmt: skip
        table = [f"| {what} | brain | lateral ventricles |", "|---|---|---|"]
        for title, together in (("together, halfway between both", True), ("each alone", False)):
            workspace = Workspace(source.with_name(f"{source.name}_{'together' if together else 'alone'}"))
            steps.build("phantom", source, out=workspace.root)
            preprocess(workspace, spacing_mm=GRID.spacing_mm, options=Options(together=together), jobs=settings.jobs)
            keys, volumes_ml = _brain_and_ventricles_ml(workspace)
            spreads = (_within_sd_percent(keys, values) for values in volumes_ml.T)
            table.append(f"| {title} | {' | '.join(spreads)} |")
        lines.append("\n".join(table))
    return {"title": "Phantom heads scanned twice on one day: within-subject SD", "lines": lines}


def _brain_and_ventricles_ml(workspace: Workspace) -> tuple[Sequence[ScanKey], np.ndarray]:
    """Measure every scan of a workspace: a row each, brain and lateral ventricles."""
    cache = open_cache(workspace.cache(GRID.spacing_mm))
    with workspace.quality_tsv.open(encoding="utf-8", newline="") as file:
        rows = {tuple(row[part] for part in ScanKey._fields): row for row in csv.DictReader(file, delimiter="\t")}
    found: list[tuple[float, float]] = []
    for place, key in enumerate(cache.keys):
        mask = np.asarray(cache.masks[place])
        inside = np.asarray(cache.volumes[place])[mask].astype(np.float64)
        fluid_mean, grey_mean, _ = class_means(inside)
        fluid = inside < (fluid_mean + grey_mean) / 2
        ventricles = fluid & inside_boxes(GRID, CSF_REGIONS_MM["lateral ventricles"])[mask]
        voxel_ml = float(rows[tuple(key)]["mask_volume_ml"]) / mask.sum()
        found.append((voxel_ml * (~fluid).sum(), voxel_ml * ventricles.sum()))
    return cache.keys, np.array(found)


def _within_sd_percent(keys: Sequence[ScanKey], values: np.ndarray) -> str:
    """Return the SD of two measurements of one person, in per cent, with an interval over people."""
    by_person: dict[str, list[float]] = {}
    for key, value in zip(keys, values.tolist(), strict=True):
        by_person.setdefault(key.participant_id, []).append(value)
    pairs = np.array([pair for pair in by_person.values() if len(pair) == 2])
    squares = (100 * (pairs[:, 0] - pairs[:, 1]) / pairs.mean(axis=1)) ** 2 / 2
    drawn = [np.sqrt(redraw(squares, seed).mean()) for seed in range(RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{np.sqrt(squares.mean()):.2f} [{low:.2f}, {high:.2f}] % ({len(pairs)} people)"


def measure_pairs(settings: Evidence) -> Result:
    """Preprocess real people's two visits, together and each alone, say how alike they come out, and show them."""
    if settings.pairs is None:
        msg = "The real pairs need their folder. State --pairs, or the other sections with --only."
        raise SettingsError(msg)
    people = sorted(path.name for path in settings.pairs.iterdir() if (path / "study2_T1W.nii.gz").is_file())
    visits = [
        replace(NO_VISIT, participant_id=f"sub-{name}", session_id=f"ses-{study}", months=12.0 * (study - 1),
                image=f"{name}/study{study}_T1W.nii.gz")
        for name in people for study in (1, 2)
    ]  # fmt: skip
    lines: list[str] = []
    for title, together in (("together", True), ("each alone", False)):
        workspace = Workspace(settings.folder / f"pairs_{title.replace(' ', '_')}")
        write_visits(workspace.visits_tsv, visits)
        write_json(
            workspace.visits_json,
            {"source_root": str(settings.pairs.resolve()), "cohort": "pairs", "simulation": False},
        )
        done = preprocess(workspace, spacing_mm=GRID.spacing_mm, options=Options(together=together), jobs=settings.jobs)
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
        _show_pairs(settings.folder / f"{workspace.root.name}.png", volumes)
    return {"title": "Two real people scanned twice, slices of 3 mm", "lines": lines}


def _show_pairs(path: Path, volumes: np.ndarray) -> None:
    """Draw a row for each person: the visits, and the later less the earlier."""
    middle = GRID.shape[2] // 2
    slices = [(first, second, 0.5 + (second - first) / 2) for first, second in volumes[..., middle].astype(np.float32)]
    picture = np.concatenate([np.concatenate([np.rot90(one) for one in row], axis=1) for row in slices])
    imsave(path, picture, cmap="gray", vmin=0, vmax=1)


def measure_time(settings: Evidence) -> Result:
    """Time the chain of one scan, and what two workers bring."""
    paths = _images(settings.source)[:16]
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


def _images(source: Path) -> list[Path]:
    return sorted((source / "images").glob("*-T1.nii.gz"))


def _codes(path: Path) -> np.ndarray:
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


def _surface_mm(one: MaskArray, other: MaskArray, percentile: float | None) -> float:
    """Return a percentile, or the mean, of the distances from one surface to the other."""
    edges = [mask & ~np.asarray(ndimage.binary_erosion(mask), dtype=bool) for mask in (one, other)]
    distances_mm = np.asarray(ndimage.distance_transform_edt(~edges[1], sampling=VOXEL_MM))[edges[0]]
    return float(distances_mm.mean() if percentile is None else np.percentile(distances_mm, percentile))


def _furthest(values: np.ndarray) -> float:
    return float(values[np.abs(values).argmax()])


NO_VISIT = Visit(
    participant_id="", session_id="", run="1", months=0.0, age_years=None, age_precision_years=None, sex=None,
    diagnosis=None, dx_rule=None, site=None, scanner_tesla=None, cohort="pairs", mask_source=None, image="",
)  # fmt: skip


SECTIONS: dict[str, Callable[[Evidence], Result]] = {
    "heads": measure_others,
    "poses": measure_poses,
    "repeats": measure_repeats,
    "pairs": measure_pairs,
    "time": measure_time,
}

if __name__ == "__main__":
    main(tyro.cli(Evidence))
