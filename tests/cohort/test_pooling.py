"""Workspaces become one, in which nobody is lost, confused with another, or moved from the test into training."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolatent import cli, cohort_steps
from neurolatent.cohort.build import build_cohort
from neurolatent.cohort.pooling import pool_cohorts
from neurolatent.cohort.pooling.names import pooled_id
from neurolatent.cohort.sidecar import read_sidecar, write_sidecar
from neurolatent.cohort.splits import make_split, read_split, write_split
from neurolatent.cohort.visits import COLUMNS, ORIGINAL_ID, read_visits
from neurolatent.content import content_folder
from neurolatent.errors import CohortError, SettingsError
from neurolatent.provenance import hash_file
from neurolatent.volume.cache import open_cache
from neurolatent.volume.preprocess import preprocess
from neurolatent.volume.quality import template_mask
from neurolatent.volume.space import Grid
from neurolatent.workspace import Workspace

Make = Callable[..., Workspace]
GRID = Grid(8.0)
IMAGE = "{}_space-MNI152NLin2009aSym_res-8_desc-{}.nii.gz"
names = st.text(st.sampled_from("Zz0X1-_.+aS"), min_size=1, max_size=6).map("a{}".format)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Build a cohort of a name of its own from a small BIDS folder."""

    def build(
        name, *, people=12, rule="by the clinic", diagnosis="CN", carry="group", site=None, test_only=(), images=False
    ) -> Workspace:
        text = (content_folder("cohorts") / "bids.toml").read_text(encoding="utf-8")
        text = text.replace('name = "bids"', f'name = "{name}"').replace("as the data set's tables give it", rule)
        mark = f'carry = ["{carry}"]\n\n[split]\ntest_only = {{ column = "{carry}", values = ["apart"] }}\n\n[images]'
        descriptor = tmp_path / f"{name}.toml"
        descriptor.write_text(text.replace("[images]", mark, 1), encoding="utf-8")
        source = tmp_path / f"source of {name}"
        rows = ["\t".join(("participant_id", "age", "sex", "diagnosis", "site", carry))]
        for number in range(people):
            person = f"sub-{number:02}"
            group = "apart" if person in test_only else "none"
            rows.append("\t".join((person, str(60 + number), "F", diagnosis, site or "n/a", group)))
            write_image(source / person / "anat", person, seed=number if images else None)
        rows += ["sub-99\t400\tF\tCN\tn/a\tnone"]
        write_image(source / "sub-99" / "anat", "sub-99", seed=None)
        (source / "participants.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        workspace = Workspace(tmp_path / name)
        build_cohort(str(descriptor), source, workspace)
        return workspace

    return build


def write_image(folder: Path, person: str, *, seed: int | None) -> None:
    """Write a brain in standard space with its mask, or bytes that stand for an image."""
    folder.mkdir(parents=True, exist_ok=True)
    volume, mask = (folder / IMAGE.format(person, what) for what in ("preproc_T1w", "brain_mask"))
    if seed is None:
        volume.write_bytes(b"image")
        return
    inside = template_mask(GRID)
    values = np.random.default_rng(seed).uniform(0, 1, GRID.shape) * inside
    nib.save(nib.Nifti1Image(values.astype(np.float32), GRID.world_from_voxel), volume)
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), GRID.world_from_voxel), mask)


def split_it(workspace: Workspace, **options) -> None:
    visits = read_visits(workspace.visits_tsv)
    test_only = read_sidecar(workspace.visits_json).test_only
    write_split(workspace.split_json, make_split(visits, seed=3, test_only=test_only, **options))


def pool(tmp_path: Path, *members: Workspace, out="pool", **options):
    workspace = Workspace(tmp_path / out)
    return workspace, pool_cohorts([member.root for member in members], workspace, **options)


