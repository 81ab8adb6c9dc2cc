"""Claims about the volume cache."""

import json

import numpy as np
import pytest

from neurolatent.errors import ScanError
from neurolatent.volume.cache import cache_hash, open_cache, write_cache
from neurolatent.volume.space import Grid
from neurolatent.workspace import ScanKey

GRID = Grid(8.0)
KEYS = (ScanKey("sub-1", "ses-1", "1"), ScanKey("sub-2", "ses-1", "1"), ScanKey("sub-1", "ses-2", "1"))


def write(folder):
    scans = [
        (key, np.full(GRID.shape, n / 4, np.float32), np.ones(GRID.shape, bool), str(n)) for n, key in enumerate(KEYS)
    ]
    return write_cache(folder, iter(scans), count=3, grid=GRID, preprocessing="p")


def test_what_was_written_is_mapped_back(tmp_path):
    write(tmp_path)
    cache = open_cache(tmp_path)
    assert cache.keys == KEYS
    assert cache.grid == GRID
    assert [float(volume.max()) for volume in cache.volumes] == [0, 0.25, 0.5]
    assert cache.rows_of(["sub-1"]) == [0, 2]
    assert cache.row(KEYS[1]) == 1
    assert cache.hash == cache_hash(KEYS, ["0", "1", "2"], grid=GRID, preprocessing="p")


def test_a_write_that_fails_leaves_no_cache(tmp_path):
    write(tmp_path)

    def breaking():
        yield KEYS[0], np.zeros(GRID.shape, np.float32), np.ones(GRID.shape, bool), "0"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_cache(tmp_path, breaking(), count=3, grid=GRID, preprocessing="p")
    with pytest.raises(ScanError, match="no volume cache"):
        open_cache(tmp_path)


def test_a_scan_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ScanError, match="sub-9/ses-1/1: not in the volume cache of 3 scans"):
        write(tmp_path).row(ScanKey("sub-9", "ses-1", "1"))


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:500])])
def test_missing_or_cut_volumes_are_refused(damage, tmp_path):
    cache = write(tmp_path)
    del cache
    damage(tmp_path / "volumes.npy")
    with pytest.raises(
        ScanError, match=r"volumes.npy: expected float16 of shape \(3, 24, 32, 24\), got a damaged file"
    ):
        open_cache(tmp_path)


def test_an_index_of_another_format_is_refused(tmp_path):
    write(tmp_path)
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(index | {"format_version": 99}))
    with pytest.raises(ScanError, match="expected a cache of format 1, got 99"):
        open_cache(tmp_path)
