"""What the voxels tell: no head, a head without its skull, intensities that are not raw; each told by its name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planting import AFFINE, BRAIN, HEAD, SHAPE, head, save

from neurolatent.contract.content import (
    ContentTask,
    hash_voxels,
    head_or_brain,
    look_at_content,
    normalised_before,
)
from neurolatent.volume.load import read_scan
from neurolatent.workspace import ScanKey

KEY = ScanKey("sub-01", "ses-M00", "1")
RAW = "Use the raw scan: what was scaled by another rule is scaled again, and the cohort's scales mix."
GO_ON = "Preprocessing goes on so."
LABELS = "Name the T1w image itself."


def scaled() -> np.ndarray:
    return head(0) / head(0).max()


LOW = scaled().min()


def speck() -> np.ndarray:
    """Noise with a bright ball of 5 cm."""
    return noise() + 900 * _ball()


def noise() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 40, SHAPE)


def _ball() -> np.ndarray:
    offsets = np.indices(SHAPE) - np.array([27, 30, 27])[:, None, None, None]
    return np.linalg.norm(offsets, axis=0) < 6


def with_nan() -> np.ndarray:
    voxels = head(0)
    voxels[0, 0, :5] = np.nan
    return voxels


PLANTED = {
    "all zero": (
        np.zeros(SHAPE),
        "i2",
        [("error", "expected a head, got 0 in every voxel. Copy or convert it again.")],
    ),
    "constant": (
        np.full(SHAPE, 7),
        "i2",
        [("error", "expected a head, got 7 in every voxel. Copy or convert it again.")],
    ),
    "almost no head": (
        speck(),
        "f4",
        [("error", "expected a head of at least 500 mL, got 62 mL. Check the scan.")],
    ),
    "all NaN": (
        np.full(SHAPE, np.nan),
        "f4",
        [
            (
                "error",
                (
                    "expected finite intensities, got 174960 NaN or infinite voxels. "
                    "Convert it again, or set those in the air to 0."
                ),
            )
        ],
    ),
    "a few NaN in the air": (
        with_nan(),
        "f4",
        [("note", f"expected a file without oddities, got 5 NaN voxels outside the head set to 0. {GO_ON}")],
    ),
    "scaled to [0, 1]": (
        scaled(),
        "f4",
        [
            (
                "warning",
                f"expected raw intensities, got values from {LOW:.3g} to 1, as after scaling to [0, 1]. {RAW}",
            )
        ],
    ),
    "scaled to [-1, 1]": (
        2 * scaled() - 1,
        "f4",
        [("warning", f"expected raw intensities, got values from -1 to 1, as after scaling to [-1, 1]. {RAW}")],
    ),
    "z-scored": (
        (head(0) - head(0).mean()) / head(0).std(),
        "f4",
        [
            (
                "warning",
                f"expected raw intensities, got a mean of 0.00 and an SD of 1.00, as after z-scoring. {RAW}",
            )
        ],
    ),
    "z-scored in a mask": (
        np.where(HEAD, (head(0) - head(0)[HEAD].mean()) / head(0)[HEAD].std(), 0),
        "f4",
        [
            (
                "warning",
                (
                    "expected raw intensities, got a mean of 0.00 and an SD of 1.00 inside the head, "
                    f"as after z-scoring. {RAW}"
                ),
            )
        ],
    ),
    "a mask": (
        HEAD,
        "u1",
        [("error", f"expected grey values, got 2 different values, as of a mask or a map of labels. {LABELS}")],
    ),
    "labels": (
        HEAD * 1 + BRAIN * 2,
        "u1",
        [("warning", f"expected grey values, got 3 different values, as of a mask or a map of labels. {LABELS}")],
    ),
}


def look(path, flags=()):
    return look_at_content(ContentTask(KEY, path, path.name, flags, None))


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_of_the_voxels_is_told_by_the_scans_name(tmp_path, kind):
    voxels, number, expected = PLANTED[kind]
    check = look(save(tmp_path / "scan.nii", voxels, kind=number))
    assert [(remark.severity, remark.what) for remark in check.remarks] == expected
    assert {str(remark.where) for remark in check.remarks} == {"sub-01/ses-M00/1"}


@pytest.mark.parametrize("number", ["i2", "f4"])
def test_a_sound_head_gives_no_remark(tmp_path, number):
    check = look(save(tmp_path / "scan.nii", head(1), kind=number))
    assert check.remarks == ()
    assert check.state == "whole"


def test_what_the_header_told_is_not_told_again(tmp_path):
    path = save(tmp_path / "scan.nii", head(1) - 50, kind="f4")
    flags = read_scan(path).flags
    assert len(look(path).remarks) == len(flags) == 1
    assert not look(path, flags).remarks


@pytest.mark.parametrize(
    ("voxels", "state"),
    [
        (head(0), "whole"),
        (np.where(HEAD, head(0), 0), "whole"),
        (np.where(BRAIN, head(0), 0), "skull-stripped"),
        (np.where(BRAIN, head(0), 0)[11:-11, 9:-9, 11:-11], "skull-stripped"),
        (np.where(BRAIN, head(0), -3.5), "skull-stripped"),
    ],
    ids=["with noise", "air set to 0", "stripped", "stripped and cut close", "stripped, with another background"],
)
def test_a_brain_alone_is_told_from_a_whole_head(voxels, state):
    assert head_or_brain(voxels.astype(np.float32), AFFINE) == state


@settings(deadline=None)
@given(scale=st.floats(2, 1e4), shift=st.floats(0, 1e3))
def test_raw_intensities_of_any_scale_are_not_taken_for_normalised(scale, shift):
    assert normalised_before((SOUND * scale + shift).astype(np.float32)) is None


SOUND = scaled().astype(np.float32)


def test_equal_voxels_have_one_hash_whatever_their_file(tmp_path):
    hashes = set()
    for name, kind, flip in (("a.nii.gz", "i2", False), ("b.nii", "f4", False), ("c.nii", "i4", True)):
        voxels, affine = head(2).astype("i2"), AFFINE.copy()
        if flip:
            voxels, affine[0, 0], affine[0, 3] = voxels[::-1], -AFFINE[0, 0], AFFINE[0, 0] * (SHAPE[0] - 1)
        hashes.add(hash_voxels(read_scan(save(tmp_path / name, voxels, kind=kind, affine=affine)).voxels))
    assert len(hashes) == 1
    assert hash_voxels(head(3).astype(np.float32)) not in hashes


@pytest.mark.data
def test_real_heads_are_whole_and_the_same_without_skull_are_not(shared_data, tmp_path):
    import nibabel as nib

    for path in sorted((shared_data / "ixi-2mm" / "images").glob("*.nii.gz"))[:2]:
        check = look(path)
        assert (check.remarks, check.state) == ((), "whole")
        image = nib.load(path)
        labels = np.asarray(nib.load(shared_data / "ixi-2mm/dlmuse" / path.name.replace(".nii", "_dlmuse.nii")).dataobj)
        stripped = nib.Nifti1Image(np.asarray(image.dataobj) * (labels > 0), image.affine)
        nib.save(stripped, tmp_path / path.name)
        assert look(tmp_path / path.name).state == "skull-stripped"
    check = look(shared_data / "freesurfer-subject1" / "brain.mgz")
    assert check.state == "skull-stripped"
    assert not [remark for remark in check.remarks if remark.severity == "error"]