@settings(max_examples=300, deadline=None)
@given(st.sets(st.tuples(st.sampled_from(["a", "a1", "ab", "oasis1", "oasis10"]), names), max_size=30))
def test_nobody_is_called_as_another_and_every_name_is_a_bids_label(people):
    people |= {(cohort, f"sub-{name}") for cohort, name in people}
    called = [pooled_id(cohort, name) for cohort, name in people]
    assert len(set(called)) == len(called)
    assert all(re.fullmatch(r"sub-[A-Za-z0-9]+", name) for name in called)


def test_names_can_be_read():
    assert pooled_id("oasis1", "sub-OAS10001") == "sub-oasis1XOAS10001"


def test_counts_exclusions_columns_and_terms_of_all_are_there_and_add_up(make, tmp_path):
    first, second = make("alpha", people=5, carry="group"), make("beta", people=7, carry="colour")
    pooled, result = pool(tmp_path, second, first)
    sidecars = [read_sidecar(workspace.visits_json) for workspace in (first, second)]
    joined = read_sidecar(pooled.visits_json)
    assert joined == result.sidecar
    for name in ("found", "matched", "kept", "participants", "people_in_tables"):
        numbers = [getattr(one.counts, name) for one in sidecars]
        assert getattr(joined.counts, name) == sum(numbers)
        assert [getattr(member.counts, name) for member in joined.members] == numbers
    assert joined.counts.kept == len(read_visits(pooled.visits_tsv)) == 12
    assert [member.exclusions for member in joined.members] == [1, 1]
    assert [one.scan.split("/")[:2] for one in joined.exclusions] == [["alpha", "sub-99"], ["beta", "sub-99"]]
    visits = read_visits(pooled.visits_tsv)
    assert joined.columns.keys() == {*COLUMNS, "group", "colour", ORIGINAL_ID}
    assert {visit.cohort: (visit.extra["group"], visit.extra["colour"]) for visit in visits} == {
        "alpha": ("none", "n/a"),
        "beta": ("n/a", "none"),
    }
    assert {visit.person for visit in visits} == {
        visit.person for workspace in (first, second) for visit in read_visits(workspace.visits_tsv)
    }
    assert joined.visits_hash == hash_file(pooled.visits_tsv)
    assert [member.citation for member in joined.members] == [one.citation for one in sidecars]
    assert joined.cohort == "alpha+beta"


def test_the_order_of_the_members_does_not_matter(make, tmp_path):
    members = [make("alpha"), make("beta", people=9)]
    one, _ = pool(tmp_path, *members)
    other, _ = pool(tmp_path, *reversed(members), out="again")
    for name in ("visits_tsv", "visits_json", "split_json"):
        assert getattr(one, name).read_bytes() == getattr(other, name).read_bytes()


def test_sites_of_different_cohorts_are_different_sites(make, tmp_path):
    members = [make("alpha", site="1"), make("beta", site="1"), make("gamma")]
    pooled, _ = pool(tmp_path, *members)
    assert {visit.site for visit in read_visits(pooled.visits_tsv)} == {"alpha-1", "beta-1", "gamma"}
    split = make_split(read_visits(pooled.visits_tsv), seed=1, leave_one_site_out=True)
    assert split.parts == ("site-alpha-1", "site-beta-1", "site-gamma")


@pytest.mark.parametrize("options", [{}, {"folds": 3}])
def test_where_all_are_split_alike_nobody_moves(make, tmp_path, options):
    members = [make("alpha", test_only=["sub-03"]), make("beta", people=9)]
    for member in members:
        split_it(member, **options)
    pooled, result = pool(tmp_path, *members)
    split = read_split(pooled.split_json)
    for member in members:
        own = read_split(member.split_json)
        name = read_sidecar(member.visits_json).cohort
        assert {
            pooled_id(name, one): part for one, part in own.assignments.items()
        }.items() <= split.assignments.items()
    assert len(split.assignments) == 21
    assert split.test_only == {"sub-alphaX03"}
    assert result.division.startswith("everybody stays")
    again, _ = pool(tmp_path, *members)
    assert read_split(again.split_json) == split


