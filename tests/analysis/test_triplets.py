"""Which three visits make a triplet, and how they are drawn."""

from collections import Counter

import pytest

from neurolatent.analysis.triplets import draw_triplets, find_triplets, nearest_span


@pytest.mark.parametrize(
    ("months", "span"),
    [(12.0, 12), (14.9, 12), (15.1, 18), (22.0, 24), (39.0, 36), (39.1, None), (8.9, None), (9.0, 12)],
)
def test_a_span_is_the_nearest_within_three_months(months, span):
    assert nearest_span(months) == span


def test_every_three_visits_within_a_span_are_a_triplet(study):
    found = [t for t in find_triplets(study.usable) if t.participant_id == "sub-000"]
    described = {(t.before.months, t.target.months, t.after.months, t.span) for t in found}
    assert described == {(0, 6, 12, 12), (0, 6, 24, 24), (0, 12, 24, 24), (6, 12, 24, 18)}


def test_time_fraction_and_nearest_scan(study):
    by_target = {(t.before.months, t.target.months, t.after.months): t for t in find_triplets(study.usable)}
    triplet = by_target[0, 6, 24]
    assert (triplet.fraction, triplet.nearest.months, triplet.gap_months) == (0.25, 0, 6)
    assert by_target[6, 12, 24].nearest.months == 6
    assert by_target[0, 12, 24].nearest.months == 0


def test_repeats_of_a_visit_are_not_visits(study):
    from dataclasses import replace

    repeats = [replace(visit, run="2", months=visit.months + 0.5) for visit in study.usable]
    assert find_triplets([*repeats, *study.usable]) == find_triplets(study.usable)


def test_the_draw_spreads_over_spans_and_people(study):
    drawn = draw_triplets(find_triplets(study.usable), most=30, seed=1)
    assert Counter(triplet.span for triplet in drawn) == {12: 10, 18: 10, 24: 10}
    assert len({triplet.participant_id for triplet in drawn}) == 30
    assert drawn == draw_triplets(find_triplets(study.usable), most=30, seed=1)
    assert drawn != draw_triplets(find_triplets(study.usable), most=30, seed=2)


def test_all_are_drawn_where_there_are_few(study):
    possible = find_triplets(study.usable[:8])
    assert len(draw_triplets(possible, most=40, seed=1)) == len(possible)
