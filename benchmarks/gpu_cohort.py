"""The phantom cohort of the GPU benchmark: made in shares, so that a killed run goes on, and divided by person."""

import csv
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from neurolatent.model.presets import Preset
from neurolatent.phantom import write_phantom
from neurolatent.provenance import hash_file, whole_file
from neurolatent.shapes import MaskArray, VoxelArray
from neurolatent.volume.cache import VolumeCache, open_cache, write_cache
from neurolatent.volume.space import Grid
from neurolatent.volume.template import MAX_STORED, TemplateMaps, template_maps
from neurolatent.workspace import ScanKey

SEED, SHARE_OF_PEOPLE = 5, 25
"""The phantom's seed; people that a process images at a time."""
TEST, VALIDATION = 0.3, 0.05
"""Shares of people that nothing is learnt from."""


@dataclass(frozen=True)
class Cohort:
    """One scan a person, with who trains and who is held out."""

    cache: VolumeCache
    ages: np.ndarray
    diagnoses: np.ndarray
    training: list[int]
    validation: list[int]
    test: list[int]


def write_template(path: Path) -> None:
    """Pack the template's maps as they are stored, in 8 bits, for a machine without nilearn."""
    maps = template_maps()
    packed = {name: np.rint(getattr(maps, name) * MAX_STORED).astype(np.uint8) for name in ("t1", "grey", "white")}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, world_from_voxel=maps.world_from_voxel, **packed)


@cache
def read_template(path: Path | None) -> TemplateMaps:
    """Unpack them; without a file, take those of the nilearn that is installed."""
    if path is None:
        return template_maps()
    with np.load(path, allow_pickle=False) as packed:
        t1, grey, white = (packed[name].astype(np.float32) / np.float32(MAX_STORED) for name in ("t1", "grey", "white"))
        return TemplateMaps(t1, grey, white, packed["world_from_voxel"])


def open_cohort(out: Path, *, people: int, preset: Preset, template: Path | None, jobs: int) -> Cohort:
    """Image the people who are not there yet, lay their scans into one cache, and divide them."""
    grid = Grid(preset.spacing_mm, preset.view)
    place = out / f"people-{people}-{grid.label}"
    if not (place / "cache" / "index.json").is_file():
        _image(place / "source", people, grid, template, jobs)
        _lay(place, grid)
    return _divide(open_cache(place / "cache"), _rows(place))


def _image(source: Path, people: int, grid: Grid, template: Path | None, jobs: int) -> None:
    starts = range(0, people, SHARE_OF_PEOPLE)
    shares = [range(first, min(first + SHARE_OF_PEOPLE, people)) for first in starts]
    waiting = [share for share in shares if not (_folder(source, share) / "truth" / "people.json").is_file()]
    tasks = [(_folder(source, share), people, list(share), grid, template) for share in waiting]
    if jobs == 1:
        done = map(_image_share, tasks)
    else:
        done = ProcessPoolExecutor(jobs, mp_context=get_context("spawn")).map(_image_share, tasks)
    for number, _ in enumerate(done, start=1):
        print(f"phantom: {number} of {len(tasks)} shares of {SHARE_OF_PEOPLE} people", flush=True)


def _image_share(task: tuple[Path, int, list[int], Grid, Path | None]) -> None:
    folder, people, share, grid, template = task
    torch.set_num_threads(1)
    write_phantom(
        folder,
        subjects=people,
        people=share,
        visits=1,
        seed=SEED,
        spacing_mm=grid.spacing_mm,
        view=grid.view,
        repeats=0.0,
        template=read_template(template),
    )


def _folder(source: Path, share: range) -> Path:
    return source / f"share-{share.start:05d}"


def _lay(place: Path, grid: Grid) -> None:
    paths = sorted(place.glob("source/share-*/sub-*/ses-*/anat/*_desc-preproc_T1w.nii.gz"))

    def scans() -> Iterator[tuple[ScanKey, VoxelArray, MaskArray, str]]:
        for path in paths:
            mask = path.with_name(path.name.replace("desc-preproc_T1w", "desc-brain_mask"))
            volume, inside = (nib.Nifti1Image.from_filename(one).get_fdata(dtype=np.float32) for one in (path, mask))
            yield ScanKey(path.parts[-4], path.parts[-3], "1"), volume, inside > 0.5, hash_file(path)

    write_cache(place / "cache", scans(), count=len(paths), grid=grid, preprocessing="phantom in standard space")


def _rows(place: Path) -> dict[str, dict[str, str]]:
    """Return each person's row of the tables, the session's age and diagnosis in it."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(place.glob("source/share-*/participants.tsv")):
        found |= {row["participant_id"]: row for row in _read(path)}
    for path in sorted(place.glob("source/share-*/sub-*/sub-*_sessions.tsv")):
        found[path.parent.name] |= _read(path)[0]
    return found


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _divide(cache: VolumeCache, rows: dict[str, dict[str, str]]) -> Cohort:
    """Hold out people at random; those whose anatomy the phantom keeps for testing are held out all."""
    people = [key.participant_id for key in cache.keys]
    rank = np.random.default_rng(SEED).permutation(len(people)) / len(people)
    kept = np.array([rows[name]["kept_for_test"] == "yes" for name in people])
    test = kept | (rank < TEST)
    validation = ~test & (rank > 1 - VALIDATION)
    return Cohort(
        cache=cache,
        ages=np.array([float(rows[name]["age"]) for name in people]),
        diagnoses=np.array([rows[name]["diagnosis"] for name in people]),
        training=np.flatnonzero(~test & ~validation).tolist(),
        validation=np.flatnonzero(validation).tolist(),
        test=np.flatnonzero(test).tolist(),
    )
