"""Claims about drawn people: they meet the table, and follow from (seed, index) alone."""

import numpy as np
import pytest

from neurolatent.phantom.oracle import fit_oracle, volume_features
from neurolatent.phantom.parameters import GROUPS
from neurolatent.phantom.people import KEPT_ANATOMIES, draw_people, median_motion_mm_per_min
from neurolatent.phantom.structures import MEMBERS, REGIONS, STRUCTURES, structure_log_volumes

VENTRICLE, HIPPOCAMPUS, GREY = (STRUCTURES.index(name) for name in ("ventricle", "hippocampus", "grey"))
CN, STABLE, CONVERTING, AD = range(len(GROUPS))


def _structures(people, months):
    return structure_log_volumes(people.log_volumes(np.full(len(people.index), months)))


def _percent_per_year(people, months_from, months_to):
    change = _structures(people, months_to) - _structures(people, months_from)
    return 100 * np.expm1(change * 12 / (months_to - months_from))


def _adjusted(people, chosen):
    """Log volumes at the first scan, less what age, sex and intracranial volume predict among the chosen."""
    female = np.array([sex == "F" for sex in people.sex])
    design = np.column_stack([np.ones(len(female)), people.age_years, female, np.log(people.intracranial_ml)])
    volumes = _structures(people, 0.0)
    return volumes - design @ np.linalg.lstsq(design[chosen], volumes[chosen], rcond=None)[0]


def _auc(score, positive):
    order = score.argsort().argsort() + 1
    ones = positive.sum()
    return (order[positive].sum() - ones * (ones + 1) / 2) / (ones * (~positive).sum())


def test_mean_rates_over_two_years_meet_the_table_within_a_tenth(groups, parameters):
    rates = _percent_per_year(groups, 0.0, 24.0)
    for number, name in enumerate(GROUPS):
        found, stated = rates[groups.group == number].mean(axis=0), 100 * np.expm1(parameters.rate[number])
        print(name, dict(zip(STRUCTURES, (found / stated).round(3).tolist(), strict=True)))
        np.testing.assert_allclose(found, stated, rtol=0.1)


def test_true_spreads_of_rates_meet_the_table_within_a_tenth(groups, parameters):
    rates = _percent_per_year(groups, 0.0, 24.0)
    for number, name in enumerate(GROUPS):
        found = rates[groups.group == number].std(axis=0)
        stated = 100 * parameters.rate_sd[number] * np.exp(parameters.rate[number])
        print(name, dict(zip(STRUCTURES, (found / stated).round(3).tolist(), strict=True)))
        np.testing.assert_allclose(found, stated, rtol=0.1)


def test_residuals_of_controls_have_the_tables_spreads_and_correlations(groups, parameters):
    controls = groups.group == CN
    residuals = _adjusted(groups, controls)[controls]
    np.testing.assert_allclose(residuals.std(axis=0), parameters.residual_sd, rtol=0.1)
    found = np.corrcoef(residuals.T)
    print("ventricle and grey", found[VENTRICLE, GREY])
    np.testing.assert_allclose(found, parameters.residual_correlation, atol=0.1)


def test_the_hippocampus_alone_separates_as_well_as_published(groups):
    controls = groups.group == CN
    loss = -_adjusted(groups, controls)[:, HIPPOCAMPUS]
    for name, patients, published in (
        ("AD", groups.group == AD, 0.90),
        ("MCI", (groups.group == STABLE) | (groups.group == CONVERTING), 0.75),
    ):
        found = _auc(loss[controls | patients], patients[controls | patients])
        print(name, found)
        assert found == pytest.approx(published, abs=0.02)


def test_the_oracle_separates_ad_from_controls_by_0_93(groups, parameters):
    either = (groups.group == CN) | (groups.group == AD)
    chances = fit_oracle(parameters, arm="balanced").p_ad(groups, np.zeros(len(groups.index)))
    found = _auc(chances[either], groups.group[either] == AD)
    print(found)
    assert found == pytest.approx(0.93, abs=0.01)


