"""What is handed on names nobody, keeps to the terms, and is whole or absent."""

import csv
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import pytest
import torch
from pypdf import PdfReader

from neurolatent import cli
from neurolatent.analysis.certificate import certify
from neurolatent.analysis.finding import read_finding
from neurolatent.analysis.generation import Generator
from neurolatent.cohort.sidecar import PooledCohort, read_sidecar, write_sidecar
from neurolatent.cohort.visits import read_visits
from neurolatent.errors import CohortError, SettingsError, TableError
from neurolatent.model.weights import load_autoencoder, read_card, write_card
from neurolatent.sharing import Wanted, share
from neurolatent.sharing import samples as samples_module
from neurolatent.sharing.identifiers import Names
from neurolatent.volume.cache import open_cache
from neurolatent.workspace import Workspace
from tests.report.conftest import PEOPLE, RUN

WANTED = {"weights": {"weights": True}, "samples": {"samples": 1}}


@pytest.fixture
def workspace(shareable: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(shareable.root, tmp_path / "private")
    return Workspace(tmp_path / "private")


def hand_on(workspace: Workspace, folder: Path, **wanted: object) -> list[Path]:
    return share(workspace, folder, run=RUN, wanted=Wanted(**wanted), device="cpu")


def key_of(workspace: Workspace) -> dict[str, str]:
    rows = list(csv.reader(workspace.sharing_key_tsv.read_text().splitlines(), delimiter="\t"))
    return dict(rows[1:])


def text_of(path: Path) -> str:
    if path.suffix == ".pdf":
        return "".join(page.extract_text() for page in PdfReader(path).pages)
    return path.read_bytes().decode("latin-1")


def test_no_file_names_anybody_and_the_key_stays_behind(workspace: Workspace, tmp_path: Path):
    files = hand_on(workspace, tmp_path / "out", weights=True)
    people = {visit.participant_id for visit in read_visits(workspace.visits_tsv)}
    texts = {path.name: text_of(path) for path in files}
    assert "ses-M" not in texts["report.html"] + texts["report.pdf"]
    assert [(name, one) for name, text in texts.items() for one in people if one.removeprefix("sub-") in text] == []
    assert not [path for path in files if path.name in {"sharing_key.tsv", "visits.tsv", "visits.json"}]
    assert {*key_of(workspace)} >= people
    assert workspace.sharing_key_tsv.stat().st_mode & 0o077 == 0


def test_tables_tell_the_same_of_the_same_people_in_an_order_that_does_not_tell_who_they_are(
    workspace: Workspace, tmp_path: Path
):
    hand_on(workspace, tmp_path / "out")
    key = key_of(workspace)

    def rows(path: Path) -> list[tuple[str, ...]]:
        return [tuple(row) for row in csv.reader(path.read_text().splitlines(), delimiter="\t")]

    before = rows(workspace.findings(RUN, "classify_ad") / "predictions.tsv")
    after = rows(tmp_path / "out" / "findings" / "classify_ad" / "predictions.tsv")
    assert before[0] == after[0]
    sessions = {"ses-M00": "ses-1", "ses-M12": "ses-2", "ses-M24": "ses-3"}
    known = [
        (key[row[0]], sessions[row[1]], *row[2:]) if row[0] in key else ("sub-unnamed", *row[1:]) for row in before[1:]
    ]
    assert Counter(known) == Counter(after[1:])
    assert [row[0] for row in after[1:]] == sorted(row[0] for row in after[1:])


def test_a_finding_is_as_it_was_but_for_names_and_pictures_of_single_brains(workspace: Workspace, tmp_path: Path):
    hand_on(workspace, tmp_path / "out")
    kept = read_finding(tmp_path / "out" / "findings" / "reconstruct" / "finding.json")
    own = read_finding(workspace.findings(RUN, "reconstruct") / "finding.json")
    assert own.maps
    assert kept == replace(own, maps={})
    assert not list((tmp_path / "out").rglob("*.nii.gz"))


def test_identifiers_stay_and_newcomers_get_their_own(workspace: Workspace, tmp_path: Path):
    hand_on(workspace, tmp_path / "one")
    first = key_of(workspace)
    text = workspace.sharing_key_tsv.read_text().splitlines()
    workspace.sharing_key_tsv.write_text("\n".join(text[:-2]) + "\n")
    hand_on(workspace, tmp_path / "two")
    second = key_of(workspace)
    kept = {person for person in first if first[person] == second[person]}
    assert len(kept) == len(first) - 2
    assert len(set(second.values())) == len(second)


def test_identifiers_of_two_workspaces_with_the_same_people_differ(shareable: Workspace, tmp_path: Path):
    keys: list[set[str]] = []
    for name in ("a", "b"):
        shutil.copytree(shareable.root, tmp_path / name)
        hand_on(Workspace(tmp_path / name), tmp_path / f"{name}-out")
        keys.append({*key_of(Workspace(tmp_path / name)).values()})
    assert not keys[0] & keys[1]


def test_scans_that_were_left_out_are_counted_and_neither_named_nor_quoted(workspace: Workspace, tmp_path: Path):
    sidecar = read_sidecar(workspace.visits_json)
    assert sidecar.exclusions
    hand_on(workspace, tmp_path / "out")
    page = text_of(tmp_path / "out" / "report.html")
    for one in sidecar.exclusions:
        assert Path(one.scan).name not in page
        assert one.reason not in page
    assert "Expected an age of 1 to 120 years" in page


def test_an_exported_card_keeps_cohort_and_count_alone_and_anybody_of_the_cohort_counts_as_seen(
    workspace: Workspace, tmp_path: Path
):
    hand_on(workspace, tmp_path / "out", weights=True)
    model, card = load_autoencoder(tmp_path / "out" / "weights", device=torch.device("cpu"))
    own = read_card(workspace.model(RUN))
    assert model.preset.name == RUN
    for name, stage in card.stages.items():
        assert stage.subjects == stage.validation_subjects == (("phantom", "n/a"),)
        assert stage.undisclosed == {"phantom": PEOPLE}
        assert stage.subjects_hash != own.stages[name].subjects_hash
    visits = read_visits(workspace.visits_tsv)
    assert certify(card, visits, {visits[0].participant_id}).certificate == "transductive"


def test_samples_are_brains_alike_to_nobody(workspace: Workspace, tmp_path: Path):
    files = hand_on(workspace, tmp_path / "out", samples=2)
    record = json.loads((tmp_path / "out" / "shared.json").read_text())
    assert [one["file"] for one in record["samples"]] == ["sample-001.nii.gz", "sample-002.nii.gz"]
    assert all(one["likeness"] < 0.9 for one in record["samples"])
    drawn = [nib.load(path).get_fdata() for path in files if path.suffix == ".gz"]
    assert drawn[0].shape == (48, 60, 48)
    assert (drawn[0] != drawn[1]).any()


def test_a_sample_that_is_a_scan_of_somebody_is_refused_and_nothing_is_written(
    workspace: Workspace, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(samples_module, "nearest", lambda *_: [0.2, 0.97])
    with pytest.raises(SettingsError, match=r"alike to no scan by 0.9, got one alike by 0.97"):
        hand_on(workspace, tmp_path / "out", samples=2)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".partial-*"))


