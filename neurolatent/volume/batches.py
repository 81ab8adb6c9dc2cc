"""Rows of the volume cache as float32 tensors for a data loader."""

from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from neurolatent.errors import SettingsError
from neurolatent.volume.cache import VolumeCache

OneVolume = Float[Tensor, "1 i j k"]
Augment = Callable[[OneVolume], OneVolume]


class CachedScan(TypedDict):
    """What one item holds; the default collation adds the batch axis."""

    volume: OneVolume
    row: int


class CachedVolumes(Dataset[CachedScan]):
    """The chosen rows of a cache, in the order given; augmentation is passed in, which keeps libraries out."""

    def __init__(self, cache: VolumeCache, rows: Sequence[int], *, augment: Augment | None = None) -> None:
        count = len(cache.keys)
        outside = [row for row in rows if not 0 <= row < count]
        if outside:
            msg = f"Volume cache: expected rows from 0 to {count - 1}, got {outside[:5]}. Use `cache.rows_of`."
            raise SettingsError(msg)
        self._cache = cache
        self._rows = tuple(rows)
        self._augment = augment

    def __len__(self) -> int:
        """Return how many rows were chosen."""
        return len(self._rows)

    def __getitem__(self, index: int) -> CachedScan:
        """Return one scan as a new float32 tensor, with its row in the cache."""
        row = self._rows[index]
        volume = torch.from_numpy(np.array(self._cache.volumes[row], dtype=np.float32))[None]
        return {"volume": volume if self._augment is None else self._augment(volume), "row": row}
