"""Preprocessing of phantom heads, whose truth is known: poses and repeat scans."""

import csv
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from evidence import RESAMPLES, Result, mean, surface_mm
from joblib import Parallel, delayed

from neurolatent import cohort_steps
from neurolatent.analysis.tissue import CSF_REGIONS_MM, class_means, inside_boxes
from neurolatent.errors import ScanError
from neurolatent.phantom import write_phantom
from neurolatent.phantom.geometry import tissue_maps
from neurolatent.phantom.parameters import load_parameters
from neurolatent.phantom.people import draw_people, person_rng
from neurolatent.phantom.raw import raw_scan
from neurolatent.phantom.scanner import ORIENTATIONS, RawProtocol, draw_raw_acquisition, placement
from neurolatent.phantom.subject import Subject, draw_subject
from neurolatent.phantom.workbench import shared_workbench
from neurolatent.shapes import Affine, Values, VoxelArray
from neurolatent.volume.brain import soft_mask
from neurolatent.volume.cache import open_cache
from neurolatent.volume.head import Head, prepare_head
from neurolatent.volume.load import read_scan
from neurolatent.volume.preprocess import Options, one_thread, preprocess
from neurolatent.volume.quality import overlap, template_mask
from neurolatent.volume.register import find_head, fit_template
from neurolatent.volume.resample import resample
from neurolatent.volume.space import Grid
from neurolatent.volume.template import template_maps
from neurolatent.volume.warp import fit_warp
from neurolatent.workspace import ScanKey, Workspace

GRID = Grid(2.0)
SEED, REPEATED = 31, 16
POSED_PEOPLE, POSES = 5, 10


def measure_poses(jobs: int) -> Result:
    """Scan phantom heads in many poses, voxels, orientations, fields and integer types, and compare with the rest."""
    lines: list[str] = []
    for what, still in (("heads that keep still", True), ("heads that move as people's do", False)):
        found: list[dict[str, float]] = []
        for row in range(POSED_PEOPLE):
            rest = _posed(_subject(row), None, still=still)
            answers: list[dict[str, float]] = Parallel(n_jobs=jobs)(  # pyright: ignore[reportAssignmentType]
                delayed(_pose_error)(row, number, rest, still=still) for number in range(POSES)
            )
            found += answers
        usable = [one for one in found if one]
        apart, surface, dice, bias = (
            np.array([one[name] for one in usable]) for name in ("apart_mm", "surface_mm", "dice", "bias_percent")
        )
        lines += [
            f"{what[0].upper()}{what[1:]}",
            (
                f"- transform with the known pose taken off, against the one at rest: {mean(apart, '.2f')}"
                f" mm, 95th percentile {np.quantile(apart, 0.95):.2f}, worst {apart.max():.2f} ({len(apart)} scans)"
            ),
            f"- mask's surface to the true intracranial space's: {mean(surface, '.2f')} mm, worst {surface.max():.2f}",
            (
                f"- Dice of the mask with the true intracranial space {mean(dice, '.3f')}, worst {dice.min():.3f}; its"
                f" volume is off by {mean(bias, '+.1f')} %"
            ),
            f"- refused: {len(found) - len(usable)} of {len(found)}",
        ]
    lines.append(
        f"Both: {POSED_PEOPLE} people, {POSES} scans each; poses ±20° about each axis and ±30 mm, voxels 0.8 to 3 mm"
        " along each, 48 orientations, bias, gain, noise, stored as uint8, int16, uint16, int32 or float32 with slope"
        " and intercept. A head that moves is on average not where it began: that counts as error, too."
    )
    return {"title": "Phantom heads: poses, voxels, orientations, number types", "lines": lines}


@dataclass(frozen=True, eq=False)
class Posed:
    """Where standard space was found in a scan, and the truth."""

    scan_from_standard: Affine
    true_standard_from_scan: Affine
    mask: VoxelArray
    head: Head


def _posed(subject: Subject, number: int | None, *, still: bool) -> Posed:
    """Scan a head, at rest or in a drawn pose, write and read it as a file, and register it."""
    parameters = load_parameters()
    rng = person_rng(SEED, subject.row, 7, number or 0)
    x_mm, y_mm, z_mm = (1.2, 1.2, 1.2) if number is None else rng.uniform(0.8, 3.0, 3).tolist()
    orientation = "RAS" if number is None else ORIENTATIONS[int(rng.integers(len(ORIENTATIONS)))]
    protocol = RawProtocol(voxel_mm=(x_mm, y_mm, z_mm), orientation=orientation, still=still)
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


def _pose_error(row: int, number: int, rest: Posed, *, still: bool) -> dict[str, float]:
    with one_thread():
        subject = _subject(row)
        try:
            posed = _posed(subject, number, still=still)
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
        "surface_mm": (surface_mm(mask, truth, voxel_mm=2.0) + surface_mm(truth, mask, voxel_mm=2.0)) / 2,
        "dice": overlap(mask, truth),
        "bias_percent": 100 * (mask.sum() / truth.sum() - 1),
    }


