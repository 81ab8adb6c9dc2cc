"""What a person's rows contradict each other in is told where it is, and nothing else is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolatent.contract.cells import Entry
from neurolatent.contract.people import check_person
from neurolatent.contract.table import check_table
from neurolatent.workspace import ScanKey

AGES = "Correct age_years or months, or state the age_precision_years that the ages have."
SESSION = "Correct one of them, or give the scan its own session."
PLANTED = {
    "rows out of order": (
        [
            (4, "months", "6.0"),
            (4, "session_id", "ses-later"),
            (4, "age_years", "70.6"),
            (4, "diagnosis", "CN"),
        ],
        "warning",
        "visits.tsv line 4, months, sub-01/ses-later/1",
        (
            "expected a person's rows in order of time, got month 6 after month 12.1 on line 3. "
            "Correct the months, or sort the rows."
        ),
    ),
    "sessions out of order": (
        [(2, "session_id", "ses-M36")],
        "warning",
        "visits.tsv line 3, session_id, sub-01/ses-M12/1",
        (
            "expected sessions numbered in order of time, got ses-M12 later than ses-M36 on line 2. "
            "Correct the months, or the session's name."
        ),
    ),
    "a session on two days": (
        [(6, "session_id", "ses-M00"), (6, "run", "2")],
        "warning",
        "visits.tsv line 6, months, sub-02/ses-M00/2",
        f"expected one months a session, got 12 here and 0 on line 5. {SESSION}",
    ),
    "two diagnoses in a session": (
        [
            (6, "session_id", "ses-M00"),
            (6, "run", "2"),
            (6, "months", "0"),
            (6, "age_years", "64.5"),
            (6, "diagnosis", "CN"),
        ],
        "warning",
        "visits.tsv line 6, diagnosis, sub-02/ses-M00/2",
        f"expected one diagnosis a session, got CN here and AD on line 5. {SESSION}",
    ),
    "another sex": (
        [(3, "sex", "M")],
        "error",
        "visits.tsv line 3, sex, sub-01/ses-M12/1",
        (
            "expected one sex a person, got M here and F on 2 other rows. "
            "Correct it, or give the scan its own participant_id."
        ),
    ),
    "age backwards": (
        [(6, "age_years", "63.5")],
        "error",
        "visits.tsv line 6, age_years, sub-02/ses-M12/1",
        (
            "expected an age that rises with time since line 5, got -1.00 years of age in 1.00 years of time, "
            f"where ages as precise as these allow 0.21 between them. {AGES}"
        ),
    ),
    "another year of birth": (
        [(3, "age_years", "76.1")],
        "error",
        "visits.tsv line 3, age_years, sub-01/ses-M12/1",
        (
            "expected the year of birth of line 2, got +6.00 years of age in 1.01 years of time, "
            f"where ages as precise as these allow 0.21 between them. {AGES}"
        ),
    ),
    "age at the wrong rate": (
        [(6, "age_years", "66.2")],
        "warning",
        "visits.tsv line 6, age_years, sub-02/ses-M12/1",
        (
            "expected an age that rises as fast as time since line 5, got +1.70 years of age in 1.00 years of time, "
            f"where ages as precise as these allow 0.21 between them. {AGES}"
        ),
    ),
    "dementia that becomes mild": (
        [(6, "diagnosis", "MCI")],
        "warning",
        "visits.tsv line 6, diagnosis, sub-02/ses-M12/1",
        (
            "expected a diagnosis that does not go back, got MCI after AD on line 5. "
            "Check both rows; a reversion that is true may stay."
        ),
    ),
    "dementia that goes away": (
        [(6, "diagnosis", "CN")],
        "warning",
        "visits.tsv line 6, diagnosis, sub-02/ses-M12/1",
        (
            "expected a diagnosis that does not go back, got CN after AD on line 5. "
            "Check both rows; a reversion that is true may stay."
        ),
    ),
    "impairment that goes away": (
        [(2, "diagnosis", "MCI")],
        "warning",
        "visits.tsv line 3, diagnosis, sub-01/ses-M12/1",
        (
            "expected a diagnosis that does not go back, got CN after MCI on line 2. "
            "Check both rows; a reversion that is true may stay."
        ),
    ),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_contradiction_between_rows_is_told_where_it_is(spoil, kind):
    changes, severity, where, what = PLANTED[kind]
    found = [(r.severity, str(r.where), r.what) for r in check_table(spoil(*changes)).remarks]
    assert found == [(severity, where, what)]


def test_a_wide_precision_or_a_missing_diagnosis_contradicts_nothing(spoil):
    wide = [(line, "age_precision_years", "0.5") for line in (5, 6)]
    assert not check_table(spoil((6, "age_years", "66.2"), (2, "diagnosis", "n/a"), *wide)).remarks


def test_whole_years_without_a_precision_may_jump(spoil):
    unstated = [(line, "age_precision_years", "n/a") for line in (2, 3, 4)]
    ages = [(2, "age_years", "70"), (3, "age_years", "72"), (4, "age_years", "72")]
    assert not check_table(spoil(*unstated, *ages)).remarks


@settings(deadline=None)
@given(
    age=st.floats(20, 90),
    months=st.lists(st.integers(0, 1200), min_size=1, max_size=6, unique=True),
    errors=st.lists(st.floats(-1, 1), min_size=6, max_size=6),
    precision=st.floats(0.01, 2),
)
def test_ages_within_their_precision_are_never_told(age, months, errors, precision):
    times = [month / 10 for month in sorted(months)]
    entries = [
        Entry(
            line=line,
            key=ScanKey("sub-01", f"ses-{line}", "1"),
            months=round(time, 1),
            age_years=age + time / 12 + error * precision,
            age_precision_years=precision,
            sex="F",
            diagnosis="CN",
            cohort="bids",
            image=None,
        )
        for line, (time, error) in enumerate(zip(times, errors, strict=False), start=2)
    ]
    assert not check_person(entries, "visits.tsv")
