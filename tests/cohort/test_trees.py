"""Every descriptor reads its own tree, whatever befalls the tables on the way: rows come out, or one clear line."""

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurolatent.cohort.build import build_cohort
from neurolatent.cohort.descriptor import cohort_names
from neurolatent.cohort.visits import Visit
from neurolatent.errors import NeurolatentError
from neurolatent.workspace import Workspace
from tests.cohort.trees import PATIENTS, TREES

ONCE = {"ixi", "oasis1"}
ALL_CN = {"ixi"}
HALF_IS_AD = {"oasis1", "oasis2"}


def stand_in(path: Path, place: int, visit: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"image")


def tables_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix in {".csv", ".tsv"})


def told(visits: tuple[Visit, ...]) -> list[tuple]:
    return [(*v.key, v.months, v.age_years, v.sex, v.diagnosis, v.site, v.scanner_tesla, dict(v.extra)) for v in visits]


def test_there_is_a_tree_for_every_descriptor():
    assert {*TREES, "phantom"} == {*cohort_names()}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_gives_everybody_their_visits_ages_and_diagnoses(name: str, tmp_path: Path, workspace: Workspace):
    result = build_cohort(name, TREES[name](tmp_path / "source", stand_in), workspace)
    assert not result.exclusions
    people = sorted({visit.participant_id for visit in result.visits})
    assert len(people) == len(PATIENTS)
    for person, name_of in zip(PATIENTS, people, strict=True):
        own = [visit for visit in result.visits if visit.participant_id == name_of and visit.run == "1"]
        assert [visit.sex for visit in own] == [person.sex] * len(own)
        assert [visit.months for visit in own] == ([0.0] if name in ONCE else [0.0, 24.0])
        ages = [person.age_years + (0, 731 / 365.25)[place] for place in range(len(own))]
        assert [visit.age_years for visit in own] == pytest.approx(ages, abs=1.0 if name == "aibl" else 0.02)
        meaning = {"MCI": "AD"} if name in HALF_IS_AD else {}
        expected = ["CN"] * len(own) if name in ALL_CN else [meaning.get(dx, dx) for dx in person.diagnoses[: len(own)]]
        assert [visit.diagnosis for visit in own] == expected


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: write(tmp_path_factory.mktemp(name) / "source", stand_in) for name, write in TREES.items()}


MISHAPS = ("shuffled columns", "extra column", "byte-order mark", "CRLF", "quoted commas", "shuffled rows")
HARM = ("latin-1", "empty", "header only", "cut", "stray quote", "binary")


def befall(path: Path, mishap: str, draw: st.DataObject) -> bytes:
    delimiter = "\t" if path.suffix == ".tsv" else ","
    text = path.read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines(), delimiter=delimiter))
    if mishap == "shuffled columns":
        order = draw.draw(st.permutations(range(len(rows[0]))))
        rows = [[row[place] for place in order] for row in rows]
    elif mishap == "shuffled rows":
        rows = [rows[0], *draw.draw(st.permutations(rows[1:]))]
    elif mishap == "extra column":
        rows = [[*row, "Notes" if place == 0 else "Ünüsual"] for place, row in enumerate(rows)]
    elif mishap == "quoted commas":
        rows = [[*row, "Notes" if place == 0 else 'a, b; "c"\td'] for place, row in enumerate(rows)]
    if mishap == "latin-1":
        return (text.rstrip("\n") + "\n").encode().replace(b"\n", b"\xe9\n", 2)
    if mishap in {"empty", "header only", "cut", "stray quote", "binary"}:
        return {
            "empty": b"", "header only": text.partition("\n")[0].encode(), "cut": text[: len(text) * 2 // 3].encode(),
            "stray quote": text.replace("\n", '\n"', 2).encode(), "binary": b"\x00\xff\x1f" * 50,
        }[mishap]  # fmt: skip
    out = "\n".join(
        delimiter.join('"' + c.replace('"', '""') + '"' if set(c) & {'"', delimiter} else c for c in row)
        for row in rows
    )
    encoded = (out + "\n").replace("\n", "\r\n" if mishap == "CRLF" else "\n").encode()
    return b"\xef\xbb\xbf" + encoded if mishap == "byte-order mark" else encoded


@pytest.mark.parametrize("name", TREES)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_does_not_change_a_table_does_not_change_the_cohort(
    name: str, sources: dict, tmp_path: Path, data: st.DataObject
):
    root, workspace = sources[name], Workspace(tmp_path / "w")
    expected = told(build_cohort(name, root, workspace).visits)
    path, mishap = data.draw(st.sampled_from(tables_of(root))), data.draw(st.sampled_from(MISHAPS))
    original = path.read_bytes()
    try:
        path.write_bytes(befall(path, mishap, data))
        assert told(build_cohort(name, root, workspace).visits) == expected
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("name", TREES)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_table_gives_rows_or_one_clear_line(name: str, sources: dict, tmp_path: Path, data: st.DataObject):
    root, workspace = sources[name], Workspace(tmp_path / "w")
    path, harm = data.draw(st.sampled_from(tables_of(root))), data.draw(st.sampled_from(HARM))
    original = path.read_bytes()
    try:
        path.write_bytes(befall(path, harm, data))
        lines = outcome(name, root, workspace)
    finally:
        path.write_bytes(original)
    assert all(line and "\n" not in line for line in lines)


def outcome(name: str, root: Path, workspace: Workspace) -> list[str]:
    """Return the one line of the refusal, or the lines about scans left out when their number adds up."""
    try:
        result = build_cohort(name, root, workspace)
    except NeurolatentError as error:
        assert ": expected" in str(error)  # noqa: PT017 - either way out is right
        return [str(error)]
    assert len(result.visits) + len(result.exclusions) == result.counts.found
    return [str(row) for row in result.exclusions]
