"""A small clean cohort, written by the test, in which each test plants its fault."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from neurolatent.cohort.sidecar import Counts, Sidecar, write_sidecar
from neurolatent.cohort.visits import COLUMNS
from neurolatent.contract.check import CohortCheck, check_cohort
from neurolatent.provenance import hash_file
from neurolatent.workspace import Workspace

SHAPE, SPACING_MM = (54, 60, 54), 4.0
AFFINE = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
ROWS = (
    ("sub-01", "ses-M00", "0", "70.1", "F", "CN"),
    ("sub-01", "ses-M12", "12.1", "71.1", "F", "CN"),
    ("sub-01", "ses-M24", "24.0", "72.1", "F", "MCI"),
    ("sub-02", "ses-M00", "0", "64.5", "M", "AD"),
    ("sub-02", "ses-M12", "12.0", "65.5", "M", "AD"),
    ("sub-03", "ses-M00", "0", "80.3", "F", "n/a"),
)
FACTS = {"run": "1", "age_precision_years": "0.1", "dx_rule": "as given", "site": "A", "scanner_tesla": "3"}


def offsets_mm() -> np.ndarray:
    centre = (np.array(SHAPE)[:, None, None, None] - 1) / 2
    return (np.indices(SHAPE) - centre) * SPACING_MM


def ellipsoid(*semi_axes_mm: float) -> np.ndarray:
    return (np.square(offsets_mm() / np.array(semi_axes_mm)[:, None, None, None]).sum(axis=0)) < 1


HEAD, BRAIN = ellipsoid(80, 98, 92), ellipsoid(62, 80, 60)


def head(seed: int) -> np.ndarray:
    """Scalp, dark skull, brain with something of its own, noise in the air."""
    rng = np.random.default_rng(seed)
    tissue = 300 * HEAD + 300 * BRAIN + 100 * np.sin(offsets_mm()[seed % 3] / (10 + seed % 7)) * BRAIN
    return np.abs(tissue + rng.normal(0, 12, SHAPE))


def save(path: Path, voxels: np.ndarray, *, kind: str = "i2", affine: np.ndarray = AFFINE, code: int = 1) -> Path:
    image = nib.Nifti1Image(voxels.astype(kind), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


@dataclass
class Planted:
    """A cohort on disk whose rows a test may spoil."""

    workspace: Workspace
    source: Path
    rows: list[dict[str, str]]

    def row(self, participant: str, session: str) -> dict[str, str]:
        return next(r for r in self.rows if (r["participant_id"], r["session_id"]) == (participant, session))

    def image(self, participant: str, session: str) -> Path:
        return self.source / self.row(participant, session)["image"]

    def write(self) -> None:
        """Write the table and a sidecar that knows it."""
        write_table(self.workspace.visits_tsv, self.rows)
        known = replace(SIDECAR, source_root=self.source, visits_hash=hash_file(self.workspace.visits_tsv))
        write_sidecar(self.workspace.visits_json, known)

    def check(self, **options) -> CohortCheck:
        self.write()
        return check_cohort(self.workspace, **options)


SIDECAR = Sidecar(
    cohort="test",
    title="Test",
    simulation=False,
    source_root=Path("nowhere"),
    sources=(),
    columns={},
    exclusions=(),
    counts=Counts(6, 6, 6, 3, 3),
    expected_participants=None,
    expected_scans=None,
    diagnosis_rule="as given",
    diagnosis_source="table",
    licence="none",
    licence_url=None,
    apply="",
    citation="",
    descriptor_hash="",
    visits_hash="",
)


def clean_rows() -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for participant, session, months, age, sex, diagnosis in ROWS:
        own = {"participant_id": participant, "session_id": session, "months": months, "age_years": age, "sex": sex}
        image = f"{participant}/{session}/anat/{participant}_{session}_T1w.nii.gz"
        known = FACTS | own | {"diagnosis": diagnosis, "cohort": "test", "image": image, "mask_source": "n/a"}
        rows.append({name: known[name] for name in COLUMNS})
    return rows


def write_table(path: Path, rows: list[Mapping[str, str]], columns: tuple[str, ...] = COLUMNS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [columns, *([row[name] for name in columns] for row in rows)]
    path.write_text("\n".join("\t".join(cells) for cells in lines) + "\n", encoding="utf-8")
    return path
