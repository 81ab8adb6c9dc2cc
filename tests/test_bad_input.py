"""Whatever is wrong with one scan costs one line that names it, and that scan; the others go on."""

import gzip
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neurolatent.volume.cache import open_cache
from neurolatent.volume.space import Grid
from neurolatent.workspace import Workspace

GRID = Grid(4.0)
GOOD = "sub-good/ses-1/anat/sub-good_ses-1_space-MNI152NLin2009aSym_res-4_desc-preproc_T1w.nii.gz"


def save(path: Path, voxels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), GRID.world_from_voxel), path)


def raw(root: Path, name: str) -> Path:
    path = root / f"sub-{name}/ses-1/anat/sub-{name}_ses-1_T1w.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """One good scan, and one person for each way in which a scan can be bad."""
    root = tmp_path_factory.mktemp("bids")
    (root / "dataset_description.json").write_text('{"Name": "bad input", "BIDSVersion": "1.10.0"}')
    rng = np.random.default_rng(0)
    head = rng.uniform(0.2, 1, GRID.shape)
    mask = np.zeros(GRID.shape)
    mask[10:-10, 10:-10, 10:-10] = 1
    save(root / GOOD, head * mask)
    save(root / GOOD.replace("desc-preproc_T1w", "desc-brain_mask"), mask)
    save(raw(root, "truncated"), head)
    raw(root, "truncated").write_bytes(raw(root, "truncated").read_bytes()[:4000])
    raw(root, "empty").write_bytes(b"")
    save(raw(root, "fourd"), np.stack([head, head], axis=-1))
    save(raw(root, "zero"), head * 0)
    save(raw(root, "nan"), np.where(mask > 0, np.nan, head))
    raw(root, "notnifti").write_bytes(gzip.compress(b"not an image" * 100))
    for name in ("agezero", "agefourhundred"):
        save(raw(root, name), head)
    outside = tmp_path_factory.mktemp("elsewhere") / "secret.nii.gz"
    save(outside, head)
    raw(root, "escape").symlink_to(outside)
    scans = root / "sub-absent/ses-1/sub-absent_ses-1_scans.tsv"
    scans.parent.mkdir(parents=True)
    scans.write_text("filename\nanat/sub-absent_ses-1_T1w.nii.gz\n")
    ages = {"agezero": 0, "agefourhundred": 400}
    people = sorted(folder.name for folder in root.glob("sub-*"))
    rows = [f"{person}\t{ages.get(person.removeprefix('sub-'), 70)}\tF" for person in people]
    (root / "participants.tsv").write_text("\n".join(["participant_id\tage\tsex", *rows]) + "\n")
    return root


@pytest.fixture(scope="module")
def outcome(source, tmp_path_factory) -> dict[str, object]:
    workspace = tmp_path_factory.mktemp("workspace") / "ws"
    command = [sys.executable, "-m", "neurolatent.cli"]
    build = [
        *command,
        "cohort",
        "build",
        "bids",
        str(source),
        "--out",
        str(workspace),
        "--fractions",
        "0.9",
        "0",
        "0.1",
    ]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    prepare = [*command, "preprocess", str(workspace), "--jobs", "1"]
    prepared = subprocess.run(prepare, capture_output=True, text=True, check=False)
    return {"build": built, "preprocess": prepared, "workspace": Workspace(workspace)}


BAD = [
    ("build", "sub-empty_ses-1_T1w.nii.gz", "empty file"),
    ("build", "sub-absent_ses-1_T1w.nii.gz", "found none"),
    ("build", "sub-agezero", "expected an age of"),
    ("build", "sub-agefourhundred", "expected an age of"),
    ("build", "sub-escape_ses-1_T1w.nii.gz", "expected an image inside"),
    ("preprocess", "sub-truncated_ses-1_T1w.nii.gz", "breaks off or is damaged"),
    ("preprocess", "sub-fourd_ses-1_T1w.nii.gz", "expected one 3D volume, got shape"),
    ("preprocess", "sub-zero_ses-1_T1w.nii.gz", "expected a head, got 0 in every voxel"),
    ("preprocess", "sub-nan_ses-1_T1w.nii.gz", "expected finite intensities"),
    ("preprocess", "sub-notnifti_ses-1_T1w.nii.gz", "damaged header"),
]


@pytest.mark.parametrize(("step", "name", "words"), BAD, ids=[f"{name}" for _, name, _ in BAD])
def test_each_fault_is_one_line_that_names_it(outcome, step, name, words):
    lines = [line for line in outcome[step].stderr.splitlines() if name in line and words in line]
    assert lines, outcome[step].stderr
    assert "Traceback" not in outcome[step].stderr


@pytest.mark.parametrize("step", ["build", "preprocess"])
def test_exit_status_says_that_something_failed(outcome, step):
    assert outcome[step].returncode == 1


def test_the_good_scan_is_ready_all_the_same(outcome):
    cache = open_cache(outcome["workspace"].cache(4.0))
    assert [key.participant_id for key in cache.keys] == ["sub-good"]
    assert not list(outcome["workspace"].root.rglob(".partial-*"))


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["run", "guess", "nowhere"], 1),
        (["cohort", "build", "nocohort", "."], 1),
        (["preprocess", "nowhere"], 1),
        (["no-such-command"], 2),
    ],
)
def test_wrong_words_get_one_line_or_usage(tmp_path, words, status):
    run = subprocess.run(
        [sys.executable, "-m", "neurolatent.cli", *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == status
    assert "Traceback" not in run.stderr
    if status == 1:
        assert len([line for line in run.stderr.splitlines() if line.strip()]) == 1