def test_ventricles_accelerate_as_published(groups):
    volumes = [np.exp(_structures(groups, months)[:, VENTRICLE]) for months in (0.0, 1.0, 35.0, 36.0)]
    faster = ((volumes[3] - volumes[2]) - (volumes[1] - volumes[0])) * 12 / 3  # mL per year, over three years
    means = [faster[groups.group == number].mean() for number in range(len(GROUPS))]
    print(dict(zip(GROUPS, np.round(means, 3).tolist(), strict=True)))
    np.testing.assert_allclose(means[:2], 0.0, atol=0.03)
    assert means[CONVERTING] == pytest.approx(0.27, rel=0.15)
    assert means[AD] == pytest.approx(0.88, rel=0.15)


def test_rates_turn_at_conversion_and_not_before(groups):
    chosen = np.flatnonzero((groups.group == CONVERTING) & (groups.conversion_months > 14))[:500]
    people = groups.take(chosen)

    def rate(months):
        return (
            structure_log_volumes(people.log_volumes(months + 0.5))
            - structure_log_volumes(people.log_volumes(months - 0.5))
        ) * 12

    long_before, before, after = (
        np.median(rate(people.conversion_months + shift)[:, HIPPOCAMPUS]) for shift in (-13.0, -7.0, 7.0)
    )
    assert abs(before - long_before) < 0.001
    assert after < before - 0.008


def test_regions_add_up_to_structures_that_differ_from_left_to_right(crowd, parameters):
    volumes = np.exp(crowd.log_volumes(np.zeros(len(crowd.index))))
    parts = volumes[:, list(MEMBERS["grey"])].sum(axis=1)
    np.testing.assert_allclose(np.log(parts), _structures(crowd, 0.0)[:, GREY])
    for part, stated in parameters.asymmetry.items():
        left, right = (volumes[:, REGIONS.index(f"{part}_{side}")] for side in ("left", "right"))
        between = np.log(left / right)
        assert between.mean() == pytest.approx(stated.mean, abs=0.01)
        assert between.std() == pytest.approx(stated.sd, rel=0.1)


def test_hypointensities_grow_with_age_and_are_more_in_ad(crowd):
    volumes = crowd.hypointensities_ml(np.zeros(len(crowd.index)))
    controls = crowd.group == CN
    for age, stated in ((65, 3.0), (80, 8.0)):
        assert np.median(volumes[controls & (abs(crowd.age_years - age) < 3)]) == pytest.approx(stated, rel=0.2)
    between = abs(crowd.age_years - 74) < 3
    assert np.median(volumes[between & (crowd.group == AD)]) > 1.2 * np.median(volumes[between & controls])
    later = crowd.hypointensities_ml(np.full(len(crowd.index), 36.0))
    assert (later[volumes < 40] / volumes[volumes < 40]).mean() == pytest.approx(
        np.exp(3 * np.log(8 / 3) / 15), rel=0.05
    )


def test_those_born_later_have_more_grey_matter(parameters):
    old, young = (
        draw_people(
            parameters.__class__(**{**vars(parameters), "enrolment_year": (year, year)}), seed=1,
            index=np.arange(50), arm="balanced",
        )
        for year in (2000.0, 2010.0)
    )  # fmt: skip
    np.testing.assert_allclose((_structures(young, 0.0) - _structures(old, 0.0))[:, GREY], np.log(1.003), rtol=1e-6)


def test_groups_meet_the_mix_and_sites_are_balanced(crowd, parameters):
    np.testing.assert_allclose(np.bincount(crowd.group) / len(crowd.group), parameters.mix, atol=0.01)
    shares = [np.mean(crowd.group[crowd.site == site] == AD) for site in range(3)]
    np.testing.assert_allclose(shares, np.mean(shares), atol=0.02)


