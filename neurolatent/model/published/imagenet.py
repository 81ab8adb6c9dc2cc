"""Start the slices' network from ImageNet weights in torchvision's layout, from a file the user has."""

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from neurolatent.errors import WeightsError
from neurolatent.model.published.checkpoints import as_state
from neurolatent.model.published.convnext import ConvNeXt
from neurolatent.model.published.layout import State
from neurolatent.model.weights import refuse_difference
from neurolatent.provenance import hash_file

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
    refuse_difference(path, network.state_dict(), found, remedy=REMEDY)
    network.load_state_dict({key: value.float() for key, value in found.items()})


def hash_imagenet(path: Path) -> str:
    """Return the hash of the file; one that is not there is refused."""
    if not path.is_file():
        msg = f"{path}: expected ImageNet weights, found no file. {REMEDY}"
        raise WeightsError(msg)
    return hash_file(path)


def _read_state(path: Path) -> State:
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
    return as_state(path, content, remedy=REMEDY)
