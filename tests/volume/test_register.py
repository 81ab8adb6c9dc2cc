"""Claims about real registration: one person's two raw scans, turned, shifted, smaller, stored in odd orientations."""

import json

import heads
import nibabel as nib
import numpy as np
import pytest

from neurolatent.errors import ScanError
from neurolatent.volume import register
from neurolatent.volume.head import prepare_head
from neurolatent.volume.load import Scan, read_scan
from neurolatent.volume.preprocess import preprocess
from neurolatent.volume.quality import overlap, template_mask
from neurolatent.volume.register import Fit
from neurolatent.volume.space import Grid

FIRST = heads.pose((14, -6, 8), (9, -12, 16))
MOVED = heads.rigid((-9, 5, 4), (-7, 10, -12))
BRAIN_POINTS_MM = np.random.default_rng(0).uniform((-55, -85, -40), (55, 55, 60), (300, 3))


def distance_mm(one: np.ndarray, other: np.ndarray, points_mm: np.ndarray = BRAIN_POINTS_MM) -> float:
    moved = [points_mm @ affine[:3, :3].T + affine[:3, 3] for affine in (one, other)]
    return float(np.linalg.norm(moved[0] - moved[1], axis=1).mean())


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    heads.write_head(source / "first.nii.gz", FIRST, orientation="LIA")
    heads.write_head(source / "later.nii.gz", MOVED @ FIRST, orientation="PSR", seed=1, scale=3.0)
    visits = [
        heads.visit("sub-01", "first.nii.gz"),
        heads.visit("sub-01", "later.nii.gz", session="ses-M12", months=12.0),
    ]
    workspace = heads.write_workspace(tmp_path_factory.mktemp("out"), source, visits)
    assert preprocess(workspace, spacing_mm=4.0).failures == ()
    return workspace


def read(workspace, session):
    folder = workspace.derivatives / "sub-01" / session / "anat"
    record = json.loads(next(folder.glob("*.json")).read_text())
    volume, mask = (nib.load(next(folder.glob(ending))).get_fdata() for ending in ("*_T1w.nii.gz", "*mask.nii.gz"))
    return record, volume, mask > 0


def test_a_turned_head_comes_back_onto_the_template(workspace):
    record, _, mask = read(workspace, "ses-M00")
    assert overlap(mask, template_mask(Grid(4.0))) > 0.93
    assert distance_mm(np.array(record["scan_from_standard"]), FIRST) < 2.5
    assert record["template_scale"] == pytest.approx(heads.SCALE**3, rel=0.08)
    assert record["affine_correlation"] > register.REFUSE_BELOW_CORRELATION


def test_the_mask_volume_is_that_of_the_head(workspace):
    record, _, _ = read(workspace, "ses-M00")
    low, high = (heads.intracranial_ml(fluid_mm=fluid_mm) for fluid_mm in (0.0, heads.FLUID_MM))
    assert low < record["mask_volume_ml"] < high


def test_a_later_scan_lands_on_the_first_to_a_fraction_of_a_millimetre(workspace):
    (first, volume, _), (later, later_volume, _) = read(workspace, "ses-M00"), read(workspace, "ses-M12")
    first_affine, later_affine = (np.array(record["scan_from_standard"]) for record in (first, later))
    assert distance_mm(later_affine, MOVED @ first_affine) < 0.3
    assert np.linalg.det(later_affine[:3, :3]) == pytest.approx(np.linalg.det(first_affine[:3, :3]), rel=1e-5)
    inside = volume > 0
    assert np.abs(later_volume - volume)[inside].mean() < 0.03


@pytest.fixture
def head(tmp_path):
    return prepare_head(read_scan(heads.write_head(tmp_path / "head.nii.gz", heads.pose())), "head.nii.gz")


def test_a_bad_correlation_is_refused_after_a_second_wider_search(head, monkeypatch):
    searches = []

    def poor(_head, starts):
        searches.append(len(starts))
        return Fit(heads.pose(), 0.6)

    monkeypatch.setattr(register, "_search", poor)
    wording = (
        r"^head.nii.gz: expected a correlation with the template of at least 0.70, got 0.60. "
        r"Check that it is a T1w head and its orientation.$"
    )
    with pytest.raises(ScanError, match=wording):
        register.find_head(head, "head.nii.gz")
    assert searches == [36, 80]


def test_a_template_grown_to_the_whole_head_is_refused(head, monkeypatch):
    grown = Fit(np.diag([1.2, 1.2, 1.2, 1.0]), 0.8)
    monkeypatch.setattr(register, "_search", lambda *_: grown)
    wording = (
        r"^head.nii.gz: expected a head of 0.25 to 0.95 times the template's volume, got 1.73. "
        r"Check orientation, voxel size and field of view.$"
    )
    with pytest.raises(ScanError, match=wording):
        register.find_head(head, "head.nii.gz")


def test_a_volume_without_a_head_is_refused():
    voxels = np.zeros((60, 60, 60), np.float32)
    voxels[20:40, 20:40, 20:40] = 100.0
    scan = Scan(voxels, np.diag([2.0, 2.0, 2.0, 1.0]))
    with pytest.raises(ScanError, match=r"^ball.nii: expected a head of at least 500 mL, found 64 mL"):
        prepare_head(scan, "ball.nii")


def test_a_bias_field_is_evened_out(tmp_path):
    plain = read_scan(heads.write_head(tmp_path / "head.nii.gz", heads.pose()))
    tilt = np.linspace(0.75, 1.25, plain.voxels.shape[1], dtype=np.float32)[None, :, None]
    tilted = prepare_head(Scan(plain.voxels * tilt, plain.world_from_voxel), "head.nii.gz")
    reference = prepare_head(plain, "head.nii.gz")
    bright = reference.voxels > 0.6 * reference.voxels.max()

    def front_to_back(head):
        middle = head.voxels.shape[1] // 2
        return head.voxels[:, middle:][bright[:, middle:]].mean() / head.voxels[:, :middle][bright[:, :middle]].mean()

    assert abs(np.log(front_to_back(tilted) / front_to_back(reference))) < 0.12
