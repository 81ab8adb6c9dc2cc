import re
from pathlib import Path

import pytest

from neurolatent.cohort.columns import Columns
from neurolatent.cohort.descriptor import (
    Choice,
    Descriptor,
    DiagnosisRule,
    Expected,
    Images,
    Licence,
    Naming,
    TableFiles,
    cohort_names,
    load_descriptor,
    read_descriptor,
)
from neurolatent.cohort.readers import READERS, choose_reader
from neurolatent.content import content_folder
from neurolatent.errors import CohortError

CONTAINERS = {"expected", "licence"}


def edited(folder: Path, old: str, new: str, *, shipped: str = "bids") -> Path:
    text = (content_folder("cohorts") / f"{shipped}.toml").read_text(encoding="utf-8")
    assert old in text
    path = folder / f"{shipped}.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", cohort_names())
def test_every_shipped_descriptor_loads_and_names_a_known_reader(name: str):
    descriptor = load_descriptor(name)
    assert descriptor.name == name
    assert descriptor.reader in READERS
    assert descriptor.licence.cite


def test_the_three_first_cohorts_ship():
    assert {"ixi", "bids", "phantom"} <= set(cohort_names())


def test_only_the_phantom_is_a_simulation():
    assert [name for name in cohort_names() if load_descriptor(name).simulation] == ["phantom"]


def test_unknown_cohort_names_the_known_ones():
    with pytest.raises(CohortError, match=r"Unknown cohort 'ixl'; choose from \[.*'bids', 'ixi', .*'phantom'"):
        load_descriptor("ixl")


def test_unknown_reader_names_the_known_ones():
    with pytest.raises(CohortError, match=r"Unknown reader 'csv'; choose from \[.*'bids'.*'names'"):
        choose_reader("csv")


def test_unknown_key_is_refused_with_its_path_and_the_keys_that_are_known(tmp_path: Path):
    path = edited(tmp_path, 'sex = { names = ["sex", "gender"]', 'sex = { name = "x", names = ["sex", "gender"]')
    with pytest.raises(
        CohortError, match=r"bids.toml: columns.sex.name: expected one of \['codes', 'missing', 'names'\]"
    ):
        read_descriptor(path)


def test_unknown_top_level_key_is_refused(tmp_path: Path):
    path = edited(tmp_path, "simulation = false", "simulation = false\nsimulated = true")
    with pytest.raises(CohortError, match=r"bids.toml: simulated: expected one of .*'simulation'"):
        read_descriptor(path)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("simulation = false", 'simulation = "no"', r"bids.toml: simulation: .*boolean, got 'no'"),
        ('codes = { F = "F"', 'codes = { F = "X"', r"bids.toml: columns.sex.codes.F: .*'F' or 'M', got 'X'"),
        ('unit = "years"', 'unit = "decades"', r"bids.toml: columns.age.unit: .*got 'decades'"),
        ('patterns = ["', "patterns = 3 #", r"bids.toml: images.patterns: .*got 3"),
        ('title = "A BIDS data set"\n', "", r"bids.toml: title: expected a value, got none"),
        ("simulation = false", 'simulation = false\ncarry = ["Site"]', r"carry: should name columns .* not \['site'\]"),
        ('name = "bids"', 'name = "other"', r"name: expected the file's own name 'bids', got 'other'"),
        ("simulation = false", "simulation = maybe", r"bids.toml: expected TOML"),
    ],
)
def test_wrong_value_is_one_line_that_names_file_and_key(tmp_path: Path, old: str, new: str, match: str):
    with pytest.raises(CohortError, match=match) as caught:
        read_descriptor(edited(tmp_path, old, new))
    assert "\n" not in str(caught.value)


IXI_SITE = '"sub-IXI{participant}"'


