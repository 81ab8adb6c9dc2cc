"""Claims about raw head scans."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from neurolatent.errors import SettingsError
from neurolatent.phantom import PhantomTruth, write_phantom
from neurolatent.phantom.lattice import Lattice
from neurolatent.phantom.raw import orient
from neurolatent.phantom.scanner import ORIENTATIONS, RawProtocol
from neurolatent.volume.space import Grid


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory, numbers: list[int], seed: int) -> Path:
    """One raw scan each of four people."""
    folder = tmp_path_factory.mktemp("raw")
    write_phantom(folder, subjects=60, people=numbers[:4], visits=1, seed=seed, space="raw", repeats=0.0)
    return folder


def _scans(folder: Path) -> dict[str, nib.Nifti1Image]:
    return {
        path.parts[-4]: nib.Nifti1Image.from_filename(path) for path in sorted(folder.glob("sub-*/ses-*/anat/*.nii.gz"))
    }


def test_the_header_leads_back_to_standard_space(heads):
    truth, grid = PhantomTruth.open(heads), Grid(4.0)
    for name, image in _scans(heads).items():
        clean, mask = truth.noise_free(name, 0.0, grid)
        world_from_standard = np.linalg.inv(np.array(truth.person(name)["scans"][0]["standard_from_world"]))
        voxel_from_standard = np.linalg.inv(image.affine) @ world_from_standard
        nodes = np.argwhere(mask) @ grid.world_from_voxel[:3, :3].T + grid.world_from_voxel[:3, 3]
        voxels = torch.as_tensor(
            nodes @ voxel_from_standard[:3, :3].T + voxel_from_standard[:3, 3], dtype=torch.float32
        ).T
        values = torch.as_tensor(image.get_fdata(dtype=np.float32))[None]
        i, j, k = image.shape
        lattice = Lattice(spacing_mm=1.0, shape=(i, j, k), centre_mm=((i - 1) / 2, (j - 1) / 2, (k - 1) / 2))
        found = lattice.sample(values, voxels)[0].numpy()
        assert np.corrcoef(found, clean[mask])[0, 1] > 0.85, name


def test_scanners_store_their_own_orientation_and_voxels(heads):
    truth = PhantomTruth.open(heads)
    scanners = {scanner.name: scanner for site in truth.parameters.sites for scanner in site.scanners}
    for name, image in _scans(heads).items():
        scanner = scanners[truth.person(name)["scans"][0]["scanner"]]
        assert "".join(nib.aff2axcodes(image.affine)) == scanner.raw_orientation
        canonical = nib.as_closest_canonical(image)
        np.testing.assert_allclose(canonical.header.get_zooms(), scanner.raw_voxel_mm)
        assert image.get_data_dtype() == np.int16


def test_voxels_and_orientation_can_be_stated(tmp_path, numbers, seed):
    protocol = RawProtocol(voxel_mm=(3.0, 2.5, 2.0), orientation="any")
    options = {"subjects": 60, "people": numbers[:2], "visits": 2, "seed": seed, "repeats": 0.0}
    write_phantom(tmp_path, space="raw", raw=protocol, **options)
    truth, codes = PhantomTruth.open(tmp_path), set()
    for path in sorted(tmp_path.glob("sub-*/ses-*/anat/*.nii.gz")):
        image = nib.Nifti1Image.from_filename(path)
        session = path.parts[-3]
        record = next(scan for scan in truth.person(path.parts[-4])["scans"] if scan["session_id"] == session)
        assert "".join(nib.aff2axcodes(image.affine)) == record["orientation"]
        np.testing.assert_allclose(nib.as_closest_canonical(image).header.get_zooms(), (3.0, 2.5, 2.0))
        codes.add(record["orientation"])
    assert len(codes) > 1
    next(tmp_path.glob("sub-*/ses-*/anat/*.nii.gz")).unlink()
    write_phantom(tmp_path, space="raw", raw=protocol, **options)  # goes on where it was
    assert len(list(tmp_path.glob("sub-*/ses-*/anat/*.nii.gz"))) == sum(
        len(truth.person(name)["scans"]) for name in truth.participants
    )


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (RawProtocol(voxel_mm=(0.5, 1.0, 1.0)), r"voxels of 0.8 to 3.0 mm, got \(0.5"),
        (RawProtocol(orientation="RAR"), "an orientation such as RAS or LPI, or `any`, got 'RAR'"),
    ],
)
def test_what_no_scan_has_is_refused_before_anything_is_written(tmp_path, seed, protocol, message):
    with pytest.raises(SettingsError, match=message):
        write_phantom(tmp_path / "new", subjects=1, seed=seed, space="raw", raw=protocol)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_stores_the_same_head(orientation):
    volume = np.random.default_rng(0).standard_normal((3, 4, 5))
    axes = tuple(torch.arange(extent) * size + 7.0 for extent, size in zip(volume.shape, (1.0, 2.0, 3.0), strict=True))
    stored, affine = orient(volume, axes, (1.0, 2.0, 3.0), orientation)
    assert "".join(nib.aff2axcodes(affine)) == orientation
    canonical = nib.as_closest_canonical(nib.Nifti1Image(stored, affine))
    np.testing.assert_array_equal(canonical.get_fdata(), volume)
    np.testing.assert_allclose(canonical.affine[:3, 3], 7.0)


def test_a_head_has_dark_bone_between_brain_and_bright_scalp(heads):
    for image in _scans(heads).values():
        canonical = nib.as_closest_canonical(image)
        values, (i, j, _) = canonical.get_fdata(), canonical.shape
        column = values[i // 2 - 2 : i // 2 + 3, j // 2 - 2 : j // 2 + 3].mean(axis=(0, 1))
        top = int(np.flatnonzero(column > 0.35 * column.max())[-1])
        within = round(12 / canonical.header.get_zooms()[2])
        below = column[top - within : top]
        assert below.min() < 0.45 * column[top - within // 4 : top + 1].max()
        assert values[:3].mean() < 0.15 * column.max()


def test_heads_have_the_drawn_size(heads):
    truth = PhantomTruth.open(heads)
    for name in truth.participants:
        person = truth.person(name)
        matrix = np.array(person["scans"][0]["standard_from_world"])[:3, :3]
        native_ml = person["calibration"]["intracranial_ml"] / np.linalg.det(matrix)
        assert native_ml == pytest.approx(person["intracranial_ml"], rel=0.02)
