"""Leakage is refused where labels were used, and marked where they were not."""

from dataclasses import replace

import pytest

from neurolatent.errors import LeakageError


def test_weights_trained_elsewhere_are_certified(study):
    assert study.certify().certificate == "certified"


def test_an_unsupervised_stage_that_saw_test_people_makes_the_result_transductive(with_stages, make_stage):
    verdict = with_stages({"vae": make_stage(["sub-000", "sub-001"]), "denoiser": make_stage(["x"])}).certify()
    assert verdict.certificate == "transductive"
    assert "vae (2)" in verdict.reason
    assert "denoiser" not in verdict.reason


def test_a_supervised_stage_that_saw_test_people_is_refused_by_name_and_count(with_stages, make_stage):
    leaky = with_stages({"fine-tuning": make_stage(["sub-000", "sub-001", "sub-002"], supervised=True)})
    with pytest.raises(LeakageError, match="'fine-tuning' was fitted on 3 of the 48 test subjects"):
        leaky.certify()


def test_a_normalisation_fitted_on_test_people_is_refused_though_it_uses_no_labels(with_stages, make_stage):
    with pytest.raises(LeakageError, match="'normalisation' was fitted on 1 of the 48"):
        with_stages({"normalisation": make_stage(["sub-005"])}).certify()


def test_the_same_id_in_another_cohort_is_another_person(with_stages, make_stage):
    assert with_stages({"vae": make_stage(["sub-000"], cohort="other")}).certify().certificate == "certified"


def test_undisclosed_people_of_the_same_cohort_count_as_seen(with_stages, make_stage):
    assert "vae (48)" in with_stages({"vae": make_stage(["n/a"])}).certify().reason
    assert with_stages({"vae": make_stage(["n/a"], cohort="other")}).certify().certificate == "certified"


@pytest.mark.parametrize("cohort", ["adni", "bids", "table"])
def test_the_published_models_people_may_be_adnis_or_lie_in_any_layout(healthy_study, make_stage, cohort):
    """As `import-ldae` records them: somebody of ADNI."""
    visits = tuple(replace(visit, cohort=cohort) for visit in healthy_study.visits)
    card = replace(healthy_study.card, stages={"vae": make_stage(["n/a"], cohort="adni")})
    verdict = replace(healthy_study, card=card, visits=visits).certify()
    assert verdict.certificate == "transductive"
    assert f"vae ({len(healthy_study.test_subjects)})" in verdict.reason


def test_of_undisclosed_people_of_another_cohort_the_certificate_says_on_what_it_rests(with_stages, make_stage):
    verdict = with_stages({"vae": make_stage(["n/a"], cohort="adni")}).certify()
    assert verdict.certificate == "certified"
    assert verdict.reason.endswith("of any stage, unless they are in adni too, whose people are undisclosed.")


def test_brains_laid_otherwise_than_those_the_weights_saw_are_told_of(healthy_study):
    card = replace(healthy_study.card, preprocessing="o", registration="a non-linear warp (SyN)", accepts_affine=True)
    reason = replace(healthy_study, card=card).certify().reason
    assert reason.endswith(
        "The weights learnt from brains laid by a non-linear warp (SyN), and see brains laid otherwise."
    )
    assert "brains laid" not in healthy_study.certify().reason


def test_a_stage_that_names_nobody_may_have_seen_everybody(with_stages, make_stage):
    assert "vae (48)" in with_stages({"vae": make_stage([])}).certify().reason


def test_only_test_people_matter_on_a_holdout(healthy_study, make_stage):
    training = sorted(healthy_study.split.training_subjects())
    card = replace(healthy_study.card, stages={"probe": make_stage(training, supervised=True)})
    assert replace(healthy_study, card=card).certify().certificate == "certified"
