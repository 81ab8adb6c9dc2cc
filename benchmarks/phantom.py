"""Measure what the phantom makes hard: blends, low rank, sites, motion; and how fast it is written.

Run:    python benchmarks/phantom.py
Cost:   about 25 minutes on two cores, a quarter of it the thousand scans at 2 mm; a rerun does only what is missing
Writes: docs/results/phantom.md
"""

import csv
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import tyro
from evidence import MACHINE, RESAMPLES, Result, mean, measure_missing, redraw, write_page
from scipy.ndimage import gaussian_gradient_magnitude
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurolatent.analysis.tissue import tissue_shares, volumes_of_scan
from neurolatent.device import usable_cores
from neurolatent.phantom import PhantomTruth, write_phantom
from neurolatent.phantom.body import standard_lattice
from neurolatent.phantom.geometry import displacement, tissue_maps
from neurolatent.phantom.image import noise_free
from neurolatent.phantom.lattice import COARSE, flow_on_lattice, volume_change
from neurolatent.phantom.motion import with_motion
from neurolatent.phantom.parameters import GROUPS, load_parameters
from neurolatent.phantom.people import draw_people
from neurolatent.phantom.quadrature import even_quadrature
from neurolatent.phantom.scanner import RawProtocol
from neurolatent.phantom.structures import REGIONS, VENTRICLE
from neurolatent.phantom.subject import Subject, draw_subject
from neurolatent.phantom.workbench import shared_workbench
from neurolatent.phantom.workers import single_threads
from neurolatent.volume.head import prepare_head
from neurolatent.volume.intensity import normalise_intensity
from neurolatent.volume.load import read_scan
from neurolatent.volume.space import Grid
from neurolatent.volume.template import template_maps

SEED = 21
SPAN_MONTHS = 36.0
BALL_MM = 52.0
"""Mostly brain, wherever the head lies."""


@dataclass(frozen=True)
class Evidence:
    """How much to measure, and where to keep it."""

    folder: Path = Path("out/phantom_evidence")
    """Of results and of the cohorts that they need."""
    page: Path = Path("docs/results/phantom.md")
    """Markdown file to write."""
    only: tuple[str, ...] = ()
    """Names of sections to measure; all of them by default."""
    machine: str = MACHINE
    """What it runs on."""


def main(settings: Evidence) -> None:
    """Measure what is missing, then write the page."""
    with torch.inference_mode():
        sections = {name: partial(measure, settings.folder / "cohorts") for name, measure in SECTIONS.items()}
        measure_missing(sections, settings.folder, settings.only)
    head = f"Command: `python benchmarks/phantom.py`. Machine: {settings.machine}. Simulation throughout."
    write_page(settings.page, "The phantom, measured", head, settings.folder, list(SECTIONS))


def measure_blends(_: Path) -> Result:
    """Hold a blend of the outer visits against the true image in the middle, for steady and for converting people."""
    steady = _subjects(lambda group: GROUPS[group] in {"CN", "sMCI"}, 40)
    converting = _subjects(lambda group: GROUPS[group] == "cMCI", 40)
    lines: list[str] = []
    errors = {}
    for name, subjects in (("steady course (CN, stable MCI)", steady), ("conversion inside", converting)):
        errors[name] = np.abs(_parallel(_blend_error_percent, subjects))
        lines.append(f"- {name}: {mean(errors[name])} % of the ventricles' volume, {len(subjects)} people")
    first, second = errors.values()
    ratios = [redraw(second, seed).mean() / redraw(first, seed + 1).mean() for seed in range(0, 2 * RESAMPLES, 2)]
    low, high = np.quantile(ratios, [0.025, 0.975])
    lines.append(f"- ratio: {second.mean() / first.mean():.1f} [{low:.1f}, {high:.1f}]")
    title = "Error of a blend of two visits, 36 months apart, at the middle: ventricles, noise-free images at 2 mm"
    return {"title": title, "lines": lines}


def _blend_error_percent(subject: Subject) -> float:
    bench, grid = _bench(), Grid(2.0)
    scanner = subject.site.scanners[0]
    first, middle, last = (
        noise_free(bench, subject, months, grid, scanner=scanner)[0] for months in (0.0, SPAN_MONTHS / 2, SPAN_MONTHS)
    )
    maps = [tissue_maps(bench, subject, months, grid) for months in (0.0, SPAN_MONTHS)]
    ventricles = [np.sum([one[REGIONS[place]] for place in VENTRICLE], axis=0) for one in maps]
    inside = np.maximum(*ventricles) > 0.01
    fluid, white = np.minimum(*ventricles) > 0.95, np.minimum(*(one["white"] for one in maps)) > 0.98

    def volume(image: np.ndarray) -> float:
        """Share of fluid in each voxel, linear between the image's own white matter and its own ventricles."""
        dark, bright = image[fluid].mean(), image[white].mean()
        return float((bright - image[inside]).sum() / (bright - dark))

    true_volume = float(ventricles[0].sum() + ventricles[1].sum()) / 2
    return 100 * (volume((first + last) / 2) - volume(middle)) / true_volume


