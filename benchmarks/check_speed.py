"""Measure how many scans a second `neurolatent cohort check` looks at without reading their voxels.

Run:    python benchmarks/check_speed.py
Cost:   about a minute on two cores and 0.5 GB of disk, given back at the end
Expect: more than 300 scans a second; 463 and 435 on two free cores, 252 and 303 on two that a training held too
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import tyro

from neurolatent.cohort.visits import Visit, write_visits
from neurolatent.console import progress_bars
from neurolatent.contract.check import check_cohort
from neurolatent.device import usable_cores
from neurolatent.workspace import Workspace

SHAPE, SPACING_MM = (48, 56, 48), 4.0
VISITS = 3


@dataclass(frozen=True)
class Speed:
    """How many scans are written and how they are looked at."""

    scans: int = 3000
    """Small packed NIfTI files, three visits a person."""
    jobs: int = usable_cores()
    """As `--jobs` of the command."""


def main(settings: Speed) -> None:
    """Write a cohort, check it twice (the second time the disk's cache is warm) and print scans a second."""
    with tempfile.TemporaryDirectory() as folder:
        workspace, source = Workspace(Path(folder) / "workspace"), Path(folder) / "source"
        visits = [_write(source, number) for number in range(settings.scans)]
        workspace.root.mkdir()
        write_visits(workspace.visits_tsv, visits)
        print(f"{settings.scans} scans of {'×'.join(map(str, SHAPE))} voxels, --jobs {settings.jobs}")
        for turn in ("first", "second"):
            began = time.perf_counter()
            with progress_bars() as progress:
                found = check_cohort(workspace, source=source, jobs=settings.jobs, progress=progress)
            seconds = time.perf_counter() - began
            print(f"{turn} time: {found.images / seconds:.0f} scans a second")


def _write(source: Path, number: int) -> Visit:
    """Write one scan of noise in a ball, unlike all others."""
    person, visit = divmod(number, VISITS)
    rng = np.random.default_rng(number)
    voxels = rng.integers(0, 30, SHAPE, dtype=np.int16)
    voxels[8:-8, 8:-8, 8:-8] += rng.integers(200, 400, tuple(n - 16 for n in SHAPE), dtype=np.int16)
    image = nib.Nifti1Image(voxels, np.diag([SPACING_MM] * 3 + [1.0]))
    image.header.set_xyzt_units("mm")
    name = f"sub-{person:04}/ses-{visit}/sub-{person:04}_ses-{visit}_T1w.nii.gz"
    (source / name).parent.mkdir(parents=True)
    nib.save(image, source / name)
    return Visit(
        participant_id=f"sub-{person:04}",
        session_id=f"ses-{visit}",
        run="1",
        months=12.0 * visit,
        age_years=70.0 + visit,
        age_precision_years=0.1,
        sex="F",
        diagnosis="CN",
        dx_rule="benchmark",
        site="A",
        scanner_tesla=3.0,
        cohort="benchmark",
        mask_source=None,
        image=name,
    )


if __name__ == "__main__":
    main(tyro.cli(Speed))
