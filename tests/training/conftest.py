"""Brains small enough to train on in a test: ellipsoids whose ventricles differ."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from neurolatent.model.presets import PRESETS
from neurolatent.training.stages import train
from neurolatent.volume.cache import VolumeCache, write_cache
from neurolatent.volume.space import Grid
from neurolatent.workspace import ScanKey

GRID = Grid(8.0)
CPU = torch.device("cpu")


def draw_brain(rng, grid=GRID):
    axes = [(np.arange(extent) - (extent - 1) / 2) * grid.spacing_mm for extent in grid.shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    width, ventricle = rng.normal(1, 0.06), rng.uniform(0.5, 1.6)
    radius = np.sqrt((x / 70 / width) ** 2 + (y / 85) ** 2 + (z / 70) ** 2)
    hole = np.exp(-2 * ((x / 12) ** 2 + (y / 25) ** 2 + (z / 14) ** 2) / ventricle**2)
    mask = radius < 1
    volume = (0.7 - 0.6 * hole + rng.normal(0, 0.02, x.shape)) * mask
    return volume.clip(0, 1).astype(np.float32), mask


def write_brains(folder: Path, *, count: int = 12, spoil: int | None = None, grid: Grid = GRID) -> VolumeCache:
    rng = np.random.default_rng(0)

    def scans():
        for number in range(count):
            volume, mask = draw_brain(rng, grid)
            if number == spoil:
                volume[10, 10, 10] = np.nan
            yield ScanKey(f"sub-S9P{number:04d}", "ses-M00", "1"), volume, mask, f"hash-{number}"

    return write_cache(folder, scans(), count=count, grid=grid, preprocessing="ellipsoids")


def train_tiny(cache: VolumeCache, folder: Path, **options):
    settings = {
        "preset": PRESETS["tiny"], "training_rows": range(10), "validation_rows": [10, 11], "seed": 1, "device": CPU
    }  # fmt: skip
    return train(cache, folder, cohort="ellipsoids", **{**settings, **options})


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Two threads would add numbers in another order than the sub-process does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def brains(tmp_path_factory) -> VolumeCache:
    return write_brains(tmp_path_factory.mktemp("brains"))


@pytest.fixture(scope="session")
def trained(brains, tmp_path_factory) -> Path:
    """A folder with a finished tiny model."""
    folder = tmp_path_factory.mktemp("trained")
    train_tiny(brains, folder)
    return folder


@pytest.fixture
def make_brains() -> Callable[..., VolumeCache]:
    return write_brains
