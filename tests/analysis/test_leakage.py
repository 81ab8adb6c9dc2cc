"""Planted leaks are found, by name, by image and by stage; a certificate of other inputs refuses nothing."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from neurolatent import cli, cohort_steps, steps
from neurolatent.analysis.leakage import certify_workspace, read_certification, refuse_failed
from neurolatent.analysis.leakage.certify import _of_rounds
from neurolatent.analysis.leakage.evidence import Evidence
from neurolatent.analysis.leakage.images import find_twins, other_names
from neurolatent.cohort.splits import Round, Split, make_split, read_split, write_split
from neurolatent.cohort.visits import ORIGINAL_ID, Visit, read_visits, write_visits
from neurolatent.errors import LeakageError, SettingsError, WeightsError
from neurolatent.model.weights import Card, StageRecord, write_card
from neurolatent.provenance import write_json
from neurolatent.volume.likeness import _inside
from neurolatent.volume.records import FORMAT_VERSION, Measures, ScanFiles
from neurolatent.workspace import ScanKey, Workspace

SHARES = {"train": 0.5, "validation": 0.1, "test": 0.4}
PEOPLE = 20


def visits_of(cohort: str, people: Sequence[str], sessions: int = 2) -> list[Visit]:
    missing = dict.fromkeys(
        ("age_years", "age_precision_years", "sex", "diagnosis", "dx_rule", "site", "scanner_tesla", "mask_source")
    )
    return [
        Visit(name, f"ses-{n}", "1", 12.0 * n, cohort=cohort, image=f"2011-06-02/{name}_{n}.nii", **missing)
        for name in people
        for n in range(sessions)
    ]


def prints_of(visits: Sequence[Visit], *, seed: int = 0) -> dict[ScanKey, str]:
    """Give each person a pattern, and each scan a little noise."""
    length, rng = int(_inside().sum()), np.random.default_rng(seed)
    patterns = {visit.participant_id: rng.normal(0, 32, length) for visit in visits}
    return {visit.key: as_print(patterns[visit.participant_id] + rng.normal(0, 4, length)) for visit in visits}


def as_print(values: np.ndarray) -> str:
    return np.rint(values).clip(-127, 127).astype(np.int8).tobytes().hex()


def write_prints(workspace: Workspace, prints: Mapping[ScanKey, str]) -> None:
    """Leave the records that preprocessing leaves."""
    workspace.cache(8.0).mkdir(parents=True, exist_ok=True)
    for key, text in prints.items():
        record = {
            "format_version": FORMAT_VERSION,
            "inputs_sha256": {},
            "together_sha256": {},
            "recipe_hash": "",
            "mask_source": "given",
            **dict.fromkeys(Measures.__dataclass_fields__, 1.0),
            "scan_from_standard": np.eye(4).tolist(),
            "flags": [],
            "content_fingerprint": text,
        }
        write_json(ScanFiles(workspace.derivatives, key, "8").record, record)


Make = Callable[..., Workspace]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a workspace with a holdout: 10 people train, 2 are watched, 8 are tested."""

    def write(cohort="ours", *, seed=0, preprocessed=True, names=None) -> Workspace:
        workspace = Workspace(tmp_path / cohort)
        visits = visits_of(cohort, names or [f"sub-{cohort}{n:02}" for n in range(PEOPLE)])
        write_visits(workspace.visits_tsv, visits)
        split = make_split(visits, seed=1, fractions=tuple(SHARES.values()))
        write_split(workspace.split_json, split)
        if preprocessed:
            write_prints(workspace, prints_of(visits, seed=seed))
        return workspace

    return write


def add_model(workspace: Workspace, stages: dict[str, StageRecord], run: str = "demo") -> None:
    """Write the card of a model with these stages."""
    card = Card(
        preset="demo",
        settings={},
        architecture="a",
        preprocessing="p",
        latent_scale=1.0,
        stages=stages,
        files={},
        weights_hash="w",
        versions={},
        licence="",
        seed=1,
    )
    write_card(workspace.model(run), card)


def someone(workspace: Workspace, part: str, rank: int = 0) -> str:
    return sorted(read_split(workspace.split_json).members(part))[rank]


def copy_scan(workspace: Workspace, source: str, target: str, *, into: Workspace | None = None) -> None:
    """Plant one person's scan, with other noise, under another id."""
    (text,) = [t for k, t in fingerprints(workspace).items() if k == ScanKey(source, "ses-0", "1")]
    values = np.frombuffer(bytes.fromhex(text), np.int8).astype(float)
    noisy = as_print(values + np.random.default_rng(5).normal(0, 4, len(values)))
    write_prints(into or workspace, {ScanKey(target, "ses-1", "1"): noisy})


