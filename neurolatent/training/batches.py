"""Which scans make up a batch: decided by seed and step alone, so that a resumed run sees what it would have seen."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch.utils.data import IterableDataset

from neurolatent.shapes import VolumeArray
from neurolatent.training.variants import OneVolume, draw_variant, move
from neurolatent.volume.cache import VolumeCache

Batch = Mapping[str, Any]
"""`step`, `rows` (of the cache), and tensors by name."""


@runtime_checkable
class Augment(Protocol):
    """Changes volumes as they are read, passed in so that no library comes with it; the key decides all draws."""

    def describe(self) -> Mapping[str, float]:
        """Return what, when changed, makes other volumes."""
        ...

    def __call__(self, volume: OneVolume, key: Sequence[int]) -> OneVolume:
        """Return a changed copy; the key is seed, step and place in the batch."""
        ...


@dataclass(frozen=True)
class Scans:
    """The scans one stage may see: rows of the cache and, once there are any, their latents."""

    cache: VolumeCache
    rows: Sequence[int]
    variants: int
    latents: np.ndarray | None = None
    """float16, scan × variant × channel × i × j × k, in the order of `rows`."""

    def names(self, rows: Sequence[int]) -> list[str]:
        """Name scans as every file does."""
        return ["/".join(self.cache.keys[row]) for row in rows]


def choose(step: int, *, count: int, batch: int, seed: int) -> list[int]:
    """Return the positions of one step's scans: every scan once per pass, each pass in another order."""
    places = range(step * batch, (step + 1) * batch)
    passes = {place // count: np.random.default_rng([seed, place // count]).permutation(count) for place in places}
    return [int(passes[place // count][place % count]) for place in places]


def read_batch(
    scans: Scans, places: Sequence[int], variants: Sequence[int], *, want_volumes: bool, want_latents: bool
) -> Batch:
    """Read scans by position, each in the variant given."""
    rows = [scans.rows[place] for place in places]
    batch: dict[str, Any] = {"rows": rows}
    if want_volumes:
        moved = [
            move(read_volume(scans.cache, row), draw_variant(row, v)) for row, v in zip(rows, variants, strict=True)
        ]
        batch["volume"] = torch.stack(moved)
    if want_latents and scans.latents is not None:
        chosen = np.stack([scans.latents[place, variant] for place, variant in zip(places, variants, strict=True)])
        batch["latent"] = torch.from_numpy(chosen.astype(np.float32))
    return batch


def read_volume(cache: VolumeCache, row: int) -> torch.Tensor:
    """Return one volume with its channel axis, in float32."""
    volume: VolumeArray = np.array(cache.volumes[row], dtype=np.float32)[None]
    return torch.from_numpy(volume)


class Steps(IterableDataset[Batch]):
    """An endless run of batches from a given step on."""

    def __init__(self, first: int, read: Callable[[int], Batch]) -> None:
        super().__init__()
        self._first = first
        self._read = read

    def __iter__(self) -> Iterator[Batch]:
        """Yield one batch per step."""
        step = self._first
        while True:
            yield {**self._read(step), "step": step}
            step += 1


def training_steps(
    scans: Scans,
    *,
    first: int,
    batch: int,
    seed: int,
    want_volumes: bool,
    want_latents: bool,
    augment: Augment | None = None,
) -> Steps:
    """Return the batches of one stage, their volumes augmented where a way is given."""

    def read(step: int) -> Batch:
        places = choose(step, count=len(scans.rows), batch=batch, seed=seed)
        variants = np.random.default_rng([seed, step, 1]).integers(scans.variants, size=batch)
        content = read_batch(
            scans, places, [int(v) for v in variants], want_volumes=want_volumes, want_latents=want_latents
        )
        if augment is None or not want_volumes:
            return content
        volumes = [augment(volume, (seed, step, place)) for place, volume in enumerate(content["volume"])]
        return {**content, "volume": torch.stack(volumes)}

    return Steps(first, read)
