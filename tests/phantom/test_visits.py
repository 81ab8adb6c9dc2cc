"""Claims about the schedule of visits."""

import numpy as np

from neurolatent.phantom.parameters import GROUPS
from neurolatent.phantom.visits import draw_sessions


def _all(parameters, people, rows, **options):
    return [draw_sessions(parameters, people, row, **{"visits": 5, "repeats": 0.2} | options) for row in rows]


def test_everyone_has_a_first_visit_at_nought_months(parameters, crowd):
    for sessions in _all(parameters, crowd, range(200)):
        assert (sessions[0].session_id, sessions[0].months) == ("ses-M00", 0.0)
        assert [session.months for session in sessions] == sorted(session.months for session in sessions)


def test_visits_keep_to_the_schedule_within_two_months(parameters, crowd):
    for sessions in _all(parameters, crowd, range(200)):
        for session in sessions:
            assert abs(session.months - int(session.session_id[5:])) <= 2.0


def test_the_impaired_miss_more_visits(parameters, crowd):
    kept = {group: [] for group in GROUPS}
    for row, sessions in enumerate(_all(parameters, crowd, range(2000))):
        kept[GROUPS[crowd.group[row]]].append(len(sessions))
    assert np.mean(kept["AD"]) < np.mean(kept["CN"]) - 0.2


def test_a_shorter_schedule_has_the_same_visits_less_some(parameters, crowd):
    for long, short in zip(
        _all(parameters, crowd, range(50)), _all(parameters, crowd, range(50), visits=2, repeats=0.0), strict=True
    ):
        months = {session.session_id: session.months for session in long}
        assert {session.session_id for session in short} <= {"ses-M00", "ses-M24"}
        assert all(months[session.session_id] == session.months for session in short)


def test_the_stated_share_of_people_is_scanned_twice_on_a_day(parameters, crowd):
    repeated = [any(session.runs == 2 for session in sessions) for sessions in _all(parameters, crowd, range(1000))]
    assert abs(np.mean(repeated) - 0.2) < 0.04