def measure_rank(_: Path) -> Result:
    """Count the principal components of the yearly log-Jacobian, in template space."""
    subjects = _subjects(lambda _: True, 200)
    fields = np.stack(_parallel(_yearly_log_jacobian, subjects))
    centred = fields - fields.mean(axis=0)
    sizes = np.linalg.eigvalsh(centred @ centred.T)[::-1]
    shares = np.cumsum(sizes) / sizes.sum()
    needed = {percent: int((shares < percent / 100).sum()) + 1 for percent in (50, 90, 99)}
    lines = [
        f"- {len(subjects)} people, {fields.shape[1]} nodes of 3 mm inside the template's brain, mean taken away",
        f"- the first component explains {100 * shares[0]:.1f} %, the first five {100 * shares[4]:.1f} %",
        *(f"- {number} components explain {percent} %" for percent, number in needed.items()),
    ]
    return {"title": "Rank of the true yearly log-Jacobian", "lines": lines}


def _yearly_log_jacobian(subject: Subject) -> np.ndarray:
    bench, lattice, body = _bench(), standard_lattice(Grid(3.0)), subject.body
    nodes = lattice.points()
    brain = body.near(bench.points(lattice))
    moved = brain.scatter(displacement(subject, 0.0, 12.0, brain.points))
    growth = volume_change(moved, lattice.spacing_mm)
    inside = nodes[:, COARSE.sample(bench.support[None], nodes)[0] > 0.5]
    in_anatomy = inside + COARSE.sample(flow_on_lattice(-body.anatomy.gyral_velocity, COARSE), inside)
    return lattice.sample(growth.log()[None], body.from_anatomy(subject.amplitudes(0.0), in_anatomy))[0].numpy()


def measure_sites(cohorts: Path) -> Result:
    """Tell sites from raw intensities, and diagnosis from sites, in both arms."""
    lines: list[str] = []
    for arm in ("balanced", "confounded"):
        folder = cohorts / f"raw_{arm}"
        write_phantom(
            folder, subjects=300, seed=SEED, visits=1, arm=arm, space="raw", repeats=0.0,
            raw=RawProtocol(voxel_mm=(3.0, 3.0, 3.0)), jobs=usable_cores(),
        )  # fmt: skip
        people = _rows(folder / "participants.tsv")
        features = np.stack(
            _parallel(_intensities, [next(folder.glob(f"{one['participant_id']}/*/anat/*.nii.gz")) for one in people])
        )
        sites = np.array([person["site"] for person in people])
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, class_weight="balanced"))
        names = [person["participant_id"] for person in people]
        guessed = cross_val_predict(model, features, sites, groups=names, cv=GroupKFold(5))
        drawn = [
            balanced_accuracy_score(sites[rows], guessed[rows])
            for rows in (np.random.default_rng(seed).integers(len(sites), size=len(sites)) for seed in range(RESAMPLES))
        ]
        low, high = np.quantile(drawn, [0.025, 0.975])
        found = balanced_accuracy_score(sites, guessed)
        lines.append(
            f"- {arm} arm: site from a raw head's intensities (below): balanced accuracy "
            f"{found:.2f} [{low:.2f}, {high:.2f}] of three sites, {len(people)} people, 5 folds"
        )
        lines.append(f"- {arm} arm: diagnosis (AD or CN) from site alone: ROC-AUC {_diagnosis_from_site(arm)}")
    lines.append(
        f"- intensities: after bias correction, quantiles of the values within {BALL_MM:g} mm of the head's middle "
        "(25), of their gradient (6) and of the whole head (15), all over the first's median; ridge logistic regression"
    )
    return {"title": "Sites", "lines": lines}


def _intensities(path: Path) -> np.ndarray:
    """Describe a raw head by its intensities alone; no shape, no header."""
    head = prepare_head(read_scan(path), path.name)
    offsets_mm = np.moveaxis(np.indices(head.voxels.shape), 0, -1) @ head.world_from_voxel[:3, :3].T
    offsets_mm += head.world_from_voxel[:3, 3] - head.centre_mm
    ball, values = np.linalg.norm(offsets_mm, axis=-1) < BALL_MM, head.voxels
    typical = np.median(values[ball])
    steps = gaussian_gradient_magnitude(values, 0.7)[ball]
    whole = values[values > 0.1 * np.quantile(values, 0.99)]
    parts = (
        np.quantile(values[ball], np.linspace(0.02, 0.98, 25)),
        np.quantile(steps, (0.1, 0.3, 0.5, 0.7, 0.9, 0.97)),
        np.quantile(whole, np.linspace(0.02, 0.98, 15)),
    )
    return np.concatenate(parts) / typical


