"""The same scan under two names is found by its bytes, its voxels or its fingerprint; visits of one person are not."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from planting import AFFINE, Planted, head, save

from neurolatent.contract.duplicates import near_copies
from neurolatent.volume.likeness import _inside
from neurolatent.volume.records import FORMAT_VERSION, Measures, ScanFiles
from neurolatent.workspace import ScanKey, Workspace

A_COPY = "Find out whose scan it is, and remove the other row: a copy counts once."
OTHERS = (
    "expected a scan of its own, got the very voxels of sub-01/ses-M00/1, another person's. " + A_COPY,
    "sub-02/ses-M12/1",
)
OWN = (
    "expected a scan of its own, got the very voxels of sub-01/ses-M00/1, the same person's. " + A_COPY,
    "sub-01/ses-M24/1",
)


def told(found, rule: str) -> list[tuple[str, str, str]]:
    return [(r.severity, r.what, str(r.where)) for r in found.remarks if r.rule == rule]


def as_is(one, other) -> None:
    shutil.copy(one, other)


def packed_again(one, other) -> None:
    other.write_bytes(gzip.compress(gzip.decompress(one.read_bytes()), compresslevel=1))


def as_floats(one, other) -> None:
    save(other, head(0).astype("i2"), kind="f4")


@pytest.mark.parametrize(("session", "expected"), [(("sub-02", "ses-M12"), OTHERS), (("sub-01", "ses-M24"), OWN)])
@pytest.mark.parametrize("copy", [as_is, packed_again])
def test_a_copied_file_is_found_by_its_header_alone(cohort: Planted, copy, session, expected):
    copy(cohort.image("sub-01", "ses-M00"), cohort.image(*session))
    assert told(cohort.check(), "same-scan") == [("error", *expected)]


def test_unpacked_copies_are_found_among_files_of_one_size(cohort: Planted):
    for row in cohort.rows:
        path = cohort.source / row["image"]
        row["image"] = row["image"].removesuffix(".gz")
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    assert not told(cohort.check(), "same-scan")
    shutil.copy(cohort.image("sub-01", "ses-M00"), cohort.image("sub-02", "ses-M12"))
    assert told(cohort.check(), "same-scan") == [("error", *OTHERS)]


def test_pairs_of_files_are_compared_by_their_voxels(cohort: Planted):
    for number, row in enumerate(cohort.rows):
        row["image"] = row["image"].replace(".nii.gz", ".hdr")
        nib.save(nib.Nifti1Pair(head(number).astype("i2"), AFFINE), cohort.source / row["image"])
    assert not told(cohort.check(), "same-scan")
    one, other = (cohort.image(*scan).with_suffix(".img") for scan in (("sub-01", "ses-M00"), ("sub-02", "ses-M12")))
    shutil.copy(one, other)
    assert told(cohort.check(), "same-scan") == [("error", *OTHERS)]


def test_a_copy_of_another_type_is_found_by_its_voxels(cohort: Planted):
    as_floats(None, cohort.image("sub-02", "ses-M12"))
    assert not told(cohort.check(), "same-scan")
    assert told(cohort.check(deep=True), "same-scan") == [("error", *OTHERS)]


def test_files_that_share_a_checksum_but_not_their_bytes_are_no_copies(cohort: Planted, monkeypatch):
    monkeypatch.setattr("neurolatent.contract.headers.packed_trailer", lambda _: (1, 1))
    assert not told(cohort.check(), "same-scan")


def fingerprint(seed: int, *, of: int = 0, own: float = 1.0) -> str:
    """A pattern with some of another's in it."""
    rng, other = np.random.default_rng(seed), np.random.default_rng(of)
    shape = int(_inside().sum())
    mixed = own * rng.normal(size=shape) + (1 - own) * other.normal(size=shape)
    return np.rint(32 * mixed / mixed.std()).clip(-127, 127).astype(np.int8).tobytes().hex()


def preprocessed(workspace: Workspace, key: ScanKey, found: str) -> None:
    """Write the record that preprocessing leaves beside a volume."""
    record = ScanFiles(workspace.derivatives, key, "4").record
    content = {
        "format_version": FORMAT_VERSION,
        "inputs_sha256": {},
        "together_sha256": {},
        "recipe_hash": "",
        "mask_source": "estimated",
        "scan_from_standard": np.eye(4).tolist(),
        "flags": [],
        "content_fingerprint": found,
        **dict.fromkeys(Measures.__dataclass_fields__, 1.0),
    }
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(content))


FIRST, SECOND = ScanKey("sub-01", "ses-M00", "1"), ScanKey("sub-01", "ses-M12", "1")
OTHER = ScanKey("sub-02", "ses-M00", "1")


def near(tmp_path, **prints: str) -> list[tuple[str, str, str]]:
    keys = {"first": FIRST, "second": SECOND, "other": OTHER}
    for name, found in prints.items():
        preprocessed(Workspace(tmp_path), keys[name], found)
    return [(r.severity, str(r.where), r.what) for r in near_copies(Workspace(tmp_path), keys.values())]


def test_two_people_with_one_brain_are_a_warning(tmp_path):
    found = near(tmp_path, first=fingerprint(1), second=fingerprint(2), other=fingerprint(3, of=1, own=0.2))
    ((severity, where, what),) = found
    assert (severity, where) == ("warning", "sub-02/ses-M00/1")
    assert what.startswith("expected a brain of its own, got the likeness 0.9")
    assert what.endswith(
        "with sub-01/ses-M00/1, another person's. Look at both: one person under two names trains and tests at once."
    )


def test_one_persons_visits_are_alike_by_nature_and_their_copies_a_note(tmp_path):
    assert not near(tmp_path, first=fingerprint(1), second=fingerprint(3, of=1, own=0.15))
    found = near(tmp_path, first=fingerprint(1), second=fingerprint(1))
    what = (
        "expected a scan of its own, got the likeness 1.000 with sub-01/ses-M00/1, the same person's. "
        "Look at both: a copy is no second scan."
    )
    assert found == [("note", "sub-01/ses-M12/1", what)]


def test_damaged_or_odd_records_stop_nothing(tmp_path):
    found = near(tmp_path, first="00" * 5, second=fingerprint(1), other=fingerprint(2))
    ((severity, where, what),) = found
    assert (severity, where) == ("warning", "sub-01/ses-M00/1")
    assert what == ("expected a fingerprint of 892 hex digits, got 10 characters. Run `neurolatent preprocess` again.")
    ScanFiles(Workspace(tmp_path).derivatives, FIRST, "4").record.write_text("{broken")
    assert not near_copies(Workspace(tmp_path), [FIRST, SECOND, OTHER])
