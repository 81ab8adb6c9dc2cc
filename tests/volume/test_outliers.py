"""Claims about which scans are flagged, and in which words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolatent.volume.outliers import MIN_SCANS, RULES, Rule, flag_outliers, kind
from neurolatent.workspace import ScanKey

LOW = {"contrast_to_noise": Rule(("low",))}


def _key(person: int, run: int = 1) -> ScanKey:
    return ScanKey(f"sub-{person:03d}", "ses-1", str(run))


def _cohort(values, measure="contrast_to_noise"):
    return {_key(person): {measure: _as_float(value)} for person, value in enumerate(values)}


def _as_float(value):
    return None if value is None else float(value)


def _flagged(table, rules) -> set[ScanKey]:
    return {key for key, reasons in flag_outliers(table, rules).items() if reasons}


def test_a_known_outlier_is_told_in_these_words():
    # Median 1.32, MAD 0.1271: 0.6745 × (0.41 − 1.32) / 0.1271 = −4.83.
    around = [1.32 + sign * 0.1271 for sign in (-1, 1)] * 5
    table = _cohort([0.41, *around, 1.32, 1.32, 1.8])
    reasons = flag_outliers(table, LOW)
    assert reasons[_key(0)] == ("low contrast_to_noise: 0.41, cohort median 1.32 (robust z -4.8)",)
    assert all(not found for key, found in reasons.items() if key != _key(0))
    assert set(reasons) == set(table)


def test_a_limit_needs_no_cohort_and_says_what_was_expected():
    reasons = flag_outliers({_key(0): {"coverage": 0.93}, _key(1): {"template_scale": 1.05}})
    assert reasons == {
        _key(0): ("coverage 0.93, expected at least 0.98",),
        _key(1): ("template_scale 1.05, expected at most 0.92",),
    }


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("low contrast_to_noise: 0.41, cohort median 1.32 (robust z -4.8)", "low contrast_to_noise"),
        ("coverage 0.93, expected at least 0.98", "coverage"),
        ("contrast_to_noise -0.2, expected at least 0", "contrast_to_noise"),
    ],
)
def test_the_kind_of_a_reason_is_what_comes_before_its_colon_or_number(reason, expected):
    assert kind(reason) == expected


@pytest.mark.parametrize("measure", list(RULES))
def test_only_the_bad_direction_counts(measure):
    rule = RULES[measure]
    middle = 1500.0 if measure == "mask_volume_ml" else 0.5
    good = list(middle * np.linspace(0.999, 1.001, 40))
    low, high = _cohort([middle / 1.9, *good], measure), _cohort([middle * 1.9, *good], measure)
    cohort_only = {measure: Rule(rule.bad, matters_from=rule.matters_from, scale=rule.scale)}
    for table, direction in ((low, "low"), (high, "high")):
        expected = {f"{direction} {measure}"} if direction in rule.bad else set()
        assert {kind(reason) for reason in flag_outliers(table, cohort_only)[_key(0)]} == expected


def test_fewer_than_ten_scans_are_no_cohort():
    few = [0.1, *np.linspace(1, 1.1, MIN_SCANS - 2)]
    assert not _flagged(_cohort(few), LOW)
    assert _flagged(_cohort([*few, 1.05]), LOW) == {_key(0)}


def test_many_bad_scans_of_one_person_do_not_excuse_one_another():
    good = {_key(person): {"contrast_to_noise": value} for person, value in enumerate(np.linspace(1, 1.2, 11), start=1)}
    bad = {_key(0, run): {"contrast_to_noise": 0.1 + 0.05 * run} for run in range(1, 12)}
    assert _flagged(good | bad, LOW) == set(bad)


def test_where_most_are_the_same_one_that_differs_still_stands_out():
    assert _flagged(_cohort([0.2, 0.99, *[1.0] * 18]), LOW) == {_key(0)}
    assert not _flagged(_cohort([1.0] * 20), LOW)


def test_what_is_too_little_to_matter_is_no_outlier():
    table = _cohort([0.996, 0.981, *[1.0] * 28], "coverage")
    assert _flagged(table, RULES) == {_key(1)}


def test_missing_measures_are_passed_over():
    table = _cohort([None, float("nan"), 0.1, *np.linspace(1, 1.1, 12)]) | {_key(99): {}}
    reasons = flag_outliers(table)
    assert {kind(reason) for reason in reasons[_key(2)]} == {"low contrast_to_noise"}
    assert reasons[_key(0)] == reasons[_key(1)] == reasons[_key(99)] == ()
    assert flag_outliers({}) == {}


def test_a_factor_counts_the_same_up_and_down_on_the_log_scale():
    rule = {"mask_volume_ml": Rule(("low", "high"), scale="log")}
    volumes = 1400 * np.exp(np.linspace(-0.2, 0.2, 31))
    for factor, flagged in ((1.5, False), (1.8, True)):
        for value in (1400 * factor, 1400 / factor):
            assert bool(flag_outliers(_cohort([value, *volumes], "mask_volume_ml"), rule)[_key(0)]) == flagged
    assert flag_outliers(_cohort([0.0, *volumes], "mask_volume_ml"), rule)[_key(0)] == ()


@settings(deadline=None, max_examples=50)
@given(
    values=st.lists(st.integers(-50, 50), min_size=12, max_size=40),
    factor=st.sampled_from([0.25, 2.0, 1024.0]),
    repeats=st.integers(1, 3),
)
def test_neither_the_unit_nor_equal_repeats_change_who_is_flagged(values, factor, repeats):
    plain = {"contrast_to_noise": Rule(("low", "high"))}
    once = _flagged(_cohort(values), plain)
    scaled = _flagged(_cohort([factor * value for value in values]), plain)
    repeated = {
        _key(person, run): {"contrast_to_noise": float(value)}
        for person, value in enumerate(values)
        for run in range(1, repeats + 1)
    }
    assert scaled == once
    assert {key.participant_id for key in _flagged(repeated, plain)} == {key.participant_id for key in once}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(900, 1100), min_size=12, max_size=60))
def test_without_repeats_the_score_is_that_of_iglewicz_and_hoaglin(values):
    array = np.array(values, dtype=float)
    away = array - np.median(array)
    mad = np.median(np.abs(away))
    if mad == 0:
        return
    expected = {_key(person) for person in np.flatnonzero(0.6745 * away / mad < -3.5)}
    assert _flagged(_cohort(values), LOW) == expected