def _diagnosis_from_site(arm: Any) -> str:
    people = draw_people(load_parameters(), seed=SEED, index=np.arange(5000), arm=arm)
    either = (people.group == 0) | (people.group == GROUPS.index("AD"))
    site, is_ad = people.site[either], people.group[either] == GROUPS.index("AD")
    half = np.arange(len(site)) % 2 == 0
    share = np.array([is_ad[half & (site == number)].mean() for number in range(3)])
    found = [
        roc_auc_score(is_ad[rows], share[site[rows]])
        for rows in (
            np.random.default_rng(seed).choice(np.flatnonzero(~half), int((~half).sum())) for seed in range(200)
        )
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    value = roc_auc_score(is_ad[~half], share[site[~half]])
    return f"{value:.2f} [{low:.2f}, {high:.2f}], fitted on {half.sum()} people, tested on {(~half).sum()} others"


def measure_conversion(cohorts: Path) -> Result:
    """Tell who will convert from the first scan: by all true volumes, and by volumes measured from the image."""
    people = draw_people(load_parameters(), seed=SEED, index=np.arange(500), arm="balanced")
    impaired = [row for row, group in enumerate(people.group.tolist()) if GROUPS[group] in {"sMCI", "cMCI"}]
    folder, grid = cohorts / "impaired", Grid(4.0)
    write_phantom(folder, subjects=500, people=impaired, seed=SEED, visits=1, repeats=0.0, jobs=usable_cores())
    oracle = PhantomTruth.open(folder).oracle("p_conversion")
    rows = _rows(folder / "participants.tsv")
    converts = np.array([row["group"] == "cMCI" for row in rows])
    known = np.array([oracle[row["participant_id"], "ses-M00"] for row in rows])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000, class_weight="balanced"))
    measured = np.stack([_measured(folder, row["participant_id"], grid) for row in rows])
    chances = cross_val_predict(model, measured, converts, cv=StratifiedKFold(5), method="predict_proba")
    guessed = np.asarray(chances)[:, 1]
    lines = [
        f"- {name}: ROC-AUC {_auc(converts, chance)}, {len(rows)} people with MCI at 4 mm"
        for name, chance in (("oracle", known), ("measured volumes, 5 folds", guessed))
    ]
    return {"title": "Who will convert, from the first scan", "lines": lines}


def _measured(folder: Path, name: str, grid: Grid) -> np.ndarray:
    volume, mask = (
        np.asarray(nib.Nifti1Image.from_filename(next(folder.glob(f"{name}/*/anat/*_{suffix}.nii.gz"))).dataobj)
        for suffix in ("desc-preproc_T1w", "desc-brain_mask")
    )
    return volumes_of_scan(volume, mask > 0, grid)


