"""Claims about one person: the brain that is imaged has the volumes that were drawn, and changes without folding."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from neurolatent.phantom.body import standard_lattice
from neurolatent.phantom.geometry import displacement
from neurolatent.phantom.lattice import COARSE, FINE, gradients, volume_change
from neurolatent.phantom.parameters import GROUPS
from neurolatent.phantom.people import draw_people
from neurolatent.phantom.quadrature import even_quadrature
from neurolatent.phantom.structures import REGIONS
from neurolatent.phantom.subject import make_subject
from neurolatent.volume.space import Grid

AGREEMENT = 0.02
MEASURED_MM = 1.5
"""Of the lattice on which images are measured here: finer than that which the volumes were solved for on."""
SMALL = ("third", "inferior", "hippocampus", "entorhinal")


def _ratios(bench, subject, months):
    """Warped over drawn volume of each region."""
    quadrature = even_quadrature(subject.body, bench.points(standard_lattice(Grid(MEASURED_MM))))
    *measured, skull_ml = quadrature.volumes_ml(subject.body, subject.amplitudes(months)).tolist()
    person = subject.people.take(np.array([subject.row]))
    drawn = np.exp(person.log_volumes(np.array([months]))[0])
    return np.array(measured) / skull_ml * person.intracranial_ml[0] / drawn


def _changes(bench, subject, months_from, months_to):
    """Change of each region by the deformation's Jacobian, over the drawn one; and the smallest determinant."""
    body, before, after = subject.body, subject.amplitudes(months_from), subject.amplitudes(months_to)
    points, weights = _finer_in_small_regions(bench, subject, before)
    tissue = body.to_anatomy(before, points)
    shares = body.anatomy.region_shares(tissue) * weights
    # Back to the anatomy and on from there, by steps small beside the lattice's: a region's edge is thin.
    back = torch.linalg.det(gradients(lambda places: body.to_anatomy(before, places), points))
    moved = body.from_anatomy(after, tissue)
    growth = back / torch.linalg.det(gradients(lambda places: body.to_anatomy(after, places), moved))
    integrated = ((shares * growth).sum(dim=1) / shares.sum(dim=1)).numpy()[:-1]
    person = subject.people.take(np.array([subject.row]))
    first, last = (person.log_volumes(np.array([months]))[0] for months in (months_from, months_to))
    return integrated / np.exp(last - first), float(growth.min())


def _finer_in_small_regions(bench, subject, amplitudes):
    """Nodes with their weights: eight for one in and around what a lattice of 1.5 mm sees too few nodes of."""
    brain = subject.body.near(bench.points(standard_lattice(Grid(MEASURED_MM))))
    small = [REGIONS.index(region) for region in REGIONS if region.startswith(SMALL)]
    shares = subject.body.anatomy.region_shares(subject.body.to_anatomy(amplitudes, brain.points))[small].sum(dim=0)
    around = functional.max_pool3d(brain.scatter(shares[None]), 3, stride=1, padding=1).reshape(-1)[brain.places] > 0.1
    corners = MEASURED_MM / 4 * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3).T
    finer, coarse = (brain.points[:, around, None] + corners[:, None]).reshape(3, -1), brain.points[:, ~around]
    weights = torch.cat([torch.ones(coarse.shape[1]), torch.full((finer.shape[1],), 1 / 8)])
    return torch.cat([coarse, finer], dim=1), weights


@pytest.mark.parametrize("months", [0.0, 12.0, 36.0])
def test_warped_volumes_agree_with_the_drawn_ones(bench, subjects, months):
    for subject in subjects:
        ratios = _ratios(bench, subject, months)
        print(subject.participant_id, months, dict(zip(REGIONS, (100 * (ratios - 1)).round(2).tolist(), strict=True)))
        np.testing.assert_allclose(ratios, 1.0, atol=AGREEMENT)


