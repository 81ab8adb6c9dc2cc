"""Semantic and stochastic codes of a cohort's scans, written once and read by the analyses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float16
from numpy import ndarray
from safetensors.numpy import load_file, save_file

from neurolatent.analysis.generation import Autoencoder, Generator, LatentArray, Progress
from neurolatent.device import pick_device
from neurolatent.errors import SettingsError, WeightsError
from neurolatent.model.weights import Card
from neurolatent.provenance import read_json, whole_file, write_json
from neurolatent.shapes import FeatureArray, VolumeArray
from neurolatent.volume.cache import VolumeCache
from neurolatent.workspace import ScanKey

FORMAT_VERSION = 1
INDEX_NAME, TENSORS_NAME = "index.json", "codes.safetensors"
DEFAULT_STEPS = 10
BLOCK_SCANS = 64


@dataclass(frozen=True)
class Codes:
    """Codes by scan; the stochastic ones exist for some scans only."""

    keys: tuple[ScanKey, ...]
    semantic: FeatureArray
    stochastic_keys: tuple[ScanKey, ...]
    stochastic: Float16[ndarray, "some channel a b c"]
    steps: int
    """DDIM steps from scan to stochastic code."""
    weights_hash: str
    cache_hash: str

    def semantic_of(self, keys: Sequence[ScanKey]) -> FeatureArray:
        """Return y of these scans, in their order."""
        return self.semantic[_places(self.keys, keys, "semantic")]

    def stochastic_of(self, keys: Sequence[ScanKey]) -> LatentArray:
        """Return z_T of these scans, in their order."""
        return self.stochastic[_places(self.stochastic_keys, keys, "stochastic")].astype(np.float32)


def encode(
    cache: VolumeCache,
    model: Autoencoder,
    card: Card,
    folder: Path,
    *,
    stochastic_keys: Sequence[ScanKey] | None = None,
    steps: int = DEFAULT_STEPS,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Codes:
    """Write y of every scan and z_T of some (each person's first scan where none are named); skip what is there."""
    wanted = tuple(stochastic_keys) if stochastic_keys is not None else first_of_each(cache.keys)
    refuse_other_preprocessing(cache, card)
    present = _matching(folder, cache, card, steps)
    if present and set(wanted) <= set(present.stochastic_keys):
        return present
    generator = Generator(model, device or pick_device(), steps, progress)
    semantic = _semantic(generator, cache)
    codes = Codes(
        keys=cache.keys,
        semantic=semantic,
        stochastic_keys=wanted,
        stochastic=_stochastic(generator, cache, semantic, wanted),
        steps=steps,
        weights_hash=card.weights_hash,
        cache_hash=cache.hash,
    )
    _write(folder, codes)
    return codes


def open_codes(folder: Path) -> Codes:
    """Read what `encode` wrote."""
    path = folder / INDEX_NAME
    command = f"Run `neurolatent encode {folder.parents[1]} --run {folder.name}`."
    if not path.is_file():
        msg = f"{folder}: no codes. {command}"
        raise SettingsError(msg)
    index = read_json(path)
    if index.get("format_version") != FORMAT_VERSION:
        msg = f"{path}: expected format version {FORMAT_VERSION}, got {index.get('format_version')}. {command}"
        raise SettingsError(msg)
    tensors = load_file(folder / TENSORS_NAME)
    return Codes(
        keys=tuple(ScanKey(*key) for key in index["keys"]),
        semantic=tensors["semantic"],
        stochastic_keys=tuple(ScanKey(*key) for key in index["stochastic_keys"]),
        stochastic=tensors["stochastic"],
        steps=index["steps"],
        weights_hash=index["weights_hash"],
        cache_hash=index["cache_hash"],
    )


def refuse_other_preprocessing(cache: VolumeCache, card: Card) -> None:
    """Refuse volumes made in another way than those the weights were trained on, unless the card accepts ours."""
    if cache.preprocessing == card.preprocessing or card.accepts_affine:
        return
    expected, got = f"volumes of preprocessing {card.preprocessing[:12]}", cache.preprocessing[:12]
    remedy = "Preprocess again, or train anew."
    if card.registration:
        expected, got = f"brains laid by {card.registration}", f"{got}, laid by one affine at most"
        remedy = "Where that will do, run `neurolatent import-ldae` again with --accept-affine."
    msg = f"The weights expect {expected}, got {got}. {remedy}"
    raise WeightsError(msg)


def first_of_each(keys: Sequence[ScanKey]) -> tuple[ScanKey, ...]:
    """Return the first scan of each participant, in the order given."""
    first: dict[str, ScanKey] = {}
    for key in keys:
        first.setdefault(key.participant_id, key)
    return tuple(first.values())


def read_volumes(cache: VolumeCache, rows: Sequence[int]) -> VolumeArray:
    """Read scans of the cache in single precision."""
    return np.stack([np.asarray(cache.volumes[row], dtype=np.float32) for row in rows])


def _matching(folder: Path, cache: VolumeCache, card: Card, steps: int) -> Codes | None:
    if not (folder / INDEX_NAME).is_file():
        return None
    present = open_codes(folder)
    made_from = (present.weights_hash, present.cache_hash, present.steps)
    return present if made_from == (card.weights_hash, cache.hash, steps) else None


def _semantic(generator: Generator, cache: VolumeCache) -> FeatureArray:
    """Encode all scans, a block in memory at a time."""
    blocks: list[FeatureArray] = []
    quiet = replace(generator, progress=None)
    for start in range(0, len(cache.keys), BLOCK_SCANS):
        rows = range(start, min(start + BLOCK_SCANS, len(cache.keys)))
        blocks.append(quiet.semantic(read_volumes(cache, rows)))
        if generator.progress:
            generator.progress("Semantic codes", rows.stop, len(cache.keys))
    return np.concatenate(blocks)


def _stochastic(
    generator: Generator, cache: VolumeCache, semantic: FeatureArray, keys: Sequence[ScanKey]
) -> Float16[ndarray, "some channel a b c"]:
    blocks: list[np.ndarray] = []
    quiet = replace(generator, progress=None)
    for start in range(0, len(keys), generator.scans_at_once):
        rows = [cache.row(key) for key in keys[start : start + generator.scans_at_once]]
        blocks.append(quiet.infer_noise(read_volumes(cache, rows), semantic[rows]).astype(np.float16))
        if generator.progress:
            generator.progress("Stochastic codes", start + len(rows), len(keys))
    return np.concatenate(blocks) if blocks else np.zeros((0, 1, 1, 1, 1), dtype=np.float16)


def _write(folder: Path, codes: Codes) -> None:
    """The index goes first and comes last, so that codes are whole or absent."""
    (folder / INDEX_NAME).unlink(missing_ok=True)
    with whole_file(folder / TENSORS_NAME) as temporary:
        save_file({"semantic": codes.semantic, "stochastic": codes.stochastic}, temporary)
    index = {
        "format_version": FORMAT_VERSION,
        "weights_hash": codes.weights_hash,
        "cache_hash": codes.cache_hash,
        "steps": codes.steps,
        "keys": [list(key) for key in codes.keys],
        "stochastic_keys": [list(key) for key in codes.stochastic_keys],
    }
    write_json(folder / INDEX_NAME, index)


def _places(known: Sequence[ScanKey], keys: Sequence[ScanKey], kind: str) -> list[int]:
    place = {key: index for index, key in enumerate(known)}
    missing = [key for key in keys if key not in place]
    if missing:
        msg = f"{'/'.join(missing[0])}: no {kind} code among {len(known)}. Run `neurolatent encode` again."
        raise SettingsError(msg)
    return [place[key] for key in keys]
