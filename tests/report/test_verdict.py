"""The verdict follows from the paired differences alone, and says so in words."""

import re
from collections.abc import Sequence

import pytest

from neurolatent.analysis.finding import Estimate, Finding
from neurolatent.report.verdict import missing_verdict, overall, read_difference, verdict


def row(role: str, model: str, value: float, half: float, **options: object) -> Estimate:
    plain = {"name": "ROC-AUC", "unit": "", "n_subjects": 60, "n_scans": 70, "interval_method": "bootstrap"}
    plain |= {"higher_is_better": True}
    return Estimate(role=role, model=model, value=value, low=value - half, high=value + half, **(plain | options))


def finding(rows: Sequence[Estimate]) -> Finding:
    return Finding(
        protocol="classify_ad", title="", cohort={}, split_hash="", weights_hash="", certificate="certified",
        certificate_reason="", seed=1, simulation=True, settings={}, estimates=rows, versions={},
    )  # fmt: skip


def against(*differences: tuple[str, float, float], **options: object) -> Finding:
    """A code against the named baselines, with value and half width of each difference."""
    rows = [row("model", "code", 0.8, 0.05, versus=differences[0][0], **options)]
    rows += [row("baseline", name, 0.7, 0.05, **options) for name, _, _ in differences]
    rows += [
        row("difference", f"code − {name}", value, half, versus=name, **options) for name, value, half in differences
    ]
    return finding(rows)


@pytest.mark.parametrize(
    ("low", "high", "higher_is_better", "expected"),
    [
        (0.01, 0.2, True, "better"),
        (0.01, 0.2, False, "worse"),
        (-0.2, -0.01, True, "worse"),
        (-0.2, -0.01, False, "better"),
        (-0.1, 0.2, True, "undecided"),
        (0.0, 0.2, True, "undecided"),
        (-0.2, 0.0, False, "undecided"),
        (float("nan"), float("nan"), True, "undecided"),
    ],
)
def test_only_an_interval_without_zero_decides(
    *, low: float, high: float, higher_is_better: bool, expected: str
) -> None:
    one = Estimate("difference", "a − b", "x", (low + high) / 2, low, high, "", 9, 9, "bootstrap")
    assert read_difference(one, higher_is_better=higher_is_better) == expected


def test_a_win_is_called_a_win_with_its_numbers_and_n() -> None:
    found = verdict(against(("PCA", 0.04, 0.03)), title="AD")
    assert (found.word, found.tone) == ("Beats", "win")
    assert found.sentence == "Code beats PCA (ROC-AUC higher by 0.040 [0.010,\u00a00.070]). n = 60 people, 70 scans."
    assert found.headline == "ROC-AUC 0.800 [0.750,\u00a00.850]"


def test_a_loss_is_called_a_loss() -> None:
    found = verdict(against(("PCA", -0.04, 0.03)), title="AD")
    assert (found.word, found.tone) == ("Loses", "loss")
    assert "loses to PCA (ROC-AUC lower by 0.040 [0.010,\u00a00.070])" in found.sentence


def test_an_open_comparison_claims_nothing() -> None:
    found = verdict(against(("PCA", 0.01, 0.03)), title="AD")
    assert (found.word, found.tone) == ("Undecided", "open")
    assert "no difference from PCA (ROC-AUC difference 0.010 [−0.020,\u00a00.040]) could be shown" in found.sentence
    assert not re.search("beats|loses", found.sentence)


def test_less_error_is_a_win() -> None:
    found = verdict(against(("mean age", -3.0, 1.0), name="MAE", unit="years", higher_is_better=False), title="Age")
    assert found.word == "Beats"
    assert "MAE lower by 3.0 years [2.0,\u00a04.0]" in found.sentence


def test_one_loss_among_wins_is_not_hidden() -> None:
    found = verdict(against(("mean", 0.2, 0.05), ("PCA", -0.2, 0.05)), title="AD")
    assert (found.word, found.tone) == ("Loses 1 of 2", "loss")


def test_a_win_beside_an_open_comparison_is_not_a_win_over_all() -> None:
    found = verdict(against(("mean", 0.2, 0.05), ("PCA", 0.0, 0.05)), title="AD")
    assert (found.word, found.tone) == ("Beats 1 of 2", "open")


def test_falling_short_of_a_ceiling_is_no_loss() -> None:
    rows = [*against(("PCA", 0.04, 0.03)).estimates, row("ceiling", "oracle", 0.95, 0.02)]
    rows.append(row("difference", "code − oracle", -0.15, 0.02, versus="oracle"))
    assert verdict(finding(rows), title="AD").word == "Beats"


def test_a_baseline_compared_only_on_a_subset_still_counts() -> None:
    rows = [*against(("PCA", 0.2, 0.05)).estimates]
    rows += against(("noise", -0.2, 0.05), group="scans with noise").estimates
    found = verdict(finding(rows), title="AD")
    assert found.word == "Loses 1 of 2"
    assert "noise on scans with noise" in found.sentence


def test_a_subset_is_left_out_where_everyone_was_compared() -> None:
    rows = [*against(("PCA", 0.2, 0.05)).estimates, *against(("PCA", -0.2, 0.05), group="span 12 months").estimates]
    assert verdict(finding(rows), title="AD").word == "Beats"


def test_a_second_quantity_does_not_change_the_verdict() -> None:
    rows = [*against(("PCA", 0.2, 0.05)).estimates, *against(("PCA", -0.2, 0.05), name="PR-AUC").estimates]
    assert verdict(finding(rows), title="AD").word == "Beats"


def test_without_a_difference_nothing_is_claimed() -> None:
    rows = [row("model", "code", 0.8, 0.05, versus="PCA"), row("baseline", "PCA", 0.7, 0.05)]
    assert verdict(finding(rows), title="AD").word == "Not compared"


def test_the_sum_counts_wins_losses_and_open_ones() -> None:
    found = [verdict(against(("PCA", value, 0.05)), title="") for value in (0.2, 0.3, -0.2, 0.0)]
    found.append(missing_verdict("x", "", ""))
    expected = (
        "Of 4 analyses, the model beats all its baselines in 2, loses to at least one in 1 and is undecided in 1."
    )
    assert overall(found).replace("\u00a0", " ") == expected
