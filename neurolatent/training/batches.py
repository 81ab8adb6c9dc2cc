"""Which scans make up a batch: decided by seed and step alone, so that a resumed run sees what it would have seen."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from neurolatent.errors import ScanError
from neurolatent.shapes import VolumeArray
from neurolatent.training.engine import Portion
from neurolatent.training.variants import OneVolume, draw_variant, move
from neurolatent.volume.cache import VolumeCache

Batch = Mapping[str, Any]
"""`step`, `piece` (of the step), `places` (in the step's batch), `rows` (of the cache), and tensors by name."""


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

    def __deepcopy__(self, memo: object) -> "Scans":
        """Stay one: a copy of a stage's module, as its moving average is, must not read all volumes into memory."""
        return self

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
        volumes = torch.stack([read_volume(scans.cache, row) for row in rows])
        batch["volume"] = move(volumes, [draw_variant(row, number) for row, number in zip(rows, variants, strict=True)])
    if want_latents and scans.latents is not None:
        chosen = np.stack([scans.latents[place, variant] for place, variant in zip(places, variants, strict=True)])
        batch["latent"] = torch.from_numpy(chosen.astype(np.float32))
    return batch


def refuse_broken(scans: Scans, places: Sequence[int]) -> None:
    """Refuse scans with voxels that are no numbers, by name, before any time is spent."""
    rows = [scans.rows[place] for place in places]
    bad = [row for row in rows if not np.isfinite(scans.cache.volumes[row]).all()]
    if bad:
        names = ", ".join(scans.names(bad))
        msg = f"{names}: expected finite voxels, got NaN or infinity. Preprocess these scans again, or leave them out."
        raise ScanError(msg)


def read_volume(cache: VolumeCache, row: int) -> torch.Tensor:
    """Return one volume with its channel axis, in float32."""
    volume: VolumeArray = np.array(cache.volumes[row], dtype=np.float32)[None]
    return torch.from_numpy(volume)


class Steps(IterableDataset[Batch]):
    """An endless run of batches from a given step on, piece by piece; readers take turns."""

    def __init__(self, first: int, read: Callable[[int, int], Batch], *, pieces: int) -> None:
        super().__init__()
        self._first, self._read, self._pieces = first, read, pieces

    def __iter__(self) -> Iterator[Batch]:
        """Yield one batch per piece of a step."""
        reader = get_worker_info()
        turn, readers = (reader.id, reader.num_workers) if reader else (0, 1)
        for number in count(self._first * self._pieces + turn, readers):
            step, piece = divmod(number, self._pieces)
            yield {**self._read(step, piece), "step": step, "piece": piece}


def validation_batches(scans: Scans, batch: int, *, want_volumes: bool, want_latents: bool) -> list[Batch]:
    """Read scans that nothing is learnt from, each as it is, in the same batches every time."""
    starts = range(0, len(scans.rows), batch)
    chosen = [list(range(start, min(start + batch, len(scans.rows)))) for start in starts]
    return [
        {
            **read_batch(scans, places, [0] * len(places), want_volumes=want_volumes, want_latents=want_latents),
            "places": places,
        }
        for places in chosen
    ]


def training_steps(
    scans: Scans,
    *,
    first: int,
    batch: int,
    seed: int,
    want_volumes: bool,
    want_latents: bool,
    augment: Augment | None = None,
    portion: Portion | None = None,
) -> Steps:
    """Return the batches of one stage, or a process's portion of them, volumes augmented where a way is given."""
    taken = portion or Portion(rank=0, size=1, at_once=batch, pieces=1)

    def read(step: int, piece: int) -> Batch:
        chosen = choose(step, count=len(scans.rows), batch=batch, seed=seed)
        variants = np.random.default_rng([seed, step, 1]).integers(scans.variants, size=batch).tolist()
        places = list(taken.places(piece))
        content = read_batch(
            scans,
            [chosen[place] for place in places],
            [variants[place] for place in places],
            want_volumes=want_volumes,
            want_latents=want_latents,
        )
        if augment is not None and want_volumes:
            volumes = [augment(volume, (seed, step, p)) for p, volume in zip(places, content["volume"], strict=True)]
            content = {**content, "volume": torch.stack(volumes)}
        return {**content, "places": places}

    return Steps(first, read, pieces=taken.pieces)
