"""The cohort's numbers, by hand."""

from types import MappingProxyType

import pytest

from neurolatent.cohort.description import (
    Gap,
    gaps_of,
    groups_of,
    largest_difference,
    largest_rate_difference,
    people_of,
    stages_of,
)
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.sidecar import Counts
from neurolatent.cohort.visits import Visit


def scan(person: str, months: float, diagnosis: str | None = None, *, run: str = "1", **values: object) -> Visit:
    own = values.pop("own", {})
    told = {"age_years": None, "sex": None, "site": None, "scanner_tesla": None} | values
    return Visit(
        person, f"ses-{months:g}", run, months, age_precision_years=None, diagnosis=diagnosis, dx_rule=None, cohort="c",
        mask_source=None, image="x", extra=MappingProxyType(own), **told,
    )  # fmt: skip


VISITS = [
    scan("b", 12.0, "MCI", age_years=71.0, sex="F", scanner_tesla=3.0, own={"mmse": "25"}),
    scan("b", 0.0, "CN", age_years=70.0, sex="F", scanner_tesla=1.5, own={"mmse": "29"}),
    scan("a", 0.0, "AD", age_years=80.0, sex="M", site="A", own={"mmse": "n/a"}),
    scan("a", 0.0, "AD", run="2", sex="M", site="A", own={"mmse": "20"}),
    scan("c", 3.0, own={"mmse": "n/a"}),
]


def test_people_are_grouped_by_their_first_diagnosis():
    groups = groups_of(people_of(VISITS))
    assert [(group.name, len(group.people)) for group in groups] == [("CN", 1), ("AD", 1), ("not stated", 1)]
    (normal, ill, unknown) = groups
    assert (normal.ages_years, normal.women, normal.followed_months) == ([70.0], (1, 1), [12.0])
    assert (ill.followed_months, ill.scores("mmse"), ill.scans_by("site")) == ([], [], {"A": 2})
    assert normal.scans_by("scanner_tesla") == {"1.5": 1, "3": 1}
    assert (unknown.women, unknown.ages_years) == ((0, 0), [])


def test_standardised_differences_by_hand():
    # Means 70 and 74, variances 4 and 16: 4 / sqrt(10).
    assert largest_difference([[68.0, 70.0, 72.0], [70.0, 74.0, 78.0]]) == pytest.approx(4 / 10**0.5)
    # A third group further off is the one that counts; groups of one person have no spread.
    assert largest_difference([[68.0, 70.0, 72.0], [70.0, 74.0, 78.0], [88.0, 90.0, 92.0], [5.0]]) == pytest.approx(
        10.0
    )
    assert largest_difference([[68.0, 70.0], [5.0]]) is None
    # Half against a quarter: 0.25 / sqrt((0.25 + 0.1875) / 2).
    assert largest_rate_difference([(2, 4), (1, 4), (0, 0)]) == pytest.approx(0.25 / (0.4375 / 2) ** 0.5)
    assert largest_rate_difference([(0, 4), (4, 4)]) is None


def test_gaps_are_counted_by_scan_and_by_person():
    gaps = {gap.column: gap for gap in gaps_of(VISITS)}
    assert gaps["age_years"] == Gap("age_years", (2, 5), (1, 3))
    assert gaps["site"] == Gap("site", (3, 5), (2, 3))
    assert gaps["mmse"] == Gap("mmse", (2, 5), (1, 3))
    assert gaps["diagnosis"] == Gap("diagnosis", (1, 5), (1, 3))


def test_stations_add_up_from_found_to_kept():
    stages = [*["match"] * 3, *["choice"] * 2, "check", *["filter"] * 4]
    lost = [Exclusion("x", "x", "because", "note", stage) for stage in stages]
    assert stages_of(Counts(20, 17, 10, 5, 6), lost) == {
        "found": 20,
        "matched": 17,
        "chosen": 15,
        "fit": 14,
        "kept": 10,
    }
