from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurolatent.cohort.visits import COLUMNS, Visit, image_path, read_visits, write_visits
from neurolatent.errors import ScanError, TableError

VISIT = Visit(
    participant_id="sub-01",
    session_id="ses-M06",
    run="1",
    months=6.2,
    age_years=70.25,
    age_precision_years=0.01,
    sex="F",
    diagnosis="MCI",
    dx_rule="as given",
    site=None,
    scanner_tesla=1.5,
    cohort="test",
    mask_source=None,
    image="sub-01/scan.nii.gz",
    extra=MappingProxyType({"group": "sMCI"}),
)


def changed(path: Path, column: str, text: str) -> Path:
    write_visits(path, [VISIT])
    header, row = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    row[header.index(column)] = text
    path.write_text("\n".join("\t".join(cells) for cells in (header, row)) + "\n", encoding="utf-8")
    return path


number = st.floats(0, 99).map(lambda x: float(f"{x:.6g}"))


@given(
    months=st.integers(0, 3000).map(lambda n: n / 10),
    age=st.none() | st.floats(1, 120).map(lambda x: float(f"{x:.6g}")),
    tesla=st.none() | number,
    site=st.none() | st.text("abc \t\n\"'é", min_size=1).filter(lambda s: s != "n/a"),
    sex=st.sampled_from(["F", "M", None]),
)
def test_a_visit_is_read_as_it_was_written(tmp_path_factory, months, age, tesla, site, sex):
    visit = replace(VISIT, months=months, age_years=age, scanner_tesla=tesla, site=site, sex=sex)
    path = tmp_path_factory.mktemp("v") / "visits.tsv"
    write_visits(path, [visit])
    assert read_visits(path) == (visit,)


def test_missing_is_written_as_bids_does(tmp_path: Path):
    write_visits(tmp_path / "visits.tsv", [VISIT])
    header, row = (tmp_path / "visits.tsv").read_text(encoding="utf-8").splitlines()
    assert header.split("\t") == [*COLUMNS, "group"]
    assert dict(zip(header.split("\t"), row.split("\t"), strict=True))["site"] == "n/a"


@pytest.mark.parametrize(
    ("column", "text", "match"),
    [
        ("months", "n/a", r"visits.tsv line 2, months: expected a value, got 'n/a'"),
        ("months", "nan", r"visits.tsv line 2, months: expected a number or n/a, got 'nan'"),
        ("age_years", "old", r"visits.tsv line 2, age_years: expected a number or n/a, got 'old'"),
        ("age_years", "0", r"visits.tsv line 2, age_years: expected an age of 1 to 120 years, got 0"),
        ("age_years", "400", r"visits.tsv line 2, age_years: expected an age of 1 to 120 years, got 400"),
        ("sex", "f", r"visits.tsv line 2, sex: expected one of \['F', 'M'\] or n/a, got 'f'"),
        ("diagnosis", "SMC", r"visits.tsv line 2, diagnosis: expected one of .* got 'SMC'"),
        ("participant_id", "../../etc", r"participant_id: expected letters, digits and -_.\+, got '../../etc'"),
        ("session_id", "..", r"session_id: expected letters, digits and -_.\+, got '..'"),
        ("image", "a\tb", r"visits.tsv line 2: expected as many cells as columns"),
    ],
)
def test_a_bad_cell_is_named(tmp_path: Path, column: str, text: str, match: str):
    with pytest.raises(TableError, match=match):
        read_visits(changed(tmp_path / "visits.tsv", column, text))


def test_twice_the_same_key_is_refused(tmp_path: Path):
    write_visits(tmp_path / "visits.tsv", [VISIT, replace(VISIT, image="other.nii.gz")])
    with pytest.raises(TableError, match=r"\(participant, session, run\) once, got sub-01/ses-M06/1 twice"):
        read_visits(tmp_path / "visits.tsv")


def test_absent_table_names_the_command(tmp_path: Path):
    with pytest.raises(TableError, match=r"no table of scans. Make it with `neurolatent cohort build NAME SOURCE"):
        read_visits(tmp_path / "visits.tsv")


def test_lacking_column_is_named(tmp_path: Path):
    (tmp_path / "visits.tsv").write_text("participant_id\tsession_id\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"lacking \['run', 'months'"):
        read_visits(tmp_path / "visits.tsv")


@pytest.mark.parametrize("image", ["../x.nii", "/etc/passwd", "a/../../x.nii", "link/x.nii"])
def test_an_image_may_not_leave_its_source(tmp_path: Path, image: str):
    source = tmp_path / "source"
    source.mkdir()
    (source / "link").symlink_to(tmp_path)
    with pytest.raises(ScanError, match="expected an image inside"):
        image_path(source, image)


def test_a_source_that_is_itself_a_link_is_fine(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x.nii").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert image_path(tmp_path / "link", "x.nii").read_bytes() == b"x"
