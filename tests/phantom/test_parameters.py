"""Claims about the table of numbers."""

from pathlib import Path

import numpy as np
import pytest

from neurolatent.content import content_folder
from neurolatent.errors import CohortError
from neurolatent.phantom.parameters import load_parameters, parse_parameters

TEXT = (content_folder("cohorts") / "phantom.toml").read_text(encoding="utf-8")


def _altered(tmp_path: Path, old: str, new: str) -> Path:
    assert old in TEXT
    path = tmp_path / "phantom.toml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    return path


def test_true_spread_is_the_stated_share_of_the_published_one(parameters):
    hippocampus, ad = 1, 3
    assert parameters.rate_sd[ad, hippocampus] == pytest.approx(0.6 * 2.3 / 96.0)


def test_a_table_read_back_from_the_truth_gives_the_same_numbers(parameters):
    again = parse_parameters("people.json", parameters.table)
    np.testing.assert_array_equal(again.rate, parameters.rate)
    assert again.fingerprint == parameters.fingerprint


def test_a_number_without_a_source_is_refused(tmp_path):
    path = _altered(tmp_path, 'women = { value = 0.5, source = "chosen" }', "women = { value = 0.5 }")
    with pytest.raises(CohortError, match=r"phantom\.women: expected an entry with its source"):
        load_parameters(path)


def test_a_misspelt_group_is_refused_and_named(tmp_path):
    path = _altered(tmp_path, "mix = { CN = 0.40", "mix = { NC = 0.40")
    with pytest.raises(CohortError, match=r"phantom\.mix: expected exactly .* got \['AD', 'NC'"):
        load_parameters(path)


def test_shares_that_do_not_add_up_are_refused(tmp_path):
    path = _altered(tmp_path, "mix = { CN = 0.40", "mix = { CN = 0.60")
    with pytest.raises(CohortError, match="add up to 1"):
        load_parameters(path)


def test_a_text_for_a_number_is_refused(tmp_path):
    path = _altered(tmp_path, "women = { value = 0.5", 'women = { value = "half"')
    with pytest.raises(CohortError, match="expected a finite number, got 'half'"):
        load_parameters(path)


def test_impossible_correlations_are_refused(tmp_path):
    path = _altered(tmp_path, "grey = { brain = 0.75", "grey = { brain = -0.99")
    with pytest.raises(CohortError, match="positive definite"):
        load_parameters(path)
