"""Likeness in the eyes of a network that learnt from photographs, on a few slices along each axis."""

from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from neurolatent.model.blocks import full_precision
from neurolatent.model.noise import PerSample
from neurolatent.model.published.convnext import ConvNeXt, Plane
from neurolatent.model.published.imagenet import load_imagenet
from neurolatent.model.published.sizes import SemanticSizes
from neurolatent.shapes import Volume
from neurolatent.training.draws import Draws

SIZES = SemanticSizes()
SLICES = 3
"""Along each axis, of each scan, anew at every step."""
GREY_MEAN, GREY_SD = 0.449, 0.226
"""Means over the three colours of what ImageNet's pictures were standardised by: the stem here sees one channel, its
colours added up, which is what it made of a grey picture but for the colours' slightly different standardisation."""

Places = Int[Tensor, "batch slice"]
Slices = Float[Tensor, "number 1 _ _"]
"""Of all scans, scan after scan; extents differ from axis to axis."""


class Perceptual:
    """Squared distance of features: Zhang et al. 2018, equation 1 (arXiv:1801.03924), all learnt weights being 1.

    It is no module, and copied by nobody: what is frozen is neither averaged nor kept in checkpoints.
    """

    def __init__(self, network: ConvNeXt) -> None:
        self.network = network.eval().requires_grad_(requires_grad=False)

    def __deepcopy__(self, memo: object) -> "Perceptual":
        """Stay one."""
        return self

    def __call__(self, volume: Volume, reconstruction: Volume, draws: Draws) -> PerSample:
        """Return the distance of each scan, a mean over places and slices and a sum over levels."""
        self.network.to(volume.device, volume.dtype)
        shares = torch.stack([torch.rand(3, SLICES, generator=generator) for generator in draws.generators])
        distances = [
            _distance(self.network, _take(volume, axis, places), _take(reconstruction, axis, places))
            for axis, places in enumerate(_places(shares, volume))
        ]
        return torch.stack(distances).mean(0).unflatten(0, (len(volume), SLICES)).mean(1)


def load_perceptual(path: Path) -> Perceptual:
    """Read ImageNet weights of ConvNeXt-Small in torchvision's layout."""
    network = ConvNeXt(SIZES)
    load_imagenet(network, path)
    return Perceptual(network)


def _places(shares: Float[Tensor, "batch 3 slice"], volume: Volume) -> list[Places]:
    return [(shares[:, axis] * volume.shape[2 + axis]).long().to(volume.device) for axis in range(3)]


def _take(volume: Volume, axis: int, places: Places) -> Slices:
    """Return each scan's slices along an axis, scan after scan, standardised."""
    along = volume[:, 0].movedim(1 + axis, 1)
    slices = torch.cat([scan[chosen] for scan, chosen in zip(along, places, strict=True)])
    return (slices[:, None] - GREY_MEAN) / GREY_SD


def _distance(network: ConvNeXt, real: Slices, made: Slices) -> Float[Tensor, " number"]:
    with torch.no_grad():
        expected = _features(network, real)
    pairs = zip(expected, _features(network, made), strict=True)
    return torch.stack([((one - other) ** 2).sum(1).mean((1, 2)) for one, other in pairs]).sum(0)


def _features(network: ConvNeXt, slices: Slices) -> list[Plane]:
    """Return each level's features, of length 1 at every place; a slice may be too small for the last levels."""
    plane, levels = slices, list[Plane]()
    for number, layer in enumerate(network.features):
        if number and number % 2 == 0 and min(plane.shape[2:]) < 2:
            break
        plane = layer(plane)
        if number % 2:  # the others change the extent: the stem, and what lies between two levels
            levels.append(functional.normalize(full_precision(plane), dim=1))
    return levels
