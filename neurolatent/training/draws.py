"""The noise of a step: each scan's own, whatever process or piece of the batch it falls into."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from neurolatent.model.noise import TIMESTEPS
from neurolatent.shapes import Timestep

MOST_PLACES = 1 << 16
"""Places in a batch that have noise of their own."""


class Draws:
    """Random numbers decided by seed, step and place alone; drawn on the CPU, hence alike on any device."""

    def __init__(self, *, seed: int, step: int, places: Sequence[int]) -> None:
        self.dropout_seeds = [int(np.random.SeedSequence((seed, step, place)).generate_state(1)[0]) for place in places]
        """Of each scan's dropout: other streams than the noise's."""
        self.generators = [torch.Generator().manual_seed(_mix(seed, step, place)) for place in places]

    def normal_like(self, values: Tensor) -> Tensor:
        """Draw white noise of the values' shape, device and precision; the first axis counts scans."""
        drawn = [
            torch.randn(values.shape[1:], generator=generator, dtype=torch.float32) for generator in self.generators
        ]
        return torch.stack(drawn).to(values.device, values.dtype)

    def timesteps(self, device: torch.device) -> Timestep:
        """Draw a timestep for each scan."""
        return torch.cat([torch.randint(TIMESTEPS, (1,), generator=one) for one in self.generators]).to(device)


def _mix(seed: int, step: int, place: int) -> int:
    return ((seed * 1_000_003 + step) * MOST_PLACES + place) % 2**63
