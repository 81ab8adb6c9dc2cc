"""Claims about a written cohort."""

import csv
import hashlib
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neurolatent.errors import CohortError, SettingsError
from neurolatent.phantom import write_phantom
from neurolatent.phantom.people import draw_people
from neurolatent.phantom.scanner import RawProtocol
from neurolatent.phantom.truth import PhantomTruth
from neurolatent.volume.space import Grid

OPTIONS = {"subjects": 60, "visits": 2, "spacing_mm": 8.0, "repeats": 1.0}


def _bytes_by_file(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_same_seed_gives_the_same_bytes_however_many_jobs(tiny, tmp_path, numbers, seed):
    write_phantom(tmp_path / "two", people=numbers[:2], seed=seed, jobs=2, **OPTIONS)
    assert _bytes_by_file(tmp_path / "two") == _bytes_by_file(tiny)


def test_writing_again_over_a_half_written_cohort_completes_it(tiny, tmp_path, numbers, seed):
    folder = shutil.copytree(tiny, tmp_path / "half")
    next(folder.glob("sub-*/ses-*/anat/*_T1w.nii.gz")).unlink()
    (folder / "truth" / "people.json").unlink()
    write_phantom(folder, people=numbers[:2], seed=seed, **OPTIONS)
    assert _bytes_by_file(folder) == _bytes_by_file(tiny)


def test_a_person_is_written_alike_in_a_cohort_of_any_size(tiny, tmp_path, numbers, seed):
    write_phantom(tmp_path, people=numbers[:1], seed=seed, **{**OPTIONS, "subjects": 200})
    images = {name: digest for name, digest in _bytes_by_file(tmp_path).items() if name.endswith(".nii.gz")}
    assert images
    assert images.items() <= _bytes_by_file(tiny).items()


def test_whoever_no_shape_fits_is_drawn_again_and_stays_who_they_are(parameters, tmp_path, monkeypatch):
    monkeypatch.setattr("neurolatent.phantom.subject.MOST_ATTEMPTS", 2)  # of 40, none of which fits
    write_phantom(tmp_path, people=[232], seed=5, **{**OPTIONS, "subjects": 233, "visits": 1, "repeats": 0.0})
    first = draw_people(parameters, seed=5, index=np.array([232]), arm="balanced")
    person = PhantomTruth.open(tmp_path).people
    assert (person.sex, person.age_years, person.group) == (first.sex, first.age_years, first.group)
    assert not np.allclose(person.courses.log_volume, first.courses.log_volume)


def test_another_seed_gives_other_people(tiny, tmp_path, numbers, seed):
    counted: list[tuple[int, int]] = []
    options = OPTIONS | {"visits": 1, "repeats": 0.0}
    write_phantom(tmp_path, people=numbers[:1], seed=seed + 1, progress=lambda *scans: counted.append(scans), **options)
    names, others = ({path.name for path in folder.glob("sub-*")} for folder in (tiny, tmp_path))
    assert names
    assert not names & others
    assert counted == [(1, 1)]


def test_tables_and_images_name_each_other(tiny, seed):
    people = _rows(tiny / "participants.tsv")
    assert {person["group"] for person in people} == {"CN", "AD"}
    assert {person["kept_for_test"] for person in people} <= {"yes", "no"}
    for person in people:
        name = person["participant_id"]
        assert name.startswith(f"sub-S{seed}P")
        sessions = _rows(tiny / name / f"{name}_sessions.tsv")
        assert sessions[0]["session_id"] == "ses-M00"
        assert sessions[0]["months"] == "0.0"
        for session in sessions:
            stem = tiny / name / session["session_id"] / "anat" / f"{name}_{session['session_id']}"
            assert Path(f"{stem}_space-MNI152NLin2009aSym_res-8_desc-preproc_T1w.nii.gz").is_file()
            assert float(session["age"]) == pytest.approx(
                float(sessions[0]["age"]) + float(session["months"]) / 12, abs=1e-3
            )
        repeats = list((tiny / name).glob("ses-*/anat/*_run-2_*_T1w.nii.gz"))
        assert len(repeats) == 1


def test_images_lie_on_the_grid_and_masks_beside_them(tiny):
    for path in tiny.glob("sub-*/ses-*/anat/*_desc-preproc_T1w.nii.gz"):
        image = nib.Nifti1Image.from_filename(path)
        mask = nib.Nifti1Image.from_filename(path.with_name(path.name.replace("desc-preproc_T1w", "desc-brain_mask")))
        np.testing.assert_array_equal(image.affine, Grid(8.0).world_from_voxel)
        assert image.shape == Grid(8.0).shape
        assert image.get_data_dtype() == np.float32
        assert mask.get_data_dtype() == np.uint8
        assert not image.get_fdata()[mask.get_fdata() == 0].any()


def test_a_folder_with_another_phantom_is_refused(tiny, numbers, seed):
    with pytest.raises(CohortError, match="expected an empty folder"):
        write_phantom(tiny, people=numbers[:2], seed=seed + 1, **OPTIONS)


def test_a_folder_with_anything_else_is_refused(tmp_path, seed):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(CohortError, match="State another folder"):
        write_phantom(tmp_path, subjects=1, seed=seed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subjects": 0}, "at least one subject, got 0"),
        ({"subjects": 3, "people": [3]}, r"from 0 to 2, got \[3\]"),
        ({"subjects": 3, "visits": 9}, "1 to 5 visits, got 9"),
        ({"subjects": 3, "jobs": 0}, "at least one job, got 0"),
        ({"subjects": 3, "spacing_mm": 99.0}, "got 99"),
        ({"subjects": 3, "raw": RawProtocol(orientation="RAS")}, "those of raw scans, got them for standard space"),
        ({"subjects": 3, "raw": RawProtocol(still=True)}, "those of raw scans, got them for standard space"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_written(tmp_path, seed, options, message):
    folder = tmp_path / "new"
    with pytest.raises(SettingsError, match=message):
        write_phantom(folder, seed=seed, **options)
    assert not folder.exists()