def test_copies_of_scans_are_found_among_samples(workspace: Workspace, tmp_path: Path, monkeypatch):
    volumes = open_cache(workspace.cache(4.0)).volumes
    copies = 0.8 * volumes[[0, 5]].astype("float32")
    monkeypatch.setattr(Generator, "sample", lambda *_, **__: copies)
    with pytest.raises(SettingsError, match=r"expected brains of nobody.* alike by (0\.99|1\.00)"):
        hand_on(workspace, tmp_path / "out", samples=2)


@pytest.mark.parametrize("good", ["weights", "samples"])
def test_terms_that_do_not_allow_it_are_kept(workspace: Workspace, tmp_path: Path, good: str):
    sidecar = read_sidecar(workspace.visits_json)
    other = {"weights": "samples", "samples": "weights"}[good]
    write_sidecar(workspace.visits_json, replace(sidecar, shares=(other,)))
    with pytest.raises(SettingsError, match=f"whose descriptor does not say share_{good} = true"):
        hand_on(workspace, tmp_path / "out", **WANTED[good])
    assert not (tmp_path / "out").exists()
    assert not workspace.sharing_key_tsv.exists()
    assert hand_on(workspace, tmp_path / "out", **WANTED[other])


def test_one_cohort_of_a_pool_that_does_not_allow_it_is_enough(workspace: Workspace, tmp_path: Path):
    sidecar = read_sidecar(workspace.visits_json)
    names = {field for field in PooledCohort.__dataclass_fields__ if field != "exclusions"}
    member = PooledCohort(**{name: getattr(sidecar, name) for name in names}, exclusions=0)
    other = replace(member, cohort="adni", shares=())
    write_sidecar(workspace.visits_json, replace(sidecar, cohort="adni+phantom", members=(member, other)))
    _also_trained_on(workspace, ("adni", "sub-1"))
    with pytest.raises(SettingsError, match="got cohort 'adni'"):
        hand_on(workspace, tmp_path / "out", weights=True)


