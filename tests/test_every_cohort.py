"""The line holds for every descriptor: a tree in its layout, with phantom heads in it, ends in a report."""

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.processing import resample_from_to
from pypdf import PdfReader

from neurolatent import cohort_steps, pipeline
from neurolatent.cohort.sidecar import read_sidecar
from neurolatent.cohort.visits import Visit, read_visits
from neurolatent.model.presets import find_preset
from neurolatent.shapes import Affine, VoxelArray
from neurolatent.volume.cache import VolumeCache, open_cache
from neurolatent.workspace import Workspace
from tests.cohort.trees import DAYS, PATIENTS, TREES, Patient
from tests.volume.heads import pose, skip_registration

SPACING_MM = find_preset("tiny").spacing_mm
REGISTERED = "ixi"
"""Here the heads are looked for where they lie; elsewhere they are put in their place, which is tested at length."""
REGISTERED_LIKENESS = 0.7
"""With a head that was put in its place by the true pose: masks differ at the rim, and voxels of 8 mm are few."""
ANALYZE_SHAPE = (256, 256, 160)
ANALYZE_AFFINE = np.array([[0.0, 0, -1, 80], [1, 0, 0, -128], [0, 1, 0, -128], [0, 0, 0, 1]])
SURNAME, FIRST_NAME = "Quimbington", "Zeldarine"
"""Long, for five letters turn up by chance in a page with its pictures in it."""
FORMS = ("%Y-%m-%d", "%Y%m%d", "%m/%d/%Y", "%-m/%-d/%Y", "%d.%m.%Y", "%Y_%m_%d")


@dataclass(frozen=True, eq=False)
class Head:
    """A raw phantom head, and where it lies: from its own to standard millimetres."""

    voxels: VoxelArray
    world_from_voxel: Affine
    standard_from_world: Affine

    def upright(self) -> "Head":
        """Turn the head to where `skip_registration` takes it to lie."""
        return Head(self.voxels, pose() @ self.standard_from_world @ self.world_from_voxel, np.linalg.inv(pose()))


@pytest.fixture(scope="module")
def heads(tmp_path_factory) -> list[list[Head]]:
    """Six people's heads at two visits, each as its scanner stores it."""
    settings = cohort_steps.PhantomSettings(
        subjects=len(PATIENTS), visits=2, space="raw", voxel_mm=(3.0, 3.0, 3.0), still=True
    )
    workspace = Workspace(tmp_path_factory.mktemp("heads"))
    cohort_steps.build("phantom", None, out=workspace.root, seed=3, phantom=settings, jobs=1)
    source = workspace.root / "source"
    people = json.loads((source / "truth" / "people.json").read_text())["people"]
    scans = [[scan for scan in person["scans"] if scan["run"] == "1"] for person in people]
    return [
        [read_head(source, person["participant_id"], own[which]) for which in (0, -1)]
        for person, own in zip(people, scans, strict=True)
    ]


def read_head(source: Path, participant: str, scan: dict) -> Head:
    session = scan["session_id"]
    image = nib.load(source / participant / session / "anat" / f"{participant}_{session}_T1w.nii.gz")
    return Head(np.asarray(image.dataobj), image.affine, np.array(scan["standard_from_world"]))