def test_even_a_small_cohort_has_all_groups_at_all_sites(parameters):
    few = draw_people(parameters, seed=1, index=np.arange(40), arm="balanced")
    pairs = {(int(group), int(site)) for group, site in zip(few.group, few.site, strict=True)}
    assert {(group, site) for group in (CN, AD) for site in range(3)} <= pairs


@pytest.mark.parametrize(("arm", "low", "high"), [("balanced", 0.45, 0.55), ("confounded", 0.6, 0.7)])
def test_diagnosis_follows_from_site_in_the_confounded_arm_alone(parameters, arm, low, high):
    people = draw_people(parameters, seed=1, index=np.arange(4000), arm=arm)
    either = (people.group == CN) | (people.group == AD)
    site, is_ad = people.site[either], people.group[either] == AD
    share = np.array([is_ad[site == number].mean() for number in range(3)])[site]
    greater = (share[is_ad][:, None] > share[~is_ad]).mean() + 0.5 * (share[is_ad][:, None] == share[~is_ad]).mean()
    print(arm, greater)
    assert low <= greater <= high


def test_the_confounded_arm_has_the_stated_odds(parameters):
    people = draw_people(parameters, seed=1, index=np.arange(4000), arm="confounded")
    odds = [
        np.sum(people.group[people.site == site] == AD) / np.sum(people.group[people.site == site] == CN)
        for site in range(3)
    ]
    np.testing.assert_allclose(odds, [1.0, 2.0, 4.0], rtol=0.1)


def test_some_scanners_change_in_mid_study(crowd, parameters):
    changed = np.mean(
        [
            parameters.sites[crowd.site[row]].scanner(crowd.year(row, 0.0))
            is not parameters.sites[crowd.site[row]].scanner(crowd.year(row, 36.0))
            for row in range(1000)
        ]
    )
    assert 0.1 < changed < 0.5


def test_a_tenth_of_people_have_an_anatomy_that_is_kept_for_testing(crowd, parameters):
    assert np.isin(crowd.anatomy, KEPT_ANATOMIES).mean() == pytest.approx(parameters.kept_anatomy_share, abs=0.02)
    assert (np.bincount(crowd.anatomy, minlength=6) > 0).all()


def test_the_old_and_those_with_ad_move_more(crowd, parameters):
    rows = range(1000)
    medians = np.array([median_motion_mm_per_min(parameters, crowd, row, 0.0) for row in rows])
    ad, old = crowd.group[:1000] == AD, crowd.age_years[:1000] > 75
    assert medians[ad & old].mean() > medians[ad & ~old].mean() > medians[~ad & ~old].mean()


def test_differences_between_controls_of_different_ages_agree_with_change_over_time(crowd, parameters):
    controls = crowd.group == CN
    shares = (_structures(crowd, 0.0) - np.log(crowd.intracranial_ml)[:, None])[controls]
    slopes = [np.polyfit(crowd.age_years[controls], column, 1)[0] for column in shares.T]
    np.testing.assert_allclose(slopes, parameters.rate[0], atol=0.003)


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
    months = np.array([24.0, 24.0])
    np.testing.assert_array_equal(few.log_volumes(months), crowd.take(np.array([17, 4])).log_volumes(months))
    for row, number in enumerate((17, 4)):
        assert few.participant_id(row) == crowd.participant_id(number) == f"sub-S3P{number:04d}"
        assert (few.group[row], few.site[row], few.anatomy[row]) == (
            crowd.group[number],
            crowd.site[number],
            crowd.anatomy[number],
        )


def test_another_seed_gives_other_people_of_other_names(parameters):
    first, second = (draw_people(parameters, seed=seed, index=np.arange(50), arm="balanced") for seed in (1, 2))
    nought = np.zeros(50)
    assert not np.isclose(first.log_volumes(nought), second.log_volumes(nought)).any()
    assert not {first.participant_id(row) for row in range(50)} & {second.participant_id(row) for row in range(50)}


def test_what_the_oracle_sees_has_no_infinity(crowd):
    assert np.isfinite(volume_features(crowd, np.zeros(len(crowd.index)))).all()