def test_a_cohort_that_the_model_met_elsewhere_counts_too(workspace: Workspace, tmp_path: Path):
    _also_trained_on(workspace, ("ixi", "sub-IXI002"))
    assert hand_on(workspace, tmp_path / "out", weights=True)
    with pytest.raises(SettingsError, match=r"got 1 of 25 whose scans are not here"):
        hand_on(workspace, tmp_path / "more", samples=1)
    _also_trained_on(workspace, ("mystudy", "sub-1"))
    with pytest.raises(SettingsError, match="got cohort 'mystudy'"):
        hand_on(workspace, tmp_path / "more", weights=True)


def test_weights_from_elsewhere_are_not_ours_to_hand_on(workspace: Workspace, tmp_path: Path):
    card = read_card(workspace.model(RUN))
    write_card(workspace.model(RUN), replace(card, imported={"vae": "0" * 64}))
    with pytest.raises(SettingsError, match="expected a model trained here"):
        hand_on(workspace, tmp_path / "out", weights=True)


def _also_trained_on(workspace: Workspace, person: tuple[str, str]) -> None:
    card = read_card(workspace.model(RUN))
    stages = {name: replace(stage, subjects=(*stage.subjects, person)) for name, stage in card.stages.items()}
    write_card(workspace.model(RUN), replace(card, stages=stages))


def test_a_folder_that_is_there_or_lies_in_the_workspace_is_refused(workspace: Workspace, tmp_path: Path):
    (tmp_path / "out").mkdir()
    with pytest.raises(SettingsError, match="expected a new folder"):
        hand_on(workspace, tmp_path / "out")
    with pytest.raises(SettingsError, match="expected a folder outside the workspace"):
        hand_on(workspace, workspace.root / "shared")


def test_fewer_than_no_samples_are_refused(workspace: Workspace, tmp_path: Path):
    with pytest.raises(SettingsError, match="expected a number of brains, got -1"):
        hand_on(workspace, tmp_path / "out", samples=-1)


def test_a_damaged_key_is_not_written_over(workspace: Workspace, tmp_path: Path):
    workspace.sharing_key_tsv.write_text("participant_id\tshared_id\nsub-1\tsub-A\nsub-2\tsub-A\n")
    with pytest.raises(TableError, match="without it nobody can be found again"):
        hand_on(workspace, tmp_path / "out")
    assert "sub-2" in workspace.sharing_key_tsv.read_text()


def test_the_command_lists_what_it_wrote(workspace: Workspace, tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["share", str(workspace.root), str(tmp_path / "out"), "--weights"])
    assert not ended.value.code
    listed = capsys.readouterr().err
    assert "shared.json" in listed
    assert "report.pdf" in listed
    assert "which is private" in listed


@pytest.mark.parametrize("name", ["sub-John_Smith", "sub-Anna-Mueller.1949"])
def test_no_part_of_a_long_name_stays(name: str):
    names = Names({name: "sub-AAAAAAAA", "sub-John": "sub-BBBBBBBB"}, {(name, "ses-I12348"): "ses-1"})
    told = names.of(f"{name}: 3 of 4; {name}/ses-I12348/1, {name}. sub-John and sub-Johnny, ses-2")
    assert told == "sub-AAAAAAAA: 3 of 4; sub-AAAAAAAA/ses-1/1, sub-AAAAAAAA. sub-BBBBBBBB and sub-unnamed, ses-2"


def test_people_whose_names_cannot_be_told_from_words_are_refused(workspace: Workspace, tmp_path: Path):
    text = workspace.visits_tsv.read_text().replace("sub-S1P0000\t", "SmithJ\t")
    workspace.visits_tsv.write_text(text)
    split = workspace.split_json.read_text().replace("sub-S1P0000", "SmithJ")
    workspace.split_json.write_text(split)
    with pytest.raises((TableError, CohortError)):
        hand_on(workspace, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_without_findings_is_nothing_to_hand_on(workspace: Workspace, tmp_path: Path):
    with pytest.raises(SettingsError, match="expected findings of the model 'other' to hand on, found none"):
        share(workspace, tmp_path / "out", run="other", wanted=Wanted(), device="cpu")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("folder", ["report.html/below", "link"])
def test_a_folder_that_cannot_be_made_is_one_line(workspace: Workspace, tmp_path: Path, folder: str):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "report.html").write_text("a file")
    with pytest.raises(SettingsError, match=r"expected a (new )?folder"):
        hand_on(workspace, tmp_path / folder)


def test_a_workspace_that_is_not_there_is_refused_and_not_made(tmp_path: Path):
    with pytest.raises(SystemExit) as ended:
        cli.main(["share", str(tmp_path / "nowhere"), str(tmp_path / "out")])
    assert ended.value.code == 1
    assert not (tmp_path / "nowhere").exists()
