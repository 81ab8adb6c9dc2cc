"""Sites: balanced after all else, and each left out once."""

import json
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolatent import cohort_steps
from neurolatent.cohort.splits import Split, extend_split, make_split, read_split, write_split
from neurolatent.cohort.splits.by_site import FEWEST_AT_SITE, joined_sites
from neurolatent.cohort.visits import Visit, write_visits
from neurolatent.errors import CohortError
from neurolatent.workspace import Workspace


def visit(subject, site, *, months=0.0, session="ses-1", diagnosis="CN", age=70.0) -> Visit:
    missing = dict.fromkeys(("age_precision_years", "dx_rule", "scanner_tesla", "mask_source"))
    return Visit(
        participant_id=subject,
        session_id=session,
        run="1",
        months=months,
        age_years=age,
        sex="F",
        diagnosis=diagnosis,
        site=site,
        cohort="test",
        image="x.nii.gz",
        **missing,
    )


def people_at(sizes: dict[str, int]) -> list[Visit]:
    return [visit(f"sub-{site}{n}", site) for site, size in sizes.items() for n in range(size)]


sizes_by_site = st.dictionaries(st.sampled_from("ABCDEF"), st.integers(1, 25), min_size=2, max_size=6).filter(
    lambda sizes: sum(size >= FEWEST_AT_SITE for size in sizes.values()) >= 2
)
quick = settings(max_examples=40, deadline=None)


def leave_out(visits, **options) -> Split:
    return make_split(visits, seed=options.pop("seed", 1), leave_one_site_out=True, **options)


@quick
@given(sizes_by_site, st.integers(0, 3), st.randoms(use_true_random=False))
def test_every_site_is_tested_once_by_a_fit_that_has_not_seen_it_whatever_the_order_of_rows(sizes, seed, random):
    visits = people_at(sizes)
    split = leave_out(random.sample(visits, len(visits)), seed=seed)
    assert split == leave_out(visits, seed=seed)
    everyone = {v.participant_id for v in visits}
    assert Counter(s for one in split.rounds() for s in one.test) == Counter(everyone)
    for one in split.rounds():
        assert one.train | one.test == everyone
        assert not {split.sites[s] for s in one.train} & {split.sites[s] for s in one.test}
        assert len(one.test) >= FEWEST_AT_SITE
        training, watched = split.training_subjects(fold=one.name), split.validation_subjects(fold=one.name)
        assert split.test_subjects(fold=one.name) == one.test
        assert training | watched == one.train
        assert not training & watched
        assert 0 < len(watched) < len(training)


@quick
@given(sizes_by_site, sizes_by_site, st.integers(0, 3))
def test_newcomers_and_new_sites_move_nobody_and_nobody_who_is_watched(sizes, more, seed):
    first = leave_out(people_at(sizes), seed=seed)
    late = [replace(v, participant_id=f"{v.participant_id}new") for v in people_at(more)]
    second = make_split(
        [*people_at(sizes), *late],
        seed=seed,
        leave_one_site_out=True,
        existing=first,
        test_only=[late[0].participant_id],
    )
    assert second.assignments.items() >= first.assignments.items()
    assert second.test_only == {late[0].participant_id}
    for part in first.parts:
        if len(first.validation_subjects(fold=part)) > 1:
            assert second.validation_subjects(fold=part) >= first.validation_subjects(fold=part)
    for site in sizes:
        assert len({second.assignments[s] for s in second.assignments if second.sites[s] == site}) == 1


def test_a_person_scanned_at_several_sites_belongs_where_the_first_scan_was():
    visits = [*people_at({"A": 12, "B": 12}), visit("sub-A0", "B", months=6.0, session="ses-2")]
    split = leave_out(visits)
    assert split.assignments["sub-A0"] == "site-A"
    assert split.members("site-B") == {f"sub-B{n}" for n in range(12)}


def test_small_sites_are_tested_together_and_take_a_large_one_in_only_where_they_are_too_few():
    together = leave_out(people_at({"A": 30, "B": 20, "C": 6, "D": 5}))
    assert together.parts == ("joined-sites", "site-A", "site-B")
    assert joined_sites(together) == {"joined-sites": ["C", "D"]}
    alone = leave_out(people_at({"A": 30, "B": 20, "C": 12, "D": 5}))
    assert joined_sites(alone) == {"joined-sites": ["C", "D"]}
    late = extend_split(alone, people_at({"E": 2, "F": 14}))
    assert {late.assignments["sub-E0"], late.assignments["sub-F0"]} == {"joined-sites", "site-F"}


def test_a_small_site_that_comes_alone_and_late_joins_the_smallest_part():
    late = extend_split(leave_out(people_at({"A": 12, "B": 15})), people_at({"C": 3}))
    assert joined_sites(late) == {"site-A": ["A", "C"]}


def test_people_for_testing_only_are_tested_with_their_site_and_train_nowhere():
    split = leave_out(people_at({"A": 12, "B": 15, "C": 11}), test_only=["sub-A3", *(f"sub-C{n}" for n in range(11))])
    assert "sub-A3" in split.test_subjects(fold="site-A")
    for part in split.parts:
        seen = split.training_subjects(fold=part) | split.validation_subjects(fold=part)
        assert not seen & split.test_only
    assert split.test_subjects(fold="site-C") == split.members("site-C")