def write_image(head: Head, path: Path) -> None:
    """Write a head as the path's cohort stores it, with a name and a date where a header has room for them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.startswith("OAS1_"):
        placed = resample_from_to(
            nib.Nifti1Image(head.voxels, head.world_from_voxel), (ANALYZE_SHAPE, ANALYZE_AFFINE), order=1
        )
        image = nib.AnalyzeImage(np.asarray(placed.dataobj).astype(">i2"), np.eye(4))
    elif path.suffix == ".img":
        image = nib.Nifti1Pair(head.voxels[..., None], head.world_from_voxel)
    else:
        image = nib.Nifti1Image(head.voxels, head.world_from_voxel)
    if isinstance(image, nib.Nifti1Pair):
        image.header["descrip"] = f"{SURNAME}^{FIRST_NAME} {PATIENTS[0].day(0):%Y%m%d}".encode()
        image.header["aux_file"] = SURNAME.encode()
    image.to_filename(path)


def plant(table: Path) -> None:
    """Put a name and a date of birth into columns of their own."""
    delimiter = "\t" if table.suffix == ".tsv" else ","
    header, *rows = csv.reader(table.read_text(encoding="utf-8").splitlines(), delimiter=delimiter)
    rows = [[*row, f"{SURNAME} {FIRST_NAME}", born(PATIENTS[0]).isoformat()] for row in rows]
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([[*header, "PatientName", "PatientBirthDate"], *rows])


def leave_out(name: str, source: Path) -> None:
    """Add a scan that the cohort cannot use, under a name that tells whose it is or when it was taken."""
    day, stamp = f"{PATIENTS[0].day(0)}", f"{PATIENTS[0].day(0):%Y%m%d}"
    of_nobody = {
        "adni": f"ADNI/099_S_9999/MPRAGE/{day}_08_20_30.0/I999/ADNI_099_S_9999_MR_MPRAGE_Br_{stamp}_S1_I999.nii",
        "aibl": f"AIBL/999/MPRAGE_ADNI_confirmed/{day}_10_20_30.0/I999/AIBL_999_{stamp}.nii",
        "bids": f"sub-{SURNAME}/ses-{stamp}/anat/sub-{FIRST_NAME}_ses-{stamp}_T1w.nii.gz",
        "table": f"images/{SURNAME}_{FIRST_NAME}_{stamp}.nii.gz",
    }
    if name not in of_nobody:
        return
    path = source / of_nobody[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no image")
    if name == "table":
        with (source / "scans.csv").open("a", encoding="utf-8") as file:
            file.write(f"{SURNAME},1,{born(PATIENTS[0]):%m/%d/%Y},F,CN,{day},A,{of_nobody[name]}\n")


def born(person: Patient) -> date:
    return person.day(0) - timedelta(days=round(365.25 * person.age_years))


def secrets() -> set[str]:
    """Everything that must not leave the reader: names, days of birth, days of scans, the source's folder."""
    days = [day for person in PATIENTS for day in (born(person), person.day(0), person.day(1))]
    return {SURNAME, FIRST_NAME} | {f"{day:{form}}" for day in days for form in FORMS}


def contents(path: Path) -> bytes:
    """Return a file's bytes, unpacked, with a PDF's text."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if path.suffix != ".pdf":
        return raw
    reader = PdfReader(path)
    return raw + "\n".join([str(reader.metadata), *(page.extract_text() for page in reader.pages)]).encode()


def told(workspace: Workspace) -> Iterator[tuple[Path, str]]:
    """Give every file that tells a secret, and which."""
    private = {workspace.visits_tsv, workspace.visits_json}
    for path in sorted(path for path in workspace.root.rglob("*") if path.is_file() and path not in private):
        searched = contents(path) + str(path.relative_to(workspace.root)).encode()
        yield from ((path, secret) for secret in sorted(secrets()) if secret.encode() in searched)


Study = Callable[[str], Workspace]


@pytest.fixture(scope="module")
def study(heads, tmp_path_factory) -> Study:
    """Study a cohort's tree, once; the first one trains the weights that the others use."""
    finished: dict[str, Workspace] = {}

    def run(name: str) -> Workspace:
        if name not in finished:
            weights = run("bids").model("tiny") if name != "bids" else None
            folder = tmp_path_factory.mktemp(name)
            finished[name] = _study(name, weights, heads, folder, registered=name == REGISTERED)
        return finished[name]

    return run


def _study(
    name: str, weights: Path | None, heads: list[list[Head]], folder: Path, *, registered: bool, jobs: int = 1
) -> Workspace:
    def write(path: Path, place: int, visit: int) -> None:
        head = heads[place][visit]
        write_image(head if registered else head.upright(), path)

    source = TREES[name](folder / f"clinic-{SURNAME}", write)
    leave_out(name, source)
    for table in [*source.rglob("*.csv"), *source.rglob("*.tsv")]:
        plant(table)
    settings = pipeline.StudySettings(
        name=name, source=source, out=folder / "out", preset="tiny", weights=weights, jobs=jobs
    )
    with pytest.MonkeyPatch.context() as patched:
        if not registered:
            skip_registration(patched.setattr)
        assert pipeline.run_study(settings) == int(name in {"bids", "table"})  # which say that a scan is at fault
    return Workspace(settings.out)


