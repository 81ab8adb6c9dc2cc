"""Numbers are printed with the digits that their intervals support."""

import pytest

from neurolatent.report import numbers


@pytest.mark.parametrize(
    ("half_widths", "decimals"), [([0.04], 3), ([0.8], 2), ([2.5], 1), ([40.0], 0), ([1e-9], 5), ([], 3), ([0.0], 3)]
)
def test_two_digits_of_the_interval_decide_the_decimals(half_widths: list[float], decimals: int) -> None:
    assert numbers.decimals_of(half_widths) == decimals


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.5, 1, "−0.5"), (-0.04, 1, "0.0"), (float("nan"), 2, "–"), (12345.0, 0, "12\u202f345"), (1.0, 2, "1.00")],
)
def test_minus_is_a_minus_and_nothing_is_minus_zero(value: float, decimals: int, text: str) -> None:
    assert numbers.number(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (5.0, "5"),
        (0.97134, "0.9713"),
        (0.971, "0.971"),
        (-0.3127, "−0.3127"),
        (2e-5, "2×10⁻⁵"),
        ("n/a", "n/a"),
    ],
)
def test_facts_are_short(value: float | str, text: str) -> None:
    assert numbers.short(value) == text


def test_lists_read_as_in_a_sentence() -> None:
    assert [numbers.listing("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
