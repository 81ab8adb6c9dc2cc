"""How the published files name the tensors of our networks: their own attributes, but for two things.

The decoder's file holds the frozen denoiser beside the gradient estimator; the semantic encoder's holds its backbone
under two names.
"""

from collections.abc import Mapping

from torch import Tensor

State = dict[str, Tensor]
BACKBONE, SAME_BACKBONE = "backbone.", "slice_distributed.module."


def split_decoder(state: Mapping[str, Tensor]) -> tuple[State, State]:
    """Return the denoiser's tensors and the gradient estimator's."""
    added = {key for key in state if key.startswith(("label_emb.", "shift_"))}
    return {key: state[key] for key in state if key not in added}, {key: state[key] for key in state if key in added}


def join_decoder(denoiser: Mapping[str, Tensor], gradient: Mapping[str, Tensor]) -> State:
    """Return both in one, as the decoder's file has them."""
    return {**denoiser, **gradient}


def single_backbone(state: Mapping[str, Tensor]) -> State:
    """Return the semantic encoder's tensors, each once."""
    return {key: value for key, value in state.items() if not key.startswith(SAME_BACKBONE)}


def double_backbone(state: Mapping[str, Tensor]) -> State:
    """Return the semantic encoder's tensors as its file has them: the backbone under both names."""
    twins = {SAME_BACKBONE + key.removeprefix(BACKBONE): state[key] for key in state if key.startswith(BACKBONE)}
    return {**state, **twins}