def fingerprints(workspace: Workspace) -> dict[ScanKey, str]:
    from neurolatent.analysis.leakage.evidence import read_fingerprints

    return read_fingerprints(workspace, read_visits(workspace.visits_tsv))


def certify(workspace: Workspace, *against: Workspace):
    return cohort_steps.certify(workspace.root, against=[other.root for other in against])


def test_without_any_meeting_it_is_certified_and_written_as_returned(make):
    workspace = make()
    found = certify(workspace)
    assert (found.outcome, found.failures, found.test_people) == ("certified", (), 8)
    assert found.images.compared == {"ours": 40}
    assert read_certification(workspace) == found
    assert any("40 scans compared; 0 pairs" in line for line in found.lines)
    assert any("there is none yet" in line for line in found.lines)
    refuse_failed(workspace, run="demo")


def test_one_person_under_two_ids_across_the_split_fails_and_protocols_are_refused(make, capsys):
    workspace = make()
    one, other = someone(workspace, "train"), someone(workspace, "test")
    copy_scan(workspace, one, other)
    with pytest.raises(SystemExit, match=r"^1$"):
        cli.main(["cohort", "certify", str(workspace.root)])
    said = capsys.readouterr()
    assert "Failed: analyses are refused." in said.out + said.err
    found = read_certification(workspace)
    assert found is not None
    assert found.outcome == "failed"
    (pair,) = found.images.alike
    assert {pair.one, pair.other} == {f"{one}/ses-0/1", f"{other}/ses-1/1"}
    assert pair.across
    match = rf"certificate.json: failed: one person may stand on both sides .*certify {workspace.root}` again"
    with pytest.raises(LeakageError, match=match) as refused:
        steps.run_protocol("regress_age", workspace.root)
    assert "\n" not in str(refused.value)


def test_one_person_under_two_ids_within_training_is_told_and_fails_nothing(make):
    workspace = make()
    copy_scan(workspace, someone(workspace, "train"), someone(workspace, "train", 1))
    found = certify(workspace)
    assert found.outcome == "certified"
    assert [pair.across for pair in found.images.alike] == [False]


@pytest.mark.parametrize(("supervised", "outcome", "refused"), [(False, "transductive", False), (True, "failed", True)])
def test_a_near_duplicate_in_another_workspace_counts_where_a_model_trained_on_it(
    make, make_stage, supervised, outcome, refused
):
    ours, theirs = make("ours"), make("theirs", seed=1)
    here, there = someone(ours, "test"), someone(theirs, "train")
    copy_scan(ours, here, there, into=theirs)
    found = certify(ours, theirs)
    assert found.outcome == "certified"
    ((one, other, elsewhere, across),) = [(p.one, p.other, p.elsewhere, p.across) for p in found.images.alike]
    assert (one.split("/")[0], other, elsewhere, across) == (here, f"{there}/ses-1/1", True, True)
    add_model(ours, {"vae": make_stage([there], cohort="theirs", supervised=supervised)})
    assert certify(ours).outcome == "certified"
    found = certify(ours, theirs)
    assert found.outcome == outcome
    assert [(seen.stage, seen.test_people) for seen in found.stages] == [("vae", 1)]
    if refused:
        refuse_failed(ours, run="another")
        with pytest.raises(LeakageError, match="stage 'vae' of the model 'demo' was fitted on 1 of the 8"):
            refuse_failed(ours, run="demo")


@pytest.mark.parametrize(
    ("stage", "supervised", "outcome"),
    [
        ("vae", False, "transductive"),
        ("probe", True, "failed"),
        ("normalisation", False, "failed"),
        ("harmonisation", False, "failed"),
    ],
)
def test_what_a_stage_has_seen_decides(make, make_stage, stage, supervised, outcome):
    workspace = make()
    seen = [someone(workspace, "test"), someone(workspace, "train")]
    add_model(workspace, {stage: make_stage(seen, cohort="ours", supervised=supervised)})
    found = certify(workspace)
    assert found.outcome == outcome
    assert [(one.model, one.stage, one.test_people) for one in found.stages] == [("demo", stage, 1)]


def test_whom_training_was_watched_on_counts_and_models_below_seeds_are_found(make, make_stage):
    workspace = make()
    watched = replace(make_stage([], cohort="ours"), validation_subjects=(("ours", someone(workspace, "test")),))
    add_model(workspace, {"vae": watched}, "demo/seed-1/fold-2")
    assert [(one.model, one.test_people) for one in certify(workspace).stages] == [("demo/seed-1/fold-2", 1)]


