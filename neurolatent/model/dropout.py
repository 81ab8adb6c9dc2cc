"""Dropout whose mask is each scan's own, so that what is learnt does not depend on how a batch is shared out."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn import functional

_generators: ContextVar[Sequence[torch.Generator] | None] = ContextVar("dropout_generators", default=None)


@contextmanager
def own_dropout(seeds: Sequence[int], device: torch.device) -> Generator[None]:
    """Draw all masks meanwhile from a seed a scan, in the order of the batch."""
    token = _generators.set([torch.Generator(device).manual_seed(seed) for seed in seeds])
    try:
        yield
    finally:
        _generators.reset(token)


def drop(values: Tensor, share: float) -> Tensor:
    """Set a share of the values to 0 and scale up the rest: Srivastava et al. 2014.

    The first axis counts scans, or each scan's slices one scan after the other. Outside `own_dropout`, torch's stream
    of random numbers decides.
    """
    generators = _generators.get()
    if generators is None or not share:
        return functional.dropout(values, share)
    shape = (len(values) // len(generators), *values.shape[1:])
    chances = [torch.rand(shape, generator=one, device=values.device) for one in generators]
    return values * (torch.cat(chances) >= share) / (1 - share)


class Dropout(nn.Module):
    """`drop`, while training."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Return the values, some of them dropped."""
        return drop(values, self.share) if self.training else values