def _subject(row: int) -> Subject:
    parameters = load_parameters()
    bench = shared_workbench(template_maps(), "cpu")
    with torch.inference_mode():
        people = draw_people(parameters, seed=SEED, index=np.arange(POSED_PEOPLE), arm="balanced")
        return draw_subject(bench, parameters, people, row, arm="balanced")


def measure_repeats(folder: Path, jobs: int) -> Result:
    """Preprocess two scans of one day, together and each alone, and compare what is measured from them."""
    lines = [
        (
            "Repeat scans differ in position, noise, bias field and gain, and the ventricles by 1 % from day to day;"
            " the second table adds what the head's motion does. A voxel counts for the tissue whose intensity is"
            " nearest. The last column is the mean absolute difference of the two scans' intensities (0 to 1) in both"
            " masks."
        )
    ]
    for what, still in (("heads at rest", True), ("heads that move as people's do", False)):
        source = folder / f"repeats_{'still' if still else 'moving'}"
        write_phantom(
            source, subjects=REPEATED, seed=SEED, visits=1, space="raw", repeats=1.0,
            raw=RawProtocol(voxel_mm=(1.2, 1.2, 1.2), still=still), jobs=jobs,
        )  # fmt: skip
        spreads: dict[bool, dict[str, Values]] = {}
        for together in (True, False):
            workspace = Workspace(source.with_name(f"{source.name}_{'together' if together else 'alone'}"))
            cohort_steps.build("phantom", source, out=workspace.root)
            preprocess(workspace, spacing_mm=GRID.spacing_mm, options=Options(together=together), jobs=jobs)
            spreads[together] = _spread_of_repeats(workspace)
        people = sorted(spreads[True].keys() & spreads[False].keys())
        both = {way: np.array([found[person] for person in people]) for way, found in spreads.items()}
        lines.append(
            "\n".join(
                [
                    f"| {what}, {len(people)} people | brain, % | lateral ventricles, % | intensity |",
                    "|---|---|---|---|",
                    f"| together, halfway between both | {_spread_cells(both[True])} |",
                    f"| each alone | {_spread_cells(both[False])} |",
                    f"| together / alone | {_ratio_cells(both[True], both[False])} |",
                ]
            )
        )
    return {"title": "Phantom heads scanned twice on one day: within-subject SD", "lines": lines}


def _spread_of_repeats(workspace: Workspace) -> dict[str, Values]:
    """Return, by person: squared within-subject SD of brain and ventricles in %², and the intensities' difference."""
    cache = open_cache(workspace.cache(GRID.spacing_mm))
    volumes_ml = _brain_and_ventricles_ml(workspace)
    places: dict[str, list[int]] = {}
    for place, key in enumerate(cache.keys):
        places.setdefault(key.participant_id, []).append(place)
    found: dict[str, Values] = {}
    for person, pair in places.items():
        if len(pair) != 2:
            continue
        one, other = volumes_ml[pair]
        squares = (100 * (one - other) / ((one + other) / 2)) ** 2 / 2
        both = np.asarray(cache.masks[pair]).all(axis=0)
        first, second = np.asarray(cache.volumes[pair], dtype=np.float32)[:, both]
        found[person] = np.array([*squares, np.abs(first - second).mean()])
    return found


def _spread_cells(of_people: np.ndarray) -> str:
    """Return the within-subject SD of both volumes, and the mean difference, each with its interval over people."""
    drawn = np.array([_spread(of_people[rows]) for rows in _drawn_rows(len(of_people))])
    return _cells(_spread(of_people), drawn, (".2f", ".2f", ".4f"))


def _ratio_cells(together: np.ndarray, alone: np.ndarray) -> str:
    """Return the ratios of the two ways, the same people drawn for both."""
    drawn = np.array([_spread(together[rows]) / _spread(alone[rows]) for rows in _drawn_rows(len(alone))])
    return _cells(_spread(together) / _spread(alone), drawn, (".2f",) * 3)


def _spread(of_people: np.ndarray) -> Values:
    means = of_people.mean(axis=0)
    return np.array([*np.sqrt(means[:2]), means[2]])


def _drawn_rows(count: int) -> Iterator[np.ndarray]:
    return (np.random.default_rng(seed).integers(count, size=count) for seed in range(RESAMPLES))


def _cells(values: Values, drawn: np.ndarray, forms: Sequence[str]) -> str:
    lows, highs = np.quantile(drawn, [0.025, 0.975], axis=0)
    parts = zip(values, lows, highs, forms, strict=True)
    return " | ".join(f"{value:{form}} [{low:{form}}, {high:{form}}]" for value, low, high, form in parts)


def _brain_and_ventricles_ml(workspace: Workspace) -> np.ndarray:
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
    return np.array(found)
