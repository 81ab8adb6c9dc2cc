"""Batches give back what the cache holds."""

import numpy as np
import pytest
import torch

from neurolatent.errors import SettingsError
from neurolatent.volume.batches import CachedVolumes
from neurolatent.volume.cache import VolumeCache, write_cache
from neurolatent.volume.space import Grid
from neurolatent.workspace import ScanKey

GRID = Grid(8.0)


@pytest.fixture
def cache(tmp_path) -> VolumeCache:
    mask = np.ones(GRID.shape, dtype=bool)
    scans = (
        (ScanKey(f"sub-{n}", "ses-M00", "1"), np.full(GRID.shape, n / 4, np.float32), mask, str(n)) for n in range(3)
    )
    return write_cache(tmp_path / "cache", scans, count=3, grid=GRID, preprocessing="p")


def test_rows_come_in_the_order_asked_for_as_float32(cache):
    batches = CachedVolumes(cache, [2, 0])
    assert len(batches) == 2
    assert [batches[n]["row"] for n in range(2)] == [2, 0]
    assert batches[0]["volume"].dtype == torch.float32
    assert batches[0]["volume"].shape == (1, *GRID.shape)
    assert float(batches[0]["volume"].mean()) == 0.5


def test_augmentation_sees_every_item_and_never_the_cache(cache):
    batches = CachedVolumes(cache, [1], augment=lambda volume: volume.mul_(2))
    assert float(batches[0]["volume"].max()) == float(batches[0]["volume"].max()) == 0.5


def test_a_loader_adds_the_batch_axis(cache):
    (batch,) = torch.utils.data.DataLoader(CachedVolumes(cache, [0, 1, 2]), batch_size=3)
    assert batch["volume"].shape == (3, 1, *GRID.shape)
    assert batch["row"].tolist() == [0, 1, 2]


def test_a_row_that_the_cache_lacks_is_refused(cache):
    with pytest.raises(SettingsError, match=r"expected rows from 0 to 2, got \[3\]"):
        CachedVolumes(cache, [0, 3])
