"""Figures show the numbers that the tables state."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure as Sheet
from sklearn.metrics import roc_auc_score

from neurolatent.errors import TableError
from neurolatent.report.columns import Columns, read_columns
from neurolatent.report.drawing import sheet, to_svg
from neurolatent.report.figures import CURVE_POINTS, mean_curve, name_line_ends, span_months


def test_the_area_under_the_drawn_curve_is_the_mean_of_the_folds_areas() -> None:
    rng = np.random.default_rng(0)
    truth, fold = rng.integers(0, 2, 600), np.repeat(["1", "2", "3"], 200)
    score = truth + rng.normal(0, 1, 600) + 5 * (fold == "2")
    texts = {"truth": truth, "fold": fold, "code": score}
    columns = Columns("predictions.tsv", {name: tuple(map(str, values)) for name, values in texts.items()})
    areas = [roc_auc_score(truth[fold == name], score[fold == name]) for name in "123"]
    area = np.trapezoid(mean_curve(columns, "code"), CURVE_POINTS)
    assert area == pytest.approx(np.mean(areas), abs=0.005)


@pytest.mark.parametrize(
    ("group", "span"), [("span 24 months", 24), ("span 12", 12), ("all", None), ("spanner 3", None)]
)
def test_a_span_is_read_from_its_group(group: str, span: int | None) -> None:
    assert span_months(group) == span


def test_names_at_line_ends_never_touch_and_stay_beside_the_axes() -> None:
    axes = Sheet().subplots()
    axes.set_ylim(0, 1)
    name_line_ends(axes, [(0.97, "a", "k"), (0.98, "b", "k"), (0.985, "c", "k"), (0.1, "d", "k")], gap=0.1)
    heights = sorted(text.xy[1] for text in axes.texts)
    assert min(np.diff(heights)) >= 0.1 - 1e-9
    assert heights[-1] <= 1.0 + 1e-9


def test_the_same_drawing_gives_the_same_bytes() -> None:
    def draw() -> bytes:
        with sheet(1.0) as page:
            page.subplots().plot([0, 1], [1, 0], clip_on=True)
            return to_svg(page)

    assert draw() == draw()
    assert b"<dc:date>" not in draw()


def test_missing_values_are_nan_and_words_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "steps.tsv"
    path.write_text("steps\tssim\n2\tn/a\n5\t0.9\n")
    np.testing.assert_array_equal(read_columns(path, expected=("ssim",)).numbers("ssim"), [np.nan, 0.9])
    path.write_text("steps\tssim\n2\tfine\n")
    with pytest.raises(TableError, match=r"steps.tsv, ssim: expected numbers or n/a, got other text"):
        read_columns(path, expected=("ssim",)).numbers("ssim")


def test_a_short_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scans.tsv").write_text("a\tb\n1\n")
    with pytest.raises(TableError, match="got rows of different lengths"):
        read_columns(tmp_path / "scans.tsv", expected=("a",))