def test_images_that_were_not_preprocessed_are_said_not_to_be_compared(make):
    ours, theirs = make("ours", preprocessed=False), make("theirs")
    found = certify(ours, theirs)
    assert found.outcome == "certified"
    assert (found.images.compared["ours"], found.images.not_compared["ours"]) == (0, 40)
    assert any(line.startswith("Images of ours were not compared") for line in found.lines)
    first = read_visits(theirs.visits_tsv)[0].key
    ScanFiles(theirs.derivatives, first, "8").record.unlink()
    assert any("1 scans of theirs were not compared" in line for line in certify(ours, theirs).lines)


def test_people_of_another_workspace_are_told_by_cohort_and_id_even_from_a_pool(make):
    ours, theirs = make("ours"), make("theirs")
    tested = read_split(ours.split_json).members("test")
    there = [replace(visit, cohort="ours") for visit in visits_of("ours", [*sorted(tested)[:2], "sub-new"])]
    renamed = [
        replace(visit, participant_id=f"sub-x{visit.participant_id[4:]}", extra={ORIGINAL_ID: visit.participant_id})
        for visit in there
    ]
    for visits in (there, renamed):
        write_visits(theirs.visits_tsv, visits)
        people = sorted({visit.participant_id for visit in visits})
        parts = dict(zip(people, ["train", "train", "test"], strict=True))
        write_split(theirs.split_json, Split("holdout", 1, SHARES, parts, parts))
        (overlap,) = certify(ours, theirs).overlaps
        trained = {visit.person[1] for visit in visits if parts[visit.participant_id] == "train"}
        assert overlap.in_both == 2
        assert overlap.tested_here_trained_there == tuple(f"ours/{one}" for one in sorted(trained & tested))


def test_without_a_split_over_there_everybody_may_train_there(make):
    ours, theirs = make("ours"), make("theirs")
    write_visits(theirs.visits_tsv, visits_of("ours", [someone(ours, "test")]))
    theirs.split_json.unlink()
    (overlap,) = certify(ours, theirs).overlaps
    assert len(overlap.tested_here_trained_there) == 1


@pytest.mark.parametrize("change", ["visits", "split", "card", "fingerprint"])
def test_a_failed_certificate_of_other_inputs_refuses_nothing(make, make_stage, change):
    workspace = make()
    copy_scan(workspace, someone(workspace, "train"), someone(workspace, "test"))
    add_model(workspace, {"vae": make_stage(["x"])})
    assert certify(workspace).outcome == "failed"
    with pytest.raises(LeakageError):
        refuse_failed(workspace, run="demo")
    visits = read_visits(workspace.visits_tsv)
    if change == "visits":
        write_visits(workspace.visits_tsv, visits[:-1])
    elif change == "split":
        write_split(workspace.split_json, make_split(visits, seed=2, fractions=tuple(SHARES.values())))
    elif change == "card":
        add_model(workspace, {"vae": make_stage(["y"])})
    else:
        write_prints(workspace, prints_of(visits))
    refuse_failed(workspace, run="demo")


def test_the_certificate_names_scans_by_key_and_holds_no_path_and_no_date(make):
    ours, theirs = make("ours"), make("theirs")
    copy_scan(ours, someone(ours, "test"), someone(theirs, "train"), into=theirs)
    found = certify(ours, theirs)
    text = ours.certificate_json.read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps(asdict(found)))
    assert str(ours.root.parent) not in text
    assert "2011-06-02" not in text
    assert ".nii" not in text


def test_a_round_that_trains_and_tests_somebody_fails():
    (failure,) = _of_rounds([Round("holdout", frozenset({"sub-1", "sub-2"}), frozenset({"sub-2"}))])
    assert "in training and test of one round are 1: sub-2" in failure.reason
    assert not _of_rounds([Round("holdout", frozenset({"sub-1"}), frozenset({"sub-2"}))])


def test_without_weights_or_against_itself_it_says_what_is_wrong(make):
    workspace = make()
    with pytest.raises(SettingsError, match="expected another workspace than the one that is certified"):
        certify_workspace(workspace, [workspace.root])
    with pytest.raises(WeightsError):
        steps.run_protocol("regress_age", workspace.root)


def test_names_are_followed_from_pair_to_pair():
    a, b, c, d = (("x", name) for name in "abcd")
    known = other_names([(a, b), (b, c)])
    assert known[a] == known[c] == {a, b, c}
    assert d not in known


def test_five_thousand_fingerprints_are_compared_in_seconds():
    visits = visits_of("big", [f"sub-{n}" for n in range(2500)])
    prints = prints_of(visits)
    prints[ScanKey("sub-7", "ses-0", "1")] = prints[ScanKey("sub-2400", "ses-1", "1")]
    split = make_split(visits, seed=1)
    own = Evidence("big", tuple(visits), split, prints, {}, {})
    began = process_time()
    (pair,) = find_twins(own, [])
    assert process_time() - began < 10
    assert {pair.one.split("/")[0], pair.other.split("/")[0]} == {"sub-7", "sub-2400"}
