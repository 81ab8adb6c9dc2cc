"""A phantom lies on the grid that is asked for, the paper's too."""

import numpy as np
import pytest

from neurolatent.phantom.truth import PhantomTruth
from neurolatent.volume.space import Grid


def middle_mm(mask, grid):
    return (grid.world_from_voxel @ [*np.argwhere(mask).mean(0), 1])[:3]


def test_a_brain_is_at_the_same_place_of_the_world_on_either_grid(tiny):
    truth = PhantomTruth.open(tiny)
    person = truth.participants[0]
    standard, paper = Grid(8.0), Grid(8.0, "paper")
    (volume, mask), (other, moved) = (truth.noise_free(person, 0.0, grid) for grid in (standard, paper))
    np.testing.assert_allclose(middle_mm(mask, standard), middle_mm(moved, paper), atol=1.5)
    assert moved.sum() == pytest.approx(mask.sum(), rel=0.05)
    assert other[moved].mean() == pytest.approx(volume[mask].mean(), rel=0.05)
    assert not np.array_equal(mask, moved)