@pytest.mark.parametrize(
    ("sizes", "options", "match"),
    [
        ({"A": 30}, {}, r"people to train on at two sites or more, got \{'site-A': 30\} .* pool cohorts first"),
        ({"A": 30, "B": 9}, {}, r"two sites or more, got \{'joined-sites': 39\}"),
        ({"A": 12, "B": 12}, {"test_only": [f"sub-B{n}" for n in range(12)]}, "two sites or more"),
        ({"A": 12, "B": 12}, {"folds": 5}, r"either --leave-one-site-out or --folds, got both \(folds 5\)"),
    ],
)
def test_too_few_sites_and_two_kinds_at_once_are_refused(sizes, options, match):
    with pytest.raises(CohortError, match=match):
        leave_out(people_at(sizes), **options)


def test_people_without_a_site_are_refused_in_one_line_with_the_way_out():
    visits = [*people_at({"A": 12, "B": 12}), visit("sub-1", None), visit("sub-1", "A", months=6.0, session="ses-2")]
    match = r"lacking it for 1: sub-1. Name its column .*`columns.site`.* or leave --leave-one-site-out out."
    with pytest.raises(CohortError, match=match) as refused:
        leave_out(visits)
    assert "\n" not in str(refused.value)


def test_a_site_that_does_not_exist_is_refused():
    split = leave_out(people_at({"A": 12, "B": 12}))
    with pytest.raises(CohortError, match=r"expected a site of \['site-A', 'site-B'\], got 1"):
        split.training_subjects(fold=1)
    with pytest.raises(CohortError, match="expected a fold from 1 to 3, got site-A"):
        make_split(people_at({"A": 12}), seed=0, folds=3).training_subjects(fold="site-A")


def test_a_split_by_site_is_read_as_it_was_written_and_its_hash_knows_the_draw(tmp_path: Path):
    visits = people_at({"A": 12, "B": 12, "C": 3})
    split = leave_out(visits, seed=4)
    write_split(tmp_path / "split.json", split)
    assert read_split(tmp_path / "split.json", visits=visits) == split
    assert leave_out(visits, seed=5).hash != split.hash


def test_a_split_from_before_sites_is_read_with_its_hash_and_extended(tmp_path: Path):
    entries = {f"sub-{n}": {"part": ("train", "test")[n % 2], "stratum": "CN F 70"} for n in range(4)}
    text = json.dumps({name: entry["part"] for name, entry in entries.items()}, separators=(",", ":"))
    written = {
        "format_version": 1,
        "kind": "holdout",
        "seed": 3,
        "shares": {"train": 0.7, "validation": 0.1, "test": 0.2},
        "stratified_by": ["diagnosis at the first scan", "sex", "age in bands of 10 years"],
        "hash": sha256(text.encode()).hexdigest(),
        "subjects": entries,
    }
    (tmp_path / "split.json").write_text(json.dumps(written), encoding="utf-8")
    split = read_split(tmp_path / "split.json")
    assert (split.hash, split.sites) == (written["hash"], {})
    assert extend_split(split, []).hash == written["hash"]
    extended = extend_split(split, [visit(f"sub-{n}", "AB"[n % 2]) for n in range(20)])
    assert extended.assignments.items() >= split.assignments.items()


def draw(people: int, sites: int, *, seed: int = 0) -> list[Visit]:
    rng = np.random.default_rng(seed)
    weights = rng.pareto(1.5, sites) + 0.2
    return [
        visit(
            f"sub-{n}",
            f"site-{rng.choice(sites, p=weights / weights.sum())}",
            diagnosis=str(rng.choice(["CN", "MCI", "AD"])),
            age=float(rng.normal(72, 8)),
        )
        for n in range(people)
    ]


def off(split: Split, groups) -> float:
    """By how many people the worst of these groups is off its share in some part."""
    sizes = Counter(groups.values())
    cells = Counter((groups[subject], part) for subject, part in split.assignments.items())
    return max(
        abs(cells[one, part] - share * size) for one, size in sizes.items() for part, share in split.shares.items()
    )


@pytest.mark.parametrize("folds", [None, 5])
@pytest.mark.parametrize(("people", "sites"), [(60, 1), (60, 3), (60, 50), (600, 3), (600, 50)])
def test_many_small_sites_take_nothing_from_the_balance_and_are_near_their_shares_too(people, sites, folds):
    visits = draw(people, sites)
    split = make_split(visits, seed=1, folds=folds)
    blind = make_split([replace(v, site=None) for v in visits], seed=1, folds=folds)
    assert Counter(split.assignments.values()) == Counter(blind.assignments.values())
    assert off(split, dict.fromkeys(split.assignments, "all")) <= 1
    assert off(split, split.strata) < 1
    assert off(split, split.sites) <= 3
    assert sites == 1 or off(split, split.sites) < off(blind, split.sites)


@pytest.mark.parametrize("options", [{}, {"folds": 5}, {"leave_one_site_out": True}])
def test_twenty_thousand_scans_take_seconds(options):
    visits = draw(10_000, 50)
    visits += [replace(v, session_id="ses-2", months=12.0) for v in visits]
    began = process_time()
    make_split(visits, seed=1, **options)
    assert process_time() - began < 10


def test_the_command_makes_and_tells_a_split_by_site(tmp_path: Path, monkeypatch):
    workspace = Workspace(tmp_path)
    write_visits(workspace.visits_tsv, people_at({"A": 30, "B": 20, "C": 6, "D": 5}))
    monkeypatch.setattr(cohort_steps, "read_sidecar", lambda _: type("Sidecar", (), {"test_only": ()}))
    said = cohort_steps.split(tmp_path, folds=None, fractions=cohort_steps.FRACTIONS, seed=1, leave_one_site_out=True)
    assert said.startswith("Split by subject (sites): joined-sites 11, site-A 30, site-B 20; joined-sites: C, D; hash ")
    with pytest.raises(CohortError, match="expected the settings it was made with"):
        cohort_steps.split(tmp_path, folds=None, fractions=cohort_steps.FRACTIONS, seed=1)
