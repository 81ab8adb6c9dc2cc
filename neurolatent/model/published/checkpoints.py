"""Find a published network's tensors in a file, however a training left them there.

What is recognised:

- safetensors, by the suffix; anything else as a PyTorch file, of which names and tensors are read, never code.
- Names and tensors; or a training's checkpoint, whose entry `state_dict` holds them.
- The network's keys as they are, or behind one prefix such as `model.` or `autoencoder.decoder.`. What lies behind
  other prefixes, such as a loss's own network, is left alone; between two copies of the network nothing is guessed.
- A moving average, whose prefix has a part that begins with `ema_`: it goes before the network that it averages.
- The VAE's keys as MONAI Generative names them, or as MONAI ≥ 1.4 does.
"""

import pickle
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from neurolatent.errors import WeightsError
from neurolatent.model.published.layout import State
from neurolatent.model.published.vae import rename_keys

EMA = "ema_"
ROUNDING = 1e-4
REMEDY = "Give that network's published file, whole."


def read_network(path: Path, known: Mapping[str, Tensor]) -> State:
    """Return the tensors of a network that has some of the known keys, under these keys; nothing is checked yet."""
    found = rename_keys(_read_file(path))
    prefix = _find_prefix(path, found, known)
    return {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}


def as_state(path: Path, content: object, *, remedy: str) -> State:
    """Return what a file held as names and tensors; anything else is refused."""
    if not isinstance(content, Mapping):
        msg = f"{path}: expected names and tensors, got {type(content).__name__}. {remedy}"
        raise WeightsError(msg)
    for name, value in content.items():
        if not isinstance(value, Tensor):
            msg = f"{path}: expected a tensor as {name!r}, got {type(value).__name__}. {remedy}"
            raise WeightsError(msg)
    return {str(name): value.detach() for name, value in content.items()}


def refuse_other_values(path: Path, key: str, value: Tensor, source: object, expected: Tensor) -> None:
    """Refuse a tensor that should be a copy and is none; an average of equal numbers may have drifted a little."""
    difference, size = (value.float() - expected.float()).norm(), expected.float().norm()
    if not difference <= ROUNDING * size:
        msg = f"{path}: at {key!r} expected what {source} holds, got other values. Give files of one training."
        raise WeightsError(msg)


def _read_file(path: Path) -> State:
    """Map a file's names and tensors; a training's checkpoint has them in one of its entries."""
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else _map_pytorch(path)
    except (OSError, EOFError, RuntimeError, ValueError, SafetensorError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        msg = f"{path}: expected names and tensors, got {type(error).__name__} ({reason}). {REMEDY}"
        raise WeightsError(msg) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    return as_state(path, content, remedy=REMEDY)


def _map_pytorch(path: Path) -> Any:
    """Leave the numbers on the disk until they are asked for, which files of the oldest format do not allow."""
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _find_prefix(path: Path, found: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> str:
    """Return what stands before the most known keys; a moving average goes first."""
    counts = Counter(prefix for key in found for prefix in _prefixes(key, known))
    if not counts:
        return ""
    complete = [prefix for prefix, count in counts.items() if count == max(counts.values())]
    averages = [prefix for prefix in complete if _averages(prefix)]
    # An average of which a part is missing is taken too, to be refused: its network's last values are not meant.
    incomplete = [prefix for prefix in counts if _averages(prefix) and prefix.replace(EMA, "") in complete]
    choices = averages or incomplete or complete
    if len(choices) > 1:
        listed = ", ".join(f"{prefix}*" for prefix in sorted(choices))
        msg = f"{path}: expected one copy of the network, got {listed}. Save the one that is meant by itself."
        raise WeightsError(msg)
    return choices[0]


def _prefixes(key: str, known: Mapping[str, Tensor]) -> Iterator[str]:
    """Go through what can be taken off a key so that a known one is left."""
    parts = key.split(".")
    for start in range(len(parts)):
        rest = ".".join(parts[start:])
        for name in {rest, rest.removeprefix(EMA)}:
            if name in known:
                yield key.removesuffix(name)


def _averages(prefix: str) -> bool:
    return any(part.startswith(EMA) for part in prefix.split("."))
