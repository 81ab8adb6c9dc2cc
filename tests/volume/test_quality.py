"""Claims about quality measures and their table."""

import csv

import numpy as np
import pytest

from neurolatent.volume.quality import ScanOutcome, overlap, signal_and_contrast, template_mask, write_quality
from neurolatent.volume.recipe import Recipe
from neurolatent.volume.records import Measures, PersonRecord, ScanFiles, ScanRecord, read_record, write_record
from neurolatent.volume.resample import resample_smoothed
from neurolatent.volume.space import Grid
from neurolatent.volume.template import template_maps
from neurolatent.workspace import ScanKey

GRID = Grid(4.0)
KEY = ScanKey("sub-01", "ses-M12", "2")
MEASURES = Measures(
    affine_correlation=0.81234567891234,
    rigid_correlation=None,
    template_scale=0.7,
    mask_volume_ml=1400.5,
    intracranial_ml=1400.5,
    template_overlap=0.95,
    coverage=1.0,
    signal_to_noise=8.0,
    contrast_to_noise=None,
    template_similarity=0.7,
    mask_smoothness=0.94,
)
RECORD = ScanRecord(
    inputs={"image": "aa"},
    together={"sub-01/ses-M00/1": "bb", "sub-01/ses-M12/2": "aa"},
    recipe_hash="cc",
    mask_source="estimated",
    measures=MEASURES,
    scan_from_standard=np.random.default_rng(0).normal(size=(4, 4)),
)


def test_dice_of_known_masks():
    one, other = np.zeros((2, 4, 4, 4), bool)
    one[:2], other[1:3] = True, True
    assert overlap(one, one) == 1
    assert overlap(one, other) == 0.5
    assert overlap(np.zeros_like(one), np.zeros_like(one)) == 0


def test_noise_lowers_both_ratios_and_a_blank_volume_has_neither():
    maps = template_maps()
    clean = resample_smoothed(maps.t1, np.linalg.inv(maps.world_from_voxel) @ GRID.world_from_voxel, GRID.shape)
    noisy = (clean + np.random.default_rng(0).normal(0, 0.1, GRID.shape)).astype(np.float32)
    mask = template_mask(GRID)
    (signal, contrast), (less_signal, less_contrast) = (signal_and_contrast(v, mask, GRID) for v in (clean, noisy))
    assert signal > 2 * less_signal
    assert contrast > less_contrast > 0
    assert signal_and_contrast(np.zeros(GRID.shape, np.float32), mask, GRID) == (None, None)


def test_a_record_comes_back_to_the_last_bit(tmp_path):
    path = tmp_path / "record.json"
    write_record(path, KEY, RECORD, Recipe(GRID))
    back = read_record(path)
    assert back.measures == MEASURES
    assert back.content_hash == RECORD.content_hash
    assert back.together == RECORD.together
    np.testing.assert_array_equal(back.scan_from_standard, RECORD.scan_from_standard)


def test_a_record_tells_what_changed():
    same = {"inputs": {"image": "aa"}, "recipe": "cc"}
    assert RECORD.differs(**same) == ""
    assert RECORD.differs(**same | {"inputs": {"image": "zz"}}) == "the scan changed"
    assert RECORD.differs(**same | {"recipe": "zz"}) == "the settings changed"
    person = PersonRecord("cc", {"sub-01/ses-M00/1": "bb"})
    assert person.differs(inputs={"sub-01/ses-M00/1": "bb"}, recipe="cc") == ""
    assert person.differs(inputs={}, recipe="cc") == "a scan of the person changed, came or went"


def test_no_two_recipes_share_a_hash_and_the_mask_alone_leaves_the_fingerprint():
    recipes = [
        Recipe(GRID), Recipe(Grid(2.0)), Recipe(GRID, "rigid"), Recipe(GRID, "similarity"),
        Recipe(GRID, extractor="synthstrip"), Recipe(GRID, together=False),
    ]  # fmt: skip
    assert len({recipe.hash for recipe in recipes}) == len(recipes)
    assert len({recipe.fingerprint for recipe in recipes}) == 4


def test_an_absent_record_or_one_of_another_format_is_none(tmp_path):
    assert read_record(tmp_path / "absent.json") is None
    (tmp_path / "old.json").write_text('{"format_version": 0}')
    assert read_record(tmp_path / "old.json") is None


def test_file_names_follow_bids_and_pictures_always_say_the_run(tmp_path):
    repeat, first = (ScanFiles(tmp_path, ScanKey("sub-01", "ses-M12", run), "1p5") for run in ("2", "1"))
    stem = "sub-01/ses-M12/anat/sub-01_ses-M12"
    assert repeat.volume == tmp_path / f"{stem}_run-2_space-MNI152NLin2009aSym_res-1p5_desc-preproc_T1w.nii.gz"
    assert first.mask == tmp_path / f"{stem}_space-MNI152NLin2009aSym_res-1p5_desc-brain_mask.nii.gz"
    assert first.picture == tmp_path / "qc/sub-01_ses-M12_run-1.png"


@pytest.mark.parametrize("status", ["done", "skipped"])
def test_the_table_says_the_same_of_scans_done_now_and_before(status, tmp_path):
    path = tmp_path / "quality.tsv"
    failed = ScanOutcome(ScanKey("sub-02", "ses-1", "1"), "failed", "scan.nii: expected …", "expected …", None)
    outcomes = [ScanOutcome(KEY, status, "", "the scan changed", RECORD), failed]
    write_quality(path, outcomes, {KEY: ("clipped_share 0.2", "odd")})
    with path.open(encoding="utf-8") as file:
        done, bad = csv.DictReader(file, delimiter="\t")
    assert list(done)[:6] == ["participant_id", "session_id", "run", "status", "reason", "flags"]
    assert (done["flags"], bad["flags"]) == ("clipped_share 0.2; odd", "n/a")
    assert (done["status"], done["reason"], done["affine_correlation"]) == ("done", "n/a", "0.8123")
    assert (done["rigid_correlation"], done["mask_source"]) == ("n/a", "estimated")
    assert (bad["status"], bad["reason"], bad["mask_volume_ml"]) == ("failed", "expected …", "n/a")
