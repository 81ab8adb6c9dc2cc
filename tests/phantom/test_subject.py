"""Claims about one person: the brain that is imaged has the volumes that were drawn."""

import numpy as np
import pytest
import torch

from neurolatent.phantom.anatomy import REGIONS
from neurolatent.phantom.body import standard_lattice
from neurolatent.phantom.lattice import COARSE, FINE, volume_change
from neurolatent.volume.space import Grid

AGREEMENT = 0.03


@pytest.mark.parametrize("months", [0.0, 12.0, 36.0])
def test_warped_volumes_agree_with_the_drawn_ones(bench, subjects, months):
    for subject in subjects:
        measured, skull_ml = subject.body.volumes_ml(
            subject.amplitudes(months), bench.points(standard_lattice(Grid(2.0)))
        )
        people, row = subject.people, subject.row
        drawn = np.exp(people.log_volumes(np.full(len(people.index), months))[row])
        ratio = measured.numpy() / skull_ml * people.intracranial_ml[row] / drawn
        print(subject.participant_id, months, dict(zip(REGIONS, (100 * (ratio - 1)).round(2).tolist(), strict=True)))
        np.testing.assert_allclose(ratio, 1.0, atol=AGREEMENT)


def test_a_person_at_one_time_and_back_at_another_is_where_it_was(bench, subjects):
    for subject in subjects:
        amplitudes = subject.amplitudes(60.0)
        places = bench.points(standard_lattice(Grid(4.0))).points
        back = subject.body.from_anatomy(amplitudes, subject.body.to_anatomy(amplitudes, places))
        apart = (back - places).norm(dim=0)
        assert apart.mean() < 0.04 * subject.body.shape.norm(dim=0).mean()
        assert apart.quantile(0.999) < 1.2


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
    assert (np.diag(slopes) > 0.8).all()
    for name in ("ventricle", "hippocampus", "entorhinal"):
        column = slopes[:, REGIONS.index(name)]
        assert np.argmax(np.abs(column)) == REGIONS.index(name)


def test_solving_for_volumes_undoes_the_response(bench):
    response = bench.response(0)
    wanted = np.array([0.6, -0.3, -0.2, -0.1, -0.08, -0.02])
    np.testing.assert_allclose(response.log_change(response.solve(wanted)), wanted, atol=1e-6)


def test_amplitudes_are_finite_far_beyond_the_last_visit(subjects):
    for subject in subjects:
        assert torch.isfinite(subject.amplitudes(96.0)).all()
