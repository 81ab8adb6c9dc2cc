"""A remark says in one line how grave it is, where, what was expected, what came and what to do."""

from neurolatent.contract.remark import Place, Remark, describe, from_error, gravest_first
from neurolatent.errors import ScanError
from neurolatent.workspace import ScanKey

KEY = ScanKey("sub-01", "ses-1", "1")


def remark(severity="error", scan="sub-01/ses-1/1", got="two") -> Remark:
    return Remark(severity, "rule", Place(scan=scan), "one", got, "Do this.")


def test_a_place_is_named_as_far_as_it_is_known():
    assert str(Place("visits.tsv", 3, "sex", "sub-01/ses-1/1")) == "visits.tsv line 3, sex, sub-01/ses-1/1"
    assert str(Place("visits.json", column="source_root")) == "visits.json, source_root"
    assert str(Place(scan="sub-01/ses-1/1")) == "sub-01/ses-1/1"
    assert str(remark()) == "error: sub-01/ses-1/1: expected one, got two. Do this."


def test_an_error_is_taken_apart_and_its_image_is_not_named_again():
    error = ScanError("x_2019-01-02.nii: expected one 3D volume, got shape (2, 2). Extract one, e.g. `cut --at 0`.")
    found = from_error(error, "axes", KEY, image="x_2019-01-02.nii")
    assert (found.expected, found.got) == ("one 3D volume", "shape (2, 2)")
    assert found.way_out == "Extract one, e.g. `cut --at 0`."
    assert str(found.where) == "sub-01/ses-1/1"
    assert str(from_error(error, "axes", KEY, image="y.nii").where) == "x_2019-01-02.nii, sub-01/ses-1/1"


def test_an_error_of_another_form_loses_nothing():
    assert from_error(ScanError("no such thing"), "axes", KEY, image="x").got == "no such thing"


def test_errors_come_first_and_else_the_order_stays():
    rows = [remark("note"), remark("error", "a"), remark("warning"), remark("error", "b")]
    assert [str(r.where)[:1] for r in gravest_first(rows)][:2] == ["a", "b"]
    assert [r.severity for r in gravest_first(rows)] == ["error", "error", "warning", "note"]


def test_what_many_scans_share_is_one_line_with_three_of_them():
    lines = describe([remark(scan=f"s{number}") for number in range(5)] + [remark(got="three")])
    assert lines == [
        "error: s0; s1; s2; and 2 more: expected one, got two. Do this.",
        "error: sub-01/ses-1/1: expected one, got three. Do this.",
    ]