@pytest.mark.parametrize("name", TREES)
def test_a_cohort_as_downloaded_ends_in_a_report_about_everybody(name: str, study: Study):
    workspace = study(name)
    visits = read_visits(workspace.visits_tsv)
    assert {visit.key for visit in visits} == {*cache_of(workspace).keys}
    page = workspace.report_html.read_text(encoding="utf-8")
    assert f"{len(PATIENTS)} people" in page
    assert f"{len(visits)} scans" in page
    pages = PdfReader(workspace.report_pdf).pages
    assert f"{len(PATIENTS)} people" in "".join(page.extract_text() for page in pages)


@pytest.mark.parametrize("name", TREES)
def test_no_file_but_the_private_ones_tells_a_name_or_a_date(name: str, study: Study):
    workspace = study(name)
    assert list(told(workspace)) == []


@pytest.mark.parametrize("name", ["adni", "aibl", "bids", "table"])
def test_the_report_counts_a_scan_that_was_left_out(name: str, study: Study):
    workspace = study(name)
    assert len(read_sidecar(workspace.visits_json).exclusions) == 1
    page = workspace.report_html.read_text(encoding="utf-8")
    assert "<h3>Left out, and why</h3>" in page
    assert "1 scan<" in page


@pytest.mark.parametrize("name", [name for name in TREES if name != "bids"])
def test_a_head_comes_out_the_same_whatever_its_cohorts_files_and_axes(name: str, study: Study):
    found, expected = study(name), study("bids")
    for (person, visit), scan in scans_of(found).items():
        one, other = volume_of(found, scan), volume_of(expected, scans_of(expected)[person, visit])
        assert likeness(one, other) > (REGISTERED_LIKENESS if name == REGISTERED else 0.98)
        assert likeness(one, other) > likeness(one[::-1], other)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in TREES if name != REGISTERED])
def test_a_head_is_found_where_its_cohorts_file_says(name: str, study: Study, heads, tmp_path: Path):
    expected = study("bids")
    found = _study(name, expected.model("tiny"), heads, tmp_path, registered=True, jobs=2)
    likenesses = [
        likeness(volume_of(found, scan), volume_of(expected, scans_of(expected)[place]))
        for place, scan in scans_of(found).items()
    ]
    assert min(likenesses) > REGISTERED_LIKENESS


def scans_of(workspace: Workspace) -> dict[tuple[int, int], Visit]:
    """Return each person's scans by the places of person and visit in the tree, of repeats the first."""
    visits = [visit for visit in read_visits(workspace.visits_tsv) if visit.run == "1"]
    people = sorted({visit.participant_id for visit in visits})
    return {(people.index(v.participant_id), int(v.months > 12)): v for v in visits}


def cache_of(workspace: Workspace) -> VolumeCache:
    return open_cache(workspace.cache(SPACING_MM))


def volume_of(workspace: Workspace, scan: Visit) -> np.ndarray:
    cache = cache_of(workspace)
    return np.float32(cache.volumes[cache.row(scan.key)])


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation where either shows a brain."""
    shown = (one > 0) | (other > 0)
    return float(np.corrcoef(one[shown], other[shown])[0, 1])


def test_the_search_finds_what_is_planted(tmp_path: Path):
    workspace = Workspace(tmp_path)
    (tmp_path / "visits.tsv").write_text(SURNAME)
    (tmp_path / "notes.json").write_text(f'"{PATIENTS[2].day(1):%m/%d/%Y}"')
    with gzip.open(tmp_path / "image.nii.gz", "wb") as file:
        file.write(b"\0" * 100 + FIRST_NAME.encode())
    assert {path.name for path, _ in told(workspace)} == {"image.nii.gz", "notes.json"}
    assert DAYS[1] > 12 * 31  # what `scans_of` tells visits by