@pytest.mark.slow
def test_ten_people_of_all_groups_have_the_drawn_volumes_and_changes(bench, parameters):
    drawn = draw_people(parameters, seed=5, index=np.arange(10), arm="balanced")
    volumes, changes, folds = [], [], []
    for row in range(10):
        subject = make_subject(bench, parameters, drawn, row)
        volumes.append(max(np.abs(_ratios(bench, subject, at) - 1).max() for at in (0.0, 6.0, 12.0, 24.0, 36.0)))
        integrated, smallest = _changes(bench, subject, 0.0, 36.0)
        changes.append(np.abs(integrated - 1).max())
        folds.append(smallest)
        print(
            subject.participant_id, GROUPS[drawn.group[row]], int(drawn.anatomy[row]),
            f"volumes {100 * volumes[-1]:.2f} %, changes {100 * changes[-1]:.2f} %, Jacobian from {smallest:.2f}",
            REGIONS[int(np.abs(integrated - 1).argmax())],
        )  # fmt: skip
    assert max(volumes) < AGREEMENT
    assert max(changes) < AGREEMENT
    assert min(folds) > 0


def test_the_volume_change_that_a_deformation_integrates_to_is_the_drawn_one(bench, subjects):
    for subject in subjects:
        changes, smallest = _changes(bench, subject, 0.0, 36.0)
        print(
            subject.participant_id, dict(zip(REGIONS, (100 * (changes - 1)).round(2).tolist(), strict=True)), smallest
        )
        np.testing.assert_allclose(changes, 1.0, atol=AGREEMENT)
        assert smallest > 0


def test_a_deformation_and_its_inverse_return_within_a_tenth_of_a_voxel(bench, subjects):
    places = bench.points(standard_lattice(Grid(2.0))).points
    for subject in subjects:
        inside = subject.body.near(bench.points(standard_lattice(Grid(2.0)))).points
        there = inside + displacement(subject, 0.0, 36.0, inside)
        apart = there + displacement(subject, 36.0, 0.0, there) - inside
        print(subject.participant_id, float(apart.norm(dim=0).max()), "mm at most")
        assert apart.norm(dim=0).max() < 0.1  # mm: a tenth of a voxel of 1 mm
    assert places.shape[1] > inside.shape[1]


def test_no_part_of_a_change_folds(subjects):
    for subject in subjects:
        amplitudes, fields = subject.amplitudes(60.0), subject.body.fields
        carried = fields.undo(amplitudes, FINE.points()) - FINE.points()
        assert volume_change(carried.reshape(3, *FINE.shape), FINE.spacing_mm).min() > 0
        assert volume_change(subject.body.shape, COARSE.spacing_mm).min() > 0


def test_the_skull_stands_still_while_the_brain_changes(subjects):
    subject = subjects[1]
    nodes = FINE.points()
    rim = subject.body.anatomy.maps[2].reshape(-1)
    outer = nodes[:, (rim > 0.02) & (rim < 0.1)]
    moved = subject.body.fields.undo(subject.amplitudes(36.0), outer)
    assert (moved - outer).norm(dim=0).mean() < 0.6


def test_two_people_of_one_anatomy_have_different_shapes(subjects):
    first, second = (subject.body.shape for subject in subjects[:2])
    assert (first - second).norm(dim=0).mean() > 2.0


def test_a_field_of_unit_amplitude_moves_its_own_region_most(bench):
    slopes = bench.response(0).slopes(np.zeros(len(REGIONS)))
    assert (np.diag(slopes) > 0.7).all()
    for number in range(len(REGIONS) - 1):  # the whole brain's moves small regions by more than itself
        assert np.argmax(np.abs(slopes[:, number])) == number


def test_solving_for_volumes_undoes_the_response(bench):
    response = bench.response(0)
    wanted = np.resize([0.2, -0.2, 0.1], len(REGIONS)) * np.where(np.arange(len(REGIONS)) < 9, 1.0, 0.2)
    np.testing.assert_allclose(response.log_change(response.solve(wanted)), wanted, atol=1e-6)


def test_amplitudes_are_finite_far_beyond_the_last_visit(subjects):
    for subject in subjects:
        assert torch.isfinite(subject.amplitudes(96.0)).all()
