"""Run a VAE in slabs, layer by layer, for GPUs that cannot hold a whole scan's activations.

What lies between two layers stays in the processor's memory; a slab of it at a time goes to the weights' device and
back. Convolutions take their halo along, and group normalisation its statistics from the whole volume: tiling the whole
network would cut both, and be off by 7 to 12 %.
"""

from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from neurolatent.errors import SettingsError

AXIS = 2
"""The first of a volume's three: batch and channel come before."""
Piece = Callable[[int, int], Tensor]
"""From where a slab of the result begins and ends to the slab."""


class Slabs(TorchFunctionMode):
    """Within this context, layers work on so many slabs of their input, one after the other.

    Inputs are expected in the processor's memory and results stay there; weights lie on the device that works.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        if count < 1:
            msg = f"Expected at least 1 slab, got {count}. Try 4; more slabs take less memory and more time."
            raise SettingsError(msg)
        self.count = count

    @override
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do what layers call on volumes in slabs, and everything else as it is."""
        layer = LAYERS.get(getattr(func, "__name__", ""))
        volume = args[0] if args else None
        if layer is None or not isinstance(volume, Tensor) or volume.dim() != 5:
            return func(*args, **kwargs or {})
        return layer(self, *args, **kwargs or {})

    def join(self, extent: int, piece: Piece, *, home: torch.device) -> Tensor:
        """Compute a result slab by slab and lay the slabs side by side where the input lies."""
        parts = (piece(first, last).to(home) for first, last in self.borders(extent))
        first = next(parts)
        shape = list(first.shape)
        shape[AXIS] = extent
        result = torch.empty(shape, dtype=first.dtype, device=home)
        done = first.shape[AXIS]
        result.narrow(AXIS, 0, done).copy_(first)
        for part in parts:
            result.narrow(AXIS, done, part.shape[AXIS]).copy_(part)
            done += part.shape[AXIS]
        return result

    def borders(self, extent: int) -> Iterator[tuple[int, int]]:
        """Cut an extent into slabs of one thickness, the last perhaps thinner."""
        thickness = ceil(extent / self.count)
        return ((first, min(first + thickness, extent)) for first in range(0, extent, thickness))


def convolve(
    slabs: Slabs,
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve each slab with as much of its neighbours as the kernel reaches into."""
    strides, paddings, dilations = (_three(value) for value in (stride, padding, dilation))
    reach, extent = dilations[0] * (weight.shape[AXIS] - 1) + 1, volume.shape[AXIS]

    def piece(first: int, last: int) -> Tensor:
        begin, end = first * strides[0] - paddings[0], (last - 1) * strides[0] - paddings[0] + reach
        slab = volume.narrow(AXIS, max(begin, 0), min(end, extent) - max(begin, 0)).to(weight.device)
        outside = (0, 0, 0, 0, max(-begin, 0), max(end - extent, 0))
        within = (0, *paddings[1:])
        return functional.conv3d(functional.pad(slab, outside), weight, bias, strides, within, dilations, groups)

    return slabs.join((extent + 2 * paddings[0] - reach) // strides[0] + 1, piece, home=volume.device)


def normalise_groups(
    slabs: Slabs,
    volume: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise by the whole volume's mean and variance, gathered slab by slab: Wu & He 2018 (arXiv:1803.08494)."""
    batch, channels, extent = volume.shape[:3]
    count = volume[0].numel() / num_groups
    device = volume.device if weight is None else weight.device

    def grouped(first: int, last: int) -> Tensor:
        slab = volume.narrow(AXIS, first, last - first).to(device)
        return slab.float().reshape(batch, num_groups, -1)

    def total(of: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.stack([of(grouped(*border)).sum(2, keepdim=True) for border in slabs.borders(extent)]).sum(0)

    mean = total(lambda values: values) / count
    variance = total(lambda values: (values - mean) ** 2) / count
    scale = torch.rsqrt(variance + eps)

    def piece(first: int, last: int) -> Tensor:
        normal = ((grouped(first, last) - mean) * scale).reshape(batch, channels, last - first, *volume.shape[3:])
        along_channels = (1, channels, 1, 1, 1)
        if weight is not None:
            normal = normal * weight.float().reshape(along_channels)
        if bias is not None:
            normal = normal + bias.float().reshape(along_channels)
        return normal.to(volume.dtype)

    return slabs.join(extent, piece, home=volume.device)


def activate(slabs: Slabs, volume: Tensor, inplace: bool = False) -> Tensor:  # noqa: FBT001, FBT002  # as torch calls it
    """Apply SiLU, value by value; what asks to be overwritten is."""
    if inplace:
        for first, last in slabs.borders(volume.shape[AXIS]):
            functional.silu(volume.narrow(AXIS, first, last - first), inplace=True)
        return volume
    return slabs.join(
        volume.shape[AXIS],
        lambda first, last: functional.silu(volume.narrow(AXIS, first, last - first)),
        home=volume.device,
    )


def _three(value: Any) -> tuple[int, int, int]:
    i, j, k = (value,) * 3 if isinstance(value, int) else value
    return int(i), int(j), int(k)


LAYERS: dict[str, Callable[..., Tensor]] = {"conv3d": convolve, "group_norm": normalise_groups, "silu": activate}
"""By the name that torch calls them by; what else a VAE does moves values or adds them, and needs no slabs."""
