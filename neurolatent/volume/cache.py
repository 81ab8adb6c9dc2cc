"""Standard-space volumes in one memory-mapped half-precision file, so that training never touches a NIfTI."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from neurolatent.errors import ScanError
from neurolatent.provenance import hash_settings, read_json, whole_file, write_json
from neurolatent.shapes import MaskArray, VoxelArray
from neurolatent.volume.space import Grid, described_grid
from neurolatent.workspace import ScanKey

FORMAT_VERSION = 1


@dataclass(frozen=True)
class VolumeCache:
    """Volumes (float16, [0, 1]) and intracranial masks (bool), row by row as in `keys`."""

    keys: tuple[ScanKey, ...]
    hashes: tuple[str, ...]
    volumes: np.ndarray
    masks: np.ndarray
    grid: Grid
    preprocessing: str
    """Fingerprint of the settings that made the volumes; weights carry it too."""

    @property
    def hash(self) -> str:
        """One hash for the whole cache: what was put in, in which order, on which grid."""
        return cache_hash(self.keys, self.hashes, grid=self.grid, preprocessing=self.preprocessing)

    def row(self, key: ScanKey) -> int:
        """Return the row of a scan; a scan that is not there is an error that names it."""
        try:
            return self.keys.index(key)
        except ValueError as error:
            msg = f"{'/'.join(key)}: not in the volume cache of {len(self.keys)} scans. Run `neurolatent preprocess`."
            raise ScanError(msg) from error

    def rows_of(self, subjects: Iterable[str]) -> list[int]:
        """Return the rows of all scans of these participants, in cache order."""
        wanted = frozenset(subjects)
        return [row for row, key in enumerate(self.keys) if key.participant_id in wanted]


def cache_hash(keys: Iterable[ScanKey], hashes: Iterable[str], *, grid: Grid, preprocessing: str) -> str:
    """Return the hash that a cache of these contents has, without writing it."""
    return hash_settings([preprocessing, grid.describe(), list(map(list, keys)), list(hashes)])


def write_cache(
    folder: Path,
    scans: Iterable[tuple[ScanKey, VoxelArray, MaskArray, str]],
    *,
    count: int,
    grid: Grid,
    preprocessing: str,
) -> VolumeCache:
    """Write `count` scans (key, volume, mask, hash of the inputs) one at a time.

    The index comes last, so a cache is whole or absent.
    """
    keys: list[ScanKey] = []
    hashes: list[str] = []
    (folder / "index.json").unlink(missing_ok=True)
    with whole_file(folder / "volumes.npy") as volumes_path, whole_file(folder / "masks.npy") as masks_path:
        volumes = open_memmap(volumes_path, mode="w+", dtype=np.float16, shape=(count, *grid.shape))
        masks = open_memmap(masks_path, mode="w+", dtype=np.bool_, shape=(count, *grid.shape))
        for row, (key, volume, mask, input_hash) in enumerate(scans):
            volumes[row], masks[row] = volume, mask
            keys.append(key)
            hashes.append(input_hash)
        volumes.flush()
        masks.flush()
    index = {
        "format_version": FORMAT_VERSION,
        "grid": grid.describe(),
        "preprocessing": preprocessing,
        "scans": [{"key": list(key), "input_hash": value} for key, value in zip(keys, hashes, strict=True)],
    }
    write_json(folder / "index.json", index)
    return open_cache(folder)


def open_cache(folder: Path) -> VolumeCache:
    """Map a cache for reading."""
    index_path = folder / "index.json"
    if not index_path.is_file():
        msg = f"{folder}: no volume cache. Run `neurolatent preprocess` on this workspace first."
        raise ScanError(msg)
    index = read_json(index_path)
    found = index.get("format_version")
    if found != FORMAT_VERSION:
        msg = f"{folder}: expected a cache of format {FORMAT_VERSION}, got {found!r}. Delete it and preprocess again."
        raise ScanError(msg)
    scans: Sequence[dict[str, object]] = index["scans"]
    grid = described_grid(index["grid"])
    shape = (len(scans), *grid.shape)
    return VolumeCache(
        keys=tuple(ScanKey(*scan["key"]) for scan in scans),  # pyright: ignore[reportGeneralTypeIssues]
        hashes=tuple(str(scan["input_hash"]) for scan in scans),
        volumes=_map(folder / "volumes.npy", np.float16, shape),
        masks=_map(folder / "masks.npy", np.bool_, shape),
        grid=grid,
        preprocessing=index["preprocessing"],
    )


def discard_cache(folder: Path) -> None:
    """Remove a cache that no scan is left for; its index goes first, so that it is whole or absent."""
    for name in ("index.json", "volumes.npy", "masks.npy"):
        (folder / name).unlink(missing_ok=True)


def _map(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    expected = f"expected {np.dtype(dtype).name} of shape {shape}"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        msg = f"{path}: {expected}, got a damaged file or none. Delete the folder and preprocess again."
        raise ScanError(msg) from error
    if array.dtype != dtype or array.shape != shape:
        msg = f"{path}: {expected}, got {array.dtype} of shape {array.shape}. Delete the folder and preprocess again."
        raise ScanError(msg)
    return array