@pytest.mark.parametrize("options", [None, {"folds": 3}])
def test_where_they_are_not_split_alike_all_are_dealt_anew_and_the_test_only_stay_so(make, tmp_path, options):
    members = [make("alpha", test_only=["sub-03"]), make("beta")]
    split_it(members[0])
    if options:
        split_it(members[1], **options)
    _, result = pool(tmp_path, *members)
    assert result.split.kind == "holdout"
    assert result.split.test_only == {"sub-alphaX03"}
    assert "sub-alphaX03" in result.split.members("test")
    assert [len(result.split.members(part)) for part in ("train", "validation", "test")] == [17, 2, 5]


def test_a_member_that_grew_is_pooled_again_without_moving_anybody(make, tmp_path):
    members = [make("alpha"), make("beta", people=9)]
    for member in members:
        split_it(member)
    _, before = pool(tmp_path, *members)
    grown = make("beta", people=20)
    split = make_split(read_visits(grown.visits_tsv), seed=3, existing=read_split(grown.split_json))
    write_split(grown.split_json, split)
    _, after = pool(tmp_path, members[0], grown)
    assert after.split.assignments.items() >= before.split.assignments.items()
    for person, part in split.assignments.items():
        assert after.split.assignments[pooled_id("beta", person)] == part


def test_rules_of_diagnosis_that_disagree_are_refused_unless_accepted(make, tmp_path):
    members = [make("alpha", rule="CDR 0.5 is AD"), make("beta", rule="CDR 0.5 is MCI")]
    match = r"alpha: 'CDR 0.5 is AD'; beta: 'CDR 0.5 is MCI'. .* or pool with --accept-diagnosis-rules."
    with pytest.raises(CohortError, match=match) as refused:
        pool(tmp_path, *members)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "pool" / "visits.tsv").exists()
    pooled, _ = pool(tmp_path, *members, accept_diagnosis_rules=True)
    sidecar = read_sidecar(pooled.visits_json)
    assert sidecar.accepted_diagnosis_rules == ("CDR 0.5 is AD", "CDR 0.5 is MCI")
    assert sidecar.diagnosis_rule == "alpha: CDR 0.5 is AD. beta: CDR 0.5 is MCI."
    assert {visit.dx_rule for visit in read_visits(pooled.visits_tsv)} == set(sidecar.accepted_diagnosis_rules)


def test_a_cohort_without_diagnoses_has_no_rule_to_disagree(make, tmp_path):
    pooled, _ = pool(tmp_path, make("alpha", rule="one"), make("beta", rule="other", diagnosis="n/a"))
    assert read_sidecar(pooled.visits_json).accepted_diagnosis_rules == ()


def test_one_cohort_twice_names_too_alike_and_lone_members_are_refused(make, tmp_path):
    alpha = make("alpha")
    with pytest.raises(CohortError, match=r"\(alpha\) and .* \(alpha\), with 12 participant_ids in common"):
        pool(tmp_path, alpha, alpha)
    with pytest.raises(CohortError, match=r"\(al-pha\) and .* \(alpha\)"):
        pool(tmp_path, alpha, make("al-pha"))
    with pytest.raises(CohortError, match="expected two workspaces or more"):
        pool(tmp_path, alpha)


def test_a_pool_is_neither_pooled_nor_written_over_anything_else(make, tmp_path):
    alpha, beta, gamma = make("alpha"), make("beta"), make("gamma")
    pooled, _ = pool(tmp_path, alpha, beta)
    with pytest.raises(CohortError, match=r"got a pool of \['alpha', 'beta'\]. Name the workspaces"):
        pool(tmp_path, pooled, gamma, out="more")
    with pytest.raises(CohortError, match=r"got a cohort that was built there\. Choose another"):
        pool(tmp_path, alpha, beta, out="gamma")
    with pytest.raises(CohortError, match=r"got a pool of \['alpha', 'beta'\]. Choose another"):
        pool(tmp_path, beta, gamma)


