"""The true geometry of a subject in standard space: where tissue moves, and what lies in each voxel."""

import torch

from neurolatent.phantom.anatomy import MAPS
from neurolatent.phantom.body import standard_lattice
from neurolatent.phantom.lattice import FINE, Points
from neurolatent.phantom.structures import REGIONS
from neurolatent.phantom.subject import Subject
from neurolatent.phantom.workbench import Workbench
from neurolatent.shapes import VoxelArray
from neurolatent.volume.space import Grid


def displacement(subject: Subject, months_from: float, months_to: float, points: Points) -> Points:
    """Return by how many mm the tissue at these points of standard space moves from one time to another."""
    body, before, after = subject.body, subject.amplitudes(months_from), subject.amplitudes(months_to)
    return body.from_anatomy(after, body.to_anatomy(before, points), near=points) - points


def tissue_maps(bench: Workbench, subject: Subject, months: float, grid: Grid) -> dict[str, VoxelArray]:
    """Return by name what share of each voxel is grey, white, fluid, hypointense, and in each region."""
    brain, body = subject.body.near(bench.points(standard_lattice(grid))), subject.body
    places = body.to_anatomy(subject.amplitudes(months), brain.points)
    maps = dict(zip(MAPS, FINE.sample(body.anatomy.maps, places), strict=True))
    fluid = maps["intracranial"] - maps["grey"] - maps["white"]
    dark = maps["white"] * body.hypointense(places, subject.calibration.lesion_threshold(months))
    regions = body.anatomy.region_shares(places)
    names = ("grey", "white", "fluid", "hypointensities", *REGIONS, "intracranial")
    shares = brain.scatter(torch.cat([torch.stack([maps["grey"], maps["white"], fluid, dark]), regions]))
    return dict(zip(names, shares.cpu().numpy(), strict=True))
