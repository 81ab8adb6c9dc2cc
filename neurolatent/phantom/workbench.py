"""What every person of a phantom shares: the template, the anatomies made from it, and their points."""

from functools import cache, cached_property

import torch

from neurolatent.phantom.anatomy import Anatomy, build_anatomy, prepare_template
from neurolatent.phantom.body import Body, BrainPoints, brain_points, standard_lattice
from neurolatent.phantom.change import ChangeFields, build_change_fields
from neurolatent.phantom.growth import coarsen
from neurolatent.phantom.head import distance_from_brain
from neurolatent.phantom.lattice import COARSE, FINE, Field, Lattice, ScalarField
from neurolatent.phantom.quadrature import even_quadrature
from neurolatent.phantom.response import Response, measure_response
from neurolatent.volume.space import Grid
from neurolatent.volume.template import TemplateMaps

MEASURED_LATTICE = standard_lattice(Grid(4.0))
"""Of the points at which volumes are summed, where nothing is small."""
RESPONSE_LATTICE = standard_lattice(Grid(5.0))
"""A response is where a person's calibration starts; coarse is enough."""


class Workbench:
    """Makes each shared thing once, on the device that is torch's default where it is first used."""

    def __init__(self, template: TemplateMaps) -> None:
        """Take the template's maps; nothing is computed yet."""
        self._template = template
        self._points: dict[Lattice, BrainPoints] = {}
        self._anatomies: dict[int, tuple[Anatomy, ChangeFields]] = {}
        self._distances: dict[int, ScalarField] = {}
        self._responses: dict[int, Response] = {}

    @cached_property
    def source(self) -> Field:
        """The prepared template, on FINE."""
        return prepare_template(self._template)

    @cached_property
    def support(self) -> ScalarField:
        """Where the template has a brain, on COARSE."""
        return coarsen(self.source[2:3], FINE, COARSE)[0]

    def points(self, lattice: Lattice) -> BrainPoints:
        """Return where on a standard-space lattice there may be a brain."""
        if lattice not in self._points:
            self._points[lattice] = brain_points(self.support, lattice)
        return self._points[lattice]

    def anatomy(self, index: int) -> tuple[Anatomy, ChangeFields]:
        """Return the anatomy of that number and what changes it."""
        if index not in self._anatomies:
            anatomy = build_anatomy(self.source, index)
            self._anatomies[index] = anatomy, build_change_fields(anatomy)
        return self._anatomies[index]

    def distance(self, index: int) -> ScalarField:
        """Return the distance from an anatomy's brain, on HEAD."""
        if index not in self._distances:
            self._distances[index] = distance_from_brain(self.anatomy(index)[0])
        return self._distances[index]

    def response(self, index: int) -> Response:
        """Measure how an anatomy's volumes answer, without any person's shape."""
        if index not in self._responses:
            body = Body(*self.anatomy(index), torch.zeros(3, *COARSE.shape), torch.zeros(COARSE.shape))
            points = body.near(self.points(RESPONSE_LATTICE))
            self._responses[index] = measure_response(body, even_quadrature(body, points))
        return self._responses[index]


@cache
def shared_workbench(template: TemplateMaps, device: str) -> Workbench:
    """Return the one workbench for that template and device."""
    del device  # part of the key alone
    return Workbench(template)