def test_sidecar_from_before_pools_still_opens(make):
    workspace = make("alpha")
    record = json.loads(workspace.visits_json.read_text(encoding="utf-8"))
    del record["members"], record["accepted_diagnosis_rules"]
    workspace.visits_json.write_text(json.dumps(record), encoding="utf-8")
    sidecar = read_sidecar(workspace.visits_json)
    assert (sidecar.members, sidecar.source_roots) == ((), (sidecar.source_root,))


def test_a_pool_goes_through_preprocessing_and_every_image_is_its_own(make, tmp_path):
    members = [make("alpha", people=2, images=True), make("beta", people=2, images=True)]
    for member in members:  # The same names and paths in both, and other images in the second.
        assert len(read_visits(member.visits_tsv)) == 2
    for image in (tmp_path / "source of beta").rglob("*preproc_T1w.nii.gz"):
        if "sub-99" not in image.name:
            write_image(image.parent, image.name.split("_")[0], seed=77)
    outcome = steps_pool(members, tmp_path)
    assert outcome.lines[-1].startswith("Split by subject (holdout)")
    pooled = Workspace(tmp_path / "pool")
    sidecar = read_sidecar(pooled.visits_json)
    result = preprocess(pooled, spacing_mm=8.0)
    assert (result.done, result.failures) == (4, ())
    cache = open_cache(pooled.cache(8.0))
    for visit in read_visits(pooled.visits_tsv):
        raw = nib.load(sidecar.image(visit)).get_fdata()
        np.testing.assert_allclose(cache.volumes[cache.row(visit.key)], raw, atol=1e-3)
        assert (tmp_path / f"source of {visit.cohort}") in sidecar.image(visit).parents
    with pytest.raises(SettingsError, match=r"\['alpha', 'beta'\] have a source folder each. If one moved, build"):
        preprocess(pooled, spacing_mm=8.0, source=tmp_path)
    (tmp_path / "source of beta").rename(tmp_path / "moved")
    with pytest.raises(SettingsError, match=r"source of beta: expected the folder .* pool again"):
        preprocess(pooled, spacing_mm=8.0)


def steps_pool(members, tmp_path):
    small = {"train": ["sub-00"], "test": ["sub-01"]}
    for member in members:
        split = make_split(read_visits(member.visits_tsv), seed=1, fractions=(0.5, 0.0, 0.5))
        assert [len(split.members(part)) for part in small] == [1, 1]
        write_split(member.split_json, split)
    return cohort_steps.pool([member.root for member in members], tmp_path / "pool")


def test_weights_trained_on_a_pool_name_people_as_their_own_cohorts_do(make, tmp_path):
    from neurolatent.model_steps import _persons
    from neurolatent.training.run import Run

    pooled, _ = pool(tmp_path, make("alpha"), make("beta"))
    keys = tuple(visit.key for visit in read_visits(pooled.visits_tsv))
    run = SimpleNamespace(cache=SimpleNamespace(keys=keys), cohort="alpha+beta", persons=_persons(pooled))
    assert Run.people(run, [0, 12]) == (("alpha", "sub-00"), ("beta", "sub-00"))


def test_a_report_hides_every_source_folder(make, tmp_path):
    pooled, _ = pool(tmp_path, make("alpha"), make("beta"))
    sidecar = read_sidecar(pooled.visits_json)
    assert [root.name for root in sidecar.source_roots] == [tmp_path.name, "source of alpha", "source of beta"]
    write_sidecar(pooled.visits_json, replace(sidecar, title="x"))
    assert read_sidecar(pooled.visits_json) == replace(sidecar, title="x")


def test_the_command_pools_and_tells_what_it_did(make, tmp_path, capsys):
    roots = [str(make(name).root) for name in ("alpha", "beta")]
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main(["cohort", "pool", *roots, "--out", str(tmp_path / "pool"), "--json"])
    told = json.loads(capsys.readouterr().out)["lines"]
    assert told[0] == "alpha: 12 scans of 12 people, 1 left out"
    assert told[-1].endswith("(made anew over all, for the members are not all split alike)")
