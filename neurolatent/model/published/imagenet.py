"""Start the slices' network from ImageNet weights in torchvision's layout, from a file the user has."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from neurolatent.errors import WeightsError
from neurolatent.model.published.convnext import ConvNeXt

STEM = "features.0.0.weight"
HEAD = "classifier.2."
"""The last layer, which tells the thousand classes apart; a code has no use for it."""
REMEDY = "Give torchvision's weights of ConvNeXt-Small, a .pth or .safetensors file of names and tensors."


def load_imagenet(network: ConvNeXt, path: Path) -> None:
    """Take over ImageNet weights; the first name or shape that does not fit is named.

    The three colours of the first layer are added up: a slice is seen as a grey picture would have been.
    """
    found = {key: value for key, value in _read_state(path).items() if not key.startswith(HEAD)}
    if STEM in found and found[STEM].ndim == 4:
        found[STEM] = found[STEM].sum(1, keepdim=True)
    _refuse_difference(path, network.state_dict(), found)
    network.load_state_dict({key: value.float() for key, value in found.items()})


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        content: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, EOFError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        msg = f"{path}: expected readable weights, got {type(error).__name__} ({reason}). {REMEDY}"
        raise WeightsError(msg) from error
    if not isinstance(content, Mapping):
        msg = f"{path}: expected names and tensors, got {type(content).__name__}. {REMEDY}"
        raise WeightsError(msg)
    for name, value in content.items():
        if not isinstance(value, Tensor):
            msg = f"{path}: expected a tensor as {name!r}, got {type(value).__name__}. {REMEDY}"
            raise WeightsError(msg)
    return dict(content)


def _refuse_difference(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    for key in sorted({*expected, *found}):
        wanted = tuple(expected[key].shape) if key in expected else "no such tensor"
        came = tuple(found[key].shape) if key in found else "none"
        if wanted != came:
            msg = f"{path}: at {key!r} expected {wanted}, got {came}. {REMEDY}"
            raise WeightsError(msg)
