"""Build, split and certify a cohort of 20,000 scans that are nothing but headers.

Run:    python benchmarks/large_cohort.py
Cost:   half a minute, most of it to write the files
Expect: together below a minute and 1 GB of memory; 5.2 s and 2.6 s, 0.60 GB, on two free cores
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import tyro
from evidence import MACHINE

from neurolatent import cohort_steps

VISITS = 2
DIAGNOSES = ("CN", "MCI", "AD")


@dataclass(frozen=True)
class LargeCohort:
    """How many."""

    scans: int = 20_000
    """Two of each person."""
    sites: int = 50
    """At which they were taken."""
    machine: str = MACHINE
    """What it runs on."""


def main(settings: LargeCohort) -> None:
    """Write the cohort, then time each step."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_source(root / "source", settings)
        steps: dict[str, Callable[[], object]] = {
            "build and split": lambda: cohort_steps.build("table", root / "source", out=root / "w"),
            "certify": lambda: cohort_steps.certify(root / "w"),
        }
        print(f"{settings.scans} scans, {settings.machine}")
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds, peak_gb = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"{name}: {seconds:.1f} s, {settings.scans / seconds:.0f} scans/s, at most {peak_gb:.2f} GB so far")


def write_source(root: Path, settings: LargeCohort) -> None:
    """Write a table, and for each scan a NIfTI header over voxels that are a hole in the file."""
    rng = np.random.default_rng(0)
    header = nib.Nifti1Image(np.zeros((1, 1, 1), np.int16), np.diag([1.0, 1.0, 1.0, 1.0])).header
    header.set_data_shape((176, 240, 256))
    block, size = header.binaryblock + b"\0" * 4, 352 + 2 * 176 * 240 * 256
    lines = ["subject,visit,age,sex,dx,site,months,path"]
    for person in range(settings.scans // VISITS):
        age, sex = rng.uniform(55, 90), "FM"[rng.integers(2)]
        diagnosis, site = DIAGNOSES[rng.integers(3)], f"S{rng.integers(settings.sites):02d}"
        for visit in range(VISITS):
            image = root / "images" / f"{person:05d}" / f"{visit}.nii"
            image.parent.mkdir(parents=True, exist_ok=True)
            with image.open("wb") as file:
                file.write(block)
                file.truncate(size)
            place = image.relative_to(root).as_posix()
            lines.append(f"{person:05d},{visit},{age + visit:.2f},{sex},{diagnosis},{site},{12 * visit},{place}")
    (root / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(LargeCohort))
