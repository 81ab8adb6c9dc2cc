"""Claims about drawn people: they meet the table, and follow from (seed, index) alone."""

import numpy as np
import pytest

from neurolatent.phantom.anatomy import REGIONS
from neurolatent.phantom.oracle import oracle_features
from neurolatent.phantom.parameters import GROUPS
from neurolatent.phantom.people import draw_people

VENTRICLE, HIPPOCAMPUS, GREY = (REGIONS.index(name) for name in ("ventricle", "hippocampus", "grey"))


def _percent_per_year(people, months_from, months_to):
    count = len(people.index)
    change = people.log_volumes(np.full(count, months_to)) - people.log_volumes(np.full(count, months_from))
    return 100 * np.expm1(change * 12 / (months_to - months_from))


def _residuals(values, features):
    design = np.column_stack([np.ones(len(features)), features])
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def _auc(score, positive):
    order = score.argsort().argsort() + 1
    ones = positive.sum()
    return (order[positive].sum() - ones * (ones + 1) / 2) / (ones * (~positive).sum())


@pytest.mark.parametrize("group", GROUPS)
def test_mean_rates_over_two_years_meet_the_table_within_a_tenth(crowd, parameters, group):
    number = GROUPS.index(group)
    rates = _percent_per_year(crowd, 0.0, 24.0)[crowd.group == number].mean(axis=0)
    np.testing.assert_allclose(rates, 100 * np.expm1(parameters.rate[number]), rtol=0.1)


@pytest.mark.parametrize("group", GROUPS)
def test_spreads_of_rates_meet_the_table_within_a_tenth(crowd, parameters, group):
    number = GROUPS.index(group)
    spread = crowd.rate[crowd.group == number].std(axis=0)
    np.testing.assert_allclose(spread, parameters.rate_sd[number], rtol=0.1)


def test_groups_meet_the_mix_and_sites_are_balanced(crowd, parameters):
    np.testing.assert_allclose(np.bincount(crowd.group) / len(crowd.group), parameters.mix, atol=0.01)
    assert np.mean(crowd.group[crowd.site == 0] == 3) == pytest.approx(
        np.mean(crowd.group[crowd.site == 1] == 3), abs=0.02
    )


def test_even_a_small_cohort_has_all_groups_at_both_sites(parameters):
    few = draw_people(parameters, seed=1, index=np.arange(40), arm="balanced")
    pairs = {(int(group), int(site)) for group, site in zip(few.group, few.site, strict=True)}
    assert {(0, 0), (0, 1), (3, 0), (3, 1)} <= pairs


def test_the_confounded_arm_sends_patients_to_one_site(parameters):
    people = draw_people(parameters, seed=1, index=np.arange(2000), arm="confounded")
    odds = [
        np.sum(people.group[people.site == site] == 3) / np.sum(people.group[people.site == site] == 0)
        for site in (0, 1)
    ]
    np.testing.assert_allclose(odds, [1.0, 4.0], rtol=0.1)


def test_differences_between_controls_of_different_ages_agree_with_change_over_time(crowd, parameters):
    controls = crowd.group == 0
    shares = (crowd.log_volume - np.log(crowd.intracranial_ml)[:, None])[controls]
    slopes = [np.polyfit(crowd.age_years[controls], shares[:, region], 1)[0] for region in range(len(REGIONS))]
    np.testing.assert_allclose(slopes, parameters.rate[0], atol=0.0025)


def test_residuals_of_controls_meet_the_table(crowd, parameters):
    controls = crowd.group == 0
    features = oracle_features(crowd, np.zeros(len(crowd.index)))[controls]
    residuals = _residuals(features[:, : len(REGIONS)], features[:, len(REGIONS) :])
    np.testing.assert_allclose(residuals.std(axis=0), parameters.residual_sd, rtol=0.1)
    assert np.corrcoef(residuals[:, VENTRICLE], residuals[:, GREY])[0, 1] == pytest.approx(-0.5, abs=0.06)


def test_hippocampus_alone_separates_ad_about_as_well_as_published(crowd):
    features = oracle_features(crowd, np.zeros(len(crowd.index)))
    chosen = (crowd.group == 0) | (crowd.group == 3)
    residual = _residuals(features[chosen][:, HIPPOCAMPUS], features[chosen][:, len(REGIONS) :])
    assert _auc(-residual, crowd.group[chosen] == 3) == pytest.approx(0.90, abs=0.03)


def test_ventricles_of_ad_accelerate_as_stated_and_those_of_controls_hardly(crowd):
    def second_derivative(group):
        volumes = [
            np.exp(crowd.log_volumes(np.full(len(crowd.index), months))[:, VENTRICLE]) for months in (6.0, 12.0, 18.0)
        ]
        return ((volumes[0] - 2 * volumes[1] + volumes[2]) / 0.25)[crowd.group == group].mean()

    assert second_derivative(3) == pytest.approx(0.88, rel=0.1)
    assert second_derivative(2) == pytest.approx(0.27, rel=0.1)
    assert abs(second_derivative(0)) < 0.12


def test_converters_turn_and_all_others_keep_their_diagnosis(crowd):
    for row in range(200):
        first, last = crowd.diagnosis(row, 0.0), crowd.diagnosis(row, 48.0)
        expected = {"CN": ("CN", "CN"), "sMCI": ("MCI", "MCI"), "cMCI": ("MCI", "AD"), "AD": ("AD", "AD")}
        assert (first, last) == expected[GROUPS[crowd.group[row]]]


def test_every_age_lies_within_the_limits_at_every_visit(crowd):
    assert crowd.age_years.min() >= 55
    assert crowd.age_years.max() + 3 <= 90


def test_a_person_depends_on_neither_the_size_nor_the_order_of_the_cohort(crowd, parameters):
    few = draw_people(parameters, seed=3, index=np.array([17, 4]), arm="balanced")
    for row, number in enumerate((17, 4)):
        np.testing.assert_array_equal(few.log_volume[row], crowd.log_volume[number])
        np.testing.assert_array_equal(few.rate[row], crowd.rate[number])
        assert few.participant_id(row) == crowd.participant_id(number) == f"sub-S3P{number:04d}"
        assert (few.group[row], few.site[row], few.anatomy[row]) == (
            crowd.group[number],
            crowd.site[number],
            crowd.anatomy[number],
        )


def test_another_seed_gives_other_people_of_other_names(parameters):
    first, second = (draw_people(parameters, seed=seed, index=np.arange(50), arm="balanced") for seed in (1, 2))
    assert not np.isclose(first.log_volume, second.log_volume).any()
    assert not {first.participant_id(row) for row in range(50)} & {second.participant_id(row) for row in range(50)}