@pytest.mark.parametrize(
    ("shipped", "old", "new", "match"),
    [
        ("bids", '"sub-*/anat/*_T1w.nii"', '"/data/*.nii"', r"images.patterns.0: should be a pattern .* got '/data/"),
        ("bids", '"sub-*/anat/*_T1w.nii"', '"**.nii"', r"images.patterns.0: should be a pattern .* got '\*\*.nii'"),
        ("bids", '"sub-*/anat/*_T1w.nii"', '""', r"images.patterns.0: should be a pattern .* got ''"),
        ("bids", '"sub-*/anat/*_T1w.nii"', '"../*.nii"', r"images.patterns.0: should be a pattern .* got '../\*.nii'"),
        ("table", '"*.tsv", "*.csv"', '"*.tsv", "/a/x.csv"', r"tables.scans.files.1: should be .* got '/a/x.csv'"),
        (
            "ixi",
            IXI_SITE,
            '"{participant:03d}"',
            r"images.naming: should put .* not '{participant:03d}'",
        ),
        ("ixi", IXI_SITE, '"{participant!x}"', r"images.naming: should put .* not '{participant!x}'"),
        ("ixi", IXI_SITE, '"{participant"', r"images.naming: expected '}'"),
        ("bids", 'F = "F", female', 'F = "F", f = "M", female', r"sex.codes: .* not 'F' 'F' and 'f' 'M'"),
        ("bids", 'CN = "CN", HC', 'CN = "CN", cn = "AD", HC', r"diagnosis.codes: .* not 'CN' 'CN' and 'cn' 'AD'"),
        ("adni", '"3 Tesla MRI" = 3.0', '"1.5 tesla MRI" = 3', r"scanner_tesla.codes: .* and '1.5 tesla MRI' 3.0"),
        (
            "bids",
            "column = {",
            'same_for_all = "CN"\ncolumn = {',
            r"diagnosis: should have .*'CN' and the column",
        ),
        ("ixi", "HH = 3.0", "HH = -3.0", r"scanner_tesla_by_site.HH: .* greater than 0, got -3.0"),
        ("ixi", "HH = 3.0", "HH = 30000", r"scanner_tesla_by_site.HH: .* less than or equal to 15, got 30000"),
        ("oasis1", "scanner_tesla = 1.5", "scanner_tesla = 0", r"scanner_tesla: .* greater than 0, got 0"),
        (
            "adni",
            '"3 Tesla MRI" = 3.0',
            '"3 Tesla MRI" = 30',
            r"scanner_tesla.codes.3 Tesla MRI: .* to 15, got 30",
        ),
        (
            "adni",
            '"%m/%d/%Y"] }\nentry',
            '"%Q"] }\nentry',
            r"columns.date.formats: should each tell .* got \['%Y-%m-%d', '%Q'\]",
        ),
        ("oasis1", "[0.0, 1.0, 0.0, -128.0]", "[1.0, 0.0, 0.0, -128.0]", r"analyze_affine: should lead to three axes"),
        ("adni", '"%m/%d/%Y"] }\nentry', '"%m/%d"] }\nentry', r"columns.date.formats: should each .* got .*'%m/%d'\]"),
    ],
)
def test_what_would_fail_or_mislead_later_is_refused_when_read(
    tmp_path: Path, shipped: str, old: str, new: str, match: str
):
    with pytest.raises(CohortError, match=rf"^{shipped}.toml: .*{match}") as caught:
        read_descriptor(edited(tmp_path, old, new, shipped=shipped))
    assert "\n" not in str(caught.value)


def for_testing(column: str, values: str = '["yes"]') -> str:
    return f"""carry = ["kept"]

[split]
test_only = {{ column = "{column}", values = {values} }}

[images]"""


@pytest.mark.parametrize(
    ("new", "match"),
    [
        (for_testing("site"), r"bids.toml: split.test_only.column: expected one of .*\['kept'\], got 'site'\. Add"),
        (for_testing("kept", "[]"), r"bids.toml: split.test_only.values: .*at least 1 item"),
        (
            for_testing("kept").replace("test_only", "tested"),
            r"bids.toml: split.tested: expected one of \['test_only'\]",
        ),
        (for_testing("kept").replace("values", "value"), r"split.test_only.values: expected a value, got none"),
    ],
)
def test_mark_of_people_for_testing_only_is_checked(tmp_path: Path, new: str, match: str):
    with pytest.raises(CohortError, match=match) as caught:
        read_descriptor(edited(tmp_path, "[images]", new))
    assert "\n" not in str(caught.value)


def test_broken_name_pattern_is_refused(tmp_path: Path):
    with pytest.raises(CohortError, match=r"images.naming.pattern: should be a regular expression"):
        read_descriptor(edited(tmp_path, r"(?P<participant>\d{3})", r"(?P<participant>\d{3}", shipped="ixi"))


def test_phantom_table_is_free_form_and_everything_else_is_not(tmp_path: Path):
    path = edited(tmp_path, "[licence]", '[phantom.rates]\nany = { deep = ["thing", 1.5] }\n\n[licence]')
    assert read_descriptor(path).phantom == {"rates": {"any": {"deep": ["thing", 1.5]}}}


def test_hash_follows_what_the_descriptor_says_and_not_how_it_is_written(tmp_path: Path):
    original = load_descriptor("bids").hash
    assert read_descriptor(edited(tmp_path, "[images]", "# a remark\n[images]")).hash == original
    assert read_descriptor(edited(tmp_path, '"age_years"', '"age_at_scan"')).hash != original


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(CohortError, match=r"mine.toml: expected a cohort descriptor, found no file"):
        load_descriptor(str(tmp_path / "mine.toml"))


def test_every_key_is_explained():
    text = (content_folder("cohorts") / "README.md").read_text(encoding="utf-8")
    parts = [Descriptor, Images, Naming, Choice, TableFiles, Columns, DiagnosisRule, Licence, Expected]
    keys = {name for part in parts for name in part.model_fields}
    written = {word for name in re.findall(r"`([\w.]+)", text) for word in name.split(".")}
    assert sorted(keys - written - CONTAINERS) == []