def _auc(positive: np.ndarray, chance: np.ndarray) -> str:
    drawn = [
        roc_auc_score(positive[rows], chance[rows])
        for rows in (np.random.default_rng(seed).integers(len(chance), size=len(chance)) for seed in range(RESAMPLES))
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{roc_auc_score(positive, chance):.2f} [{low:.2f}, {high:.2f}]"


def measure_extrapolation(_: Path) -> Result:
    """Hold warped against drawn volumes within the study and ten years on."""
    subjects = _subjects(lambda _: True, 30)
    lines: list[str] = []
    for months in (0.0, 12.0, 36.0, 60.0, 120.0, 156.0):
        apart = np.abs(np.array(_parallel(lambda one, at=months: _volume_error_percent(one, at), subjects)))
        worst = ", ".join(
            f"{quantile:.0%} within {np.quantile(apart, quantile):.1f} %" for quantile in (0.5, 0.95, 1.0)
        )
        lines.append(f"- {months:g} months: {worst} ({len(subjects)} people, {apart.shape[1]} regions)")
    return {"title": "Warped against drawn volumes, at 1.5 mm", "lines": lines}


def _volume_error_percent(subject: Subject, months: float) -> np.ndarray:
    points = subject.body.near(_bench().points(standard_lattice(Grid(1.5))))
    *measured, skull_ml = (
        even_quadrature(subject.body, points).volumes_ml(subject.body, subject.amplitudes(months)).tolist()
    )
    person = subject.people.take(np.array([subject.row]))
    drawn = np.exp(person.log_volumes(np.array([months]))[0])
    return 100 * (np.array(measured) / skull_ml * person.intracranial_ml[0] / drawn - 1)


def measure_motion(_: Path) -> Result:
    """Fit the apparent loss of grey matter to the dose of motion."""
    subjects = _subjects(lambda _: True, 24)
    lines: list[str] = []
    for spacing_mm in (4.0, 2.0):
        slopes = np.array(_parallel(lambda one, mm=spacing_mm: _motion_slope(one, mm), subjects))
        lines.append(f"- {spacing_mm:g} mm: {mean(slopes)} % per mm/min, {len(subjects)} people, doses 1 to 6 mm/min")
    lines.append("- stated: -0.7 % per mm/min (Reuter 2015)")
    title = "Apparent grey matter by motion: noise-free images, three-class mixture, whole brain"
    return {"title": title, "lines": lines}


def _motion_slope(subject: Subject, spacing_mm: float) -> float:
    grid, doses = Grid(spacing_mm), (1.0, 2.0, 4.0, 6.0)
    clean, mask = noise_free(_bench(), subject, 0.0, grid)
    before = tissue_shares(clean[mask].astype(np.float64))[1].sum()
    changes: list[float] = []
    for number, dose in enumerate(doses):
        seed = 100 * int(subject.people.index[subject.row]) + number
        moved = with_motion(
            torch.tensor(clean), dose_mm_per_min=dose, seed=seed, spacing_mm=(spacing_mm, spacing_mm, spacing_mm)
        )
        image = normalise_intensity(moved.numpy(), mask)
        changes.append(100 * (tissue_shares(image[mask].astype(np.float64))[1].sum() / before - 1))
    return float(np.dot(doses, changes) / np.dot(doses, doses))


def measure_speed(cohorts: Path) -> Result:
    """Time the writing of a cohort of five visits at 4 mm in standard space, after the anatomies are made."""
    folder, seen = cohorts / "speed", list[tuple[int, float]]()
    shutil.rmtree(folder, ignore_errors=True)
    start = time.monotonic()
    write_phantom(
        folder, subjects=60, seed=SEED, visits=5, jobs=usable_cores(),
        progress=lambda done, _: seen.append((done, time.monotonic())),
    )  # fmt: skip
    shutil.rmtree(folder)
    lines = [
        f"- {_rate(seen)}, 60 people with five visits",
        f"- six anatomies are made and their responses measured before: {seen[0][1] - start:.0f} s to the first person",
    ]
    return {"title": f"Speed at 4 mm on {usable_cores()} cores, standard space", "lines": lines}


def _rate(seen: Sequence[tuple[int, float]]) -> str:
    (first, start), (last, end) = seen[0], seen[-1]
    return f"{(last - first) / (end - start):.1f} scans a second ({last - first} scans)"


def measure_memory(cohorts: Path) -> Result:
    """Write a thousand scans at 2 mm and watch the memory."""
    folder, peaks, seen = cohorts / "thousand", list[tuple[int, float]](), list[tuple[int, float]]()

    def watch(done: int, _: int) -> None:
        seen.append((done, time.monotonic()))
        if not peaks or done - peaks[-1][0] >= 100:
            peaks.append((done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))

    write_phantom(folder, subjects=218, seed=SEED, visits=5, spacing_mm=2.0, jobs=usable_cores(), progress=watch)
    shutil.rmtree(folder)
    shown = ", ".join(f"{gigabytes:.2f} GB after {done}" for done, gigabytes in peaks)
    lines = [f"- {_rate(seen)}, 218 people with five visits", f"- peak memory: {shown}"]
    return {"title": f"A thousand scans at 2 mm on {usable_cores()} cores, standard space", "lines": lines}


def _bench() -> Any:
    return shared_workbench(template_maps(), "cpu")


def _subjects(wanted: Callable[[int], bool], count: int) -> list[Subject]:
    parameters = load_parameters()
    people = draw_people(parameters, seed=SEED, index=np.arange(20 * count), arm="balanced")
    rows = [row for row, group in enumerate(people.group.tolist()) if wanted(group)][:count]
    _bench().support  # noqa: B018 - made once, before workers race for it
    _parallel(lambda anatomy: _bench().response(anatomy), sorted({int(people.anatomy[row]) for row in rows}))
    return _parallel(lambda row: draw_subject(_bench(), parameters, people, row, arm="balanced"), rows)


def _parallel(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    def one(item: Any) -> Any:
        with torch.inference_mode():
            return work(item)

    pool: ThreadPoolExecutor
    with single_threads(usable_cores()) as pool:
        return list(pool.map(one, items))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


SECTIONS: dict[str, Callable[[Path], Result]] = {
    "blends": measure_blends,
    "rank": measure_rank,
    "sites": measure_sites,
    "conversion": measure_conversion,
    "motion": measure_motion,
    "agreement": measure_extrapolation,
    "speed": measure_speed,
    "memory": measure_memory,
}

if __name__ == "__main__":
    main(tyro.cli(Evidence))
