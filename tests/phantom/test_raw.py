"""Claims about raw head scans."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from neurolatent.phantom import PhantomTruth, write_phantom
from neurolatent.phantom.lattice import Lattice
from neurolatent.volume.space import Grid


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory, numbers: list[int], seed: int) -> Path:
    """One raw scan of a person at each site."""
    folder = tmp_path_factory.mktemp("raw")
    write_phantom(folder, subjects=60, people=_one_per_site(numbers), visits=1, seed=seed, space="raw", repeats=0.0)
    return folder


def _one_per_site(numbers: list[int]) -> list[int]:
    sites = {}
    for number in numbers:
        sites.setdefault((0.5698402909980532 * (number + 1)) % 1 >= 0.5, number)
    return numbers[:4] if len(sites) < 2 else sorted(numbers[:4])


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


def test_sites_store_their_own_orientation_and_voxels(heads):
    truth = PhantomTruth.open(heads)
    sites = {site.name: site for site in truth.parameters.sites}
    for name, image in _scans(heads).items():
        site = sites[truth.person(name)["site"]]
        assert "".join(nib.aff2axcodes(image.affine)) == site.raw_orientation
        canonical = nib.as_closest_canonical(image)
        np.testing.assert_allclose(canonical.header.get_zooms(), site.raw_voxel_mm)
        assert image.get_data_dtype() == np.int16


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
