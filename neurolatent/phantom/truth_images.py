"""Truth as images: what tissue lies where, and where it moves, as NIfTI in the template's space.

A deformation from one visit to another holds, at each node of standard space, by how many mm (RAS+) the tissue there at
the first visit lies elsewhere at the second; that from the second to the first is its inverse.
"""

from collections.abc import Callable, Collection
from itertools import permutations
from pathlib import Path
from typing import Literal

import numpy as np

from neurolatent.phantom.nifti import MNI_CODE, VECTOR_INTENT, write_nifti
from neurolatent.phantom.structures import REGIONS
from neurolatent.phantom.truth import PhantomTruth
from neurolatent.phantom.workers import single_threads
from neurolatent.provenance import write_json, write_text
from neurolatent.volume.space import TEMPLATE_SPACE, Grid

Extra = Literal["tissues", "deformations", "noise-free"]
TISSUES = ("grey", "white", "fluid", "hypointensities", "intracranial")
LABELS_FILE = "labels.tsv"


def write_extras(truth: PhantomTruth, grid: Grid, extras: Collection[Extra], *, jobs: int) -> None:
    """Write the wanted images of everyone, each whole or not at all; a file that is there stays."""
    tasks: list[tuple[Callable[[PhantomTruth, str, Grid], None], str]] = [
        (WRITERS[extra], name) for extra in sorted(extras) for name in truth.participants
    ]
    if "tissues" in extras:
        lines = ["index\tname", *(f"{index}\t{name}" for index, name in enumerate(REGIONS[:-1], start=1))]
        write_text(truth.folder / LABELS_FILE, "\n".join(lines) + "\n")
    truth.prepare()
    with single_threads(jobs) as pool:
        for done in [pool.submit(write, truth, name, grid) for write, name in tasks]:
            done.result()


def write_tissues(truth: PhantomTruth, participant_id: str, grid: Grid) -> None:
    """Write shares of TISSUES at every visit, and the region that has most of each voxel."""
    for session_id, months in sessions(truth, participant_id).items():
        stem = _stem(truth, participant_id, session_id, grid)
        if stem.with_name(f"{stem.name}_dseg.nii.gz").is_file():
            continue
        maps = truth.tissue_maps(participant_id, months, grid)
        for tissue in TISSUES:
            path = stem.with_name(f"{stem.name}_label-{tissue}_probseg.nii.gz")
            write_nifti(path, maps[tissue], grid.world_from_voxel, MNI_CODE)
        regions = np.stack([maps[region] for region in REGIONS[:-1]])  # without the whole brain
        labels = np.where(regions.max(axis=0) > 0.5, regions.argmax(axis=0) + 1, 0).astype(np.uint8)
        write_nifti(stem.with_name(f"{stem.name}_dseg.nii.gz"), labels, grid.world_from_voxel, MNI_CODE)


def write_deformations(truth: PhantomTruth, participant_id: str, grid: Grid) -> None:
    """Write the deformations between the first visit and every other, in both directions."""
    visits = sessions(truth, participant_id)
    first = next(iter(visits))
    for start, end in permutations(visits, 2):
        if first not in {start, end}:
            continue
        folder = truth.folder / participant_id
        name = f"{participant_id}_from-{start.removeprefix('ses-')}_to-{end.removeprefix('ses-')}"
        path = folder / f"{name}_space-{TEMPLATE_SPACE}_res-{grid.label}_mode-points_xfm.nii.gz"
        if path.is_file():
            continue
        record = {
            "Space": TEMPLATE_SPACE,
            "Units": "mm",
            "Axes": "RAS+",
            "Meaning": "tissue at a node at `FromMonths` lies at node + displacement at `ToMonths`",
            "FromMonths": visits[start],
            "ToMonths": visits[end],
        }
        write_json(path.with_name(path.name.removesuffix(".nii.gz") + ".json"), record)
        moved = truth.deformation(participant_id, visits[start], visits[end], grid)
        stored = np.moveaxis(moved, 0, -1)[:, :, :, None, :].astype(np.float32)
        write_nifti(path, stored, grid.world_from_voxel, MNI_CODE, intent=VECTOR_INTENT)


def write_noise_free(truth: PhantomTruth, participant_id: str, grid: Grid) -> None:
    """Write what a perfect scanner of the site would have shown at every visit."""
    for session_id, months in sessions(truth, participant_id).items():
        stem = _stem(truth, participant_id, session_id, grid)
        path = stem.with_name(f"{stem.name}_desc-noisefree_T1w.nii.gz")
        if not path.is_file():
            volume, _ = truth.noise_free(participant_id, months, grid)
            write_nifti(path, volume, grid.world_from_voxel, MNI_CODE)


WRITERS: dict[Extra, Callable[[PhantomTruth, str, Grid], None]] = {
    "tissues": write_tissues,
    "deformations": write_deformations,
    "noise-free": write_noise_free,
}


def sessions(truth: PhantomTruth, participant_id: str) -> dict[str, float]:
    """Return a person's visits: session → months since the first scan."""
    return {scan["session_id"]: scan["months"] for scan in truth.person(participant_id)["scans"]}


def _stem(truth: PhantomTruth, participant_id: str, session_id: str, grid: Grid) -> Path:
    name = f"{participant_id}_{session_id}_space-{TEMPLATE_SPACE}_res-{grid.label}"
    return truth.folder / participant_id / session_id / name
