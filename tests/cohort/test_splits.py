import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolatent.cohort.splits import Split, extend_split, make_split, read_split, write_split
from neurolatent.cohort.visits import Visit
from neurolatent.errors import CohortError


def visit(subject: str, *, sex="F", age=70.0, diagnosis="CN", months=0.0, site=None) -> Visit:
    return Visit(
        participant_id=subject,
        session_id=f"ses-M{int(months):02}",
        run="1",
        months=months,
        age_years=age,
        age_precision_years=None,
        sex=sex,
        diagnosis=diagnosis,
        dx_rule=None,
        site=site,
        scanner_tesla=None,
        cohort="test",
        mask_source=None,
        image="x.nii.gz",
    )


people = st.lists(
    st.builds(
        visit,
        st.integers(0, 10_000).map("sub-{}".format),
        sex=st.sampled_from(["F", "M", None]),
        age=st.sampled_from([25.0, 55.0, 61.0, 68.0, 74.0, None]),
        diagnosis=st.sampled_from(["CN", "MCI", "AD", None]),
        site=st.sampled_from([None, "A", "B", "C"]),
    ),
    min_size=12,
    max_size=80,
    unique_by=lambda v: v.participant_id,
)
kinds = st.sampled_from([None, 3, 5])
seeds = st.integers(0, 3)
quick = settings(max_examples=60, deadline=None)


@st.composite
def partly_for_testing(draw) -> tuple[list[Visit], frozenset[str]]:
    """Draw people of whom up to half are for testing only, whoever they are or all of one diagnosis first."""
    visits = draw(people)
    by_diagnosis = sorted(visits, key=lambda v: v.diagnosis or "")
    ordered = draw(st.sampled_from([visits, by_diagnosis]))
    return visits, frozenset(v.participant_id for v in ordered[: draw(st.integers(1, len(visits) // 2))])


def share_errors(split: Split) -> list[float]:
    """By stratum and part: how far the count is from its share."""
    sizes = Counter(split.strata.values())
    cells = Counter((split.strata[subject], part) for subject, part in split.assignments.items())
    return [cells[s, part] - share * size for s, size in sizes.items() for part, share in split.shares.items()]


@quick
@given(people, kinds, seeds)
def test_same_subject_never_crosses_the_split(visits, folds, seed):
    later = [replace(v, months=12.0, diagnosis="AD", age_years=None) for v in visits]
    split = make_split([*later, *visits], seed=seed, folds=folds)
    everyone = {v.participant_id for v in visits}
    assert split.assignments.keys() == everyone
    for one in split.rounds():
        assert not one.train & one.test
        assert one.train | one.test == everyone
    for fold in [None] if folds is None else range(1, folds + 1):
        parts = [
            split.training_subjects(fold=fold),
            split.validation_subjects(fold=fold),
            split.test_subjects(fold=fold),
        ]
        assert frozenset.union(*parts) == everyone
        assert sum(map(len, parts)) == len(everyone)


@quick
@given(people, kinds, seeds)
def test_every_subject_is_tested_at_most_once_and_in_folds_exactly_once(visits, folds, seed):
    split = make_split(visits, seed=seed, folds=folds)
    tested = Counter(subject for one in split.rounds() for subject in one.test)
    assert set(tested.values()) == {1}
    assert folds is None or len(tested) == len(visits)


@quick
@given(people, kinds, seeds)
def test_strata_are_balanced_within_rounding(visits, folds, seed):
    split = make_split(visits, seed=seed, folds=folds)
    assert max(map(abs, share_errors(split))) < 1


@quick
@given(people, kinds, seeds)
def test_the_whole_is_balanced_although_strata_are_small(visits, folds, seed):
    split = make_split(visits, seed=seed, folds=folds)
    counts = Counter(split.assignments.values())
    assert max(abs(counts[part] - share * len(visits)) for part, share in split.shares.items()) <= 2


@quick
@given(people, kinds, seeds, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(visits, folds, seed, random):
    shuffled = random.sample(visits, len(visits))
    assert make_split(shuffled, seed=seed, folds=folds) == make_split(visits, seed=seed, folds=folds)


@quick
@given(people, kinds, seeds, st.data())
def test_added_subjects_move_nobody(visits, folds, seed, data):
    first = make_split(visits[: len(visits) // 2 + 6], seed=seed, folds=folds)
    changed = [replace(v, sex=data.draw(st.sampled_from(["F", "M"])), diagnosis="other", site="D") for v in visits]
    second = make_split(changed, seed=seed, folds=folds, existing=first)
    assert second.assignments.items() >= first.assignments.items()
    assert second.strata.items() >= first.strata.items()
    assert second.sites.items() >= first.sites.items()
    assert second.assignments.keys() == {v.participant_id for v in visits}


@quick
@given(people, kinds, seeds)
def test_nobody_leaves_a_split_and_remaking_changes_nothing(visits, folds, seed):
    split = make_split(visits, seed=seed, folds=folds)
    assert make_split(visits[:3], seed=seed, folds=folds, existing=split) == split


@quick
@given(people, seeds)
def test_hash_changes_when_and_only_when_assignments_change(visits, seed):
    split = make_split(visits, seed=seed)
    assert replace(split, strata={}, seed=99).hash == split.hash
    assert replace(split, assignments=dict(reversed(split.assignments.items()))).hash == split.hash
    subject, part = next(iter(split.assignments.items()))
    moved = dict(split.assignments) | {subject: "test" if part != "test" else "train"}
    assert replace(split, assignments=moved).hash != split.hash


def test_hash_is_known_so_that_a_new_version_cannot_move_it():
    split = Split("holdout", 0, {}, {"sub-a": "train", "sub-b": "test"}, {})
    text = b'{"sub-a":"train","sub-b":"test"}'
    import hashlib

    assert split.hash == hashlib.sha256(text).hexdigest()


def test_assignments_are_the_same_in_every_process():
    code = "from neurolatent.cohort.splits.draws import shuffled; print(shuffled([f'sub-{n}' for n in range(8)], 3))"
    seen = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(seen) == 1


def test_a_split_is_extended_by_its_own_settings():
    visits = [visit(f"sub-{n}") for n in range(30)]
    split = make_split(visits[:20], seed=5, folds=4)
    extended = extend_split(split, visits)
    assert extended == make_split(visits, seed=5, folds=4, existing=split)
    assert Counter(extended.assignments.values()).most_common()[0][1] == 8


def test_seeds_draw_different_people():
    visits = [visit(f"sub-{n}") for n in range(40)]
    assert make_split(visits, seed=0).members("test") != make_split(visits, seed=1).members("test")


def test_stratum_is_that_of_the_first_scan():
    visits = [visit("sub-0", months=24.0, diagnosis="AD", age=72.0), visit("sub-0", diagnosis="MCI", age=69.9)]
    visits += [visit(f"sub-{n}") for n in range(1, 12)]
    assert make_split(visits, seed=0).strata["sub-0"] == "MCI F 60"


def test_validation_is_the_next_fold_and_wraps_around():
    split = make_split([visit(f"sub-{n}") for n in range(20)], seed=0, folds=4)
    assert split.validation_subjects(fold=1) == split.members("fold-2")
    assert split.validation_subjects(fold=4) == split.members("fold-1")
    assert split.training_subjects(fold=4) == split.members("fold-2", "fold-3")


def test_without_a_fold_everyone_trains_and_one_in_ten_is_watched():
    split = make_split([visit(f"sub-{n}") for n in range(95)], seed=0, folds=5)
    assert split.training_subjects() == frozenset(split.assignments)
    assert len(split.validation_subjects()) == 10
    assert split.validation_subjects() < split.training_subjects()
    assert split.test_subjects() == frozenset()


def test_holdout_round_trains_on_training_and_validation():
    split = make_split([visit(f"sub-{n}") for n in range(50)], seed=0)
    (only,) = split.rounds()
    assert only.train == split.training_subjects() | split.validation_subjects()
    assert only.test == split.test_subjects()
    assert [len(split.members(part)) for part in ("train", "validation", "test")] == [35, 5, 10]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"folds": 2}, "expected at least 3 folds, .* got 2"),
        ({"fractions": (0.8, 0.1, 0.2)}, r"add up to 1, got \(0.8, 0.1, 0.2\)"),
        ({"fractions": (1.0, 0.0, 0.0)}, "expected shares"),
        ({"folds": 20}, r"expected enough subjects .* got 12: .* would be empty"),
    ],
)
def test_impossible_settings_are_refused(options, match):
    with pytest.raises(CohortError, match=match):
        make_split([visit(f"sub-{n}") for n in range(12)], seed=0, **options)


@pytest.mark.parametrize("options", [{"seed": 1}, {"seed": 0, "folds": 5}, {"seed": 0, "fractions": (0.6, 0.2, 0.2)}])
def test_existing_split_is_not_reinterpreted(options):
    visits = [visit(f"sub-{n}") for n in range(20)]
    with pytest.raises(CohortError, match=r"expected the settings it was made with .* Use the same, or remove"):
        make_split(visits, existing=make_split(visits, seed=0), **options)


@pytest.mark.parametrize(
    ("folds", "fold", "match"), [(None, 1, "got a holdout and fold 1"), (4, 5, "from 1 to 4, got 5")]
)
def test_fold_that_does_not_exist_is_refused(folds, fold, match):
    split = make_split([visit(f"sub-{n}") for n in range(20)], seed=0, folds=folds)
    for ask in (split.training_subjects, split.validation_subjects, split.test_subjects):
        with pytest.raises(CohortError, match=match):
            ask(fold=fold)


@pytest.mark.parametrize("folds", [None, 5])
def test_split_is_read_as_it_was_written(tmp_path: Path, folds):
    visits = [visit(f"sub-{n}", diagnosis=("CN", "AD", None)[n % 3], site=("A", None)[n % 2]) for n in range(30)]
    split = make_split(visits, seed=7, folds=folds)
    write_split(tmp_path / "split.json", split)
    assert read_split(tmp_path / "split.json", visits=visits) == split


def test_unknown_subjects_are_refused_with_the_command_that_adds_them(tmp_path: Path):
    visits = [visit(f"sub-{n}") for n in range(20)]
    write_split(tmp_path / "split.json", make_split(visits[:15], seed=0))
    with pytest.raises(CohortError, match=r"lacking 5: sub-15, sub-16, sub-17 …. Run `neurolatent cohort split`"):
        read_split(tmp_path / "split.json", visits=visits)


def test_absent_split_names_the_command(tmp_path: Path):
    with pytest.raises(CohortError, match=r"no split. Make it with `neurolatent cohort split"):
        read_split(tmp_path / "split.json")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format_version": 0}, "expected format version 1, got 0"),
        ({"hash": "0"}, "expected hash 0, got .*: it was edited"),
        ({"kind": "thirds"}, "unknown kind 'thirds'"),
        ({"subjects": {"sub-0": "train"}}, "expected a whole split"),
    ],
)
def test_edited_split_is_refused(tmp_path: Path, change, match):
    path = tmp_path / "split.json"
    write_split(path, make_split([visit(f"sub-{n}") for n in range(20)], seed=0))
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(CohortError, match=match):
        read_split(path)


@quick
@given(partly_for_testing(), kinds, seeds)
def test_people_for_testing_only_are_tested_once_and_join_no_fit(cohort, folds, seed):
    visits, apart = cohort
    split = make_split(visits, seed=seed, folds=folds, test_only=apart)
    assert split.test_only == apart
    assert Counter(subject for one in split.rounds() for subject in one.test if subject in apart) == Counter(apart)
    fitted = [one.train for one in split.rounds()]
    for fold in [None] if folds is None else [None, *range(1, folds + 1)]:
        fitted += [split.training_subjects(fold=fold), split.validation_subjects(fold=fold)]
    assert not apart & frozenset.union(*fitted)


@quick
@given(partly_for_testing(), st.sampled_from([3, 5]), seeds)
def test_in_folds_the_others_are_where_they_would_be_without_people_for_testing_only(cohort, folds, seed):
    visits, apart = cohort
    split = make_split(visits, seed=seed, folds=folds, test_only=apart)
    others = {v.participant_id for v in visits} - apart
    assert all(one.train | one.test >= others for one in split.rounds())
    assert split.training_subjects() == others
    assert split.test_subjects() == apart
    alone = make_split([v for v in visits if v.participant_id in others], seed=seed, folds=folds)
    assert split.assignments.items() >= alone.assignments.items()


@quick
@given(partly_for_testing(), st.sampled_from([3, 5]), seeds)
def test_folds_are_of_one_size_with_people_for_testing_only(cohort, folds, seed):
    visits, apart = cohort
    counts = Counter(make_split(visits, seed=seed, folds=folds, test_only=apart).assignments.values())
    assert max(abs(count - len(visits) / folds) for count in counts.values()) <= 2


@quick
@given(partly_for_testing(), seeds)
def test_shares_of_a_holdout_are_of_everyone_as_near_as_people_for_testing_only_let_them(cohort, seed):
    visits, apart = cohort
    split = make_split(visits, seed=seed, test_only=apart)
    counts = Counter(split.assignments.values())
    test = max(0.2 * len(visits), len(apart))
    rest = len(visits) - test
    wanted = {"train": rest * 7 / 8, "validation": rest / 8, "test": test}
    assert max(abs(counts[part] - count) for part, count in wanted.items()) <= 2
    if len(apart) >= 0.2 * len(visits):
        assert split.members("test") == apart


@pytest.mark.parametrize(
    ("apart", "counts"), [(0, (70, 10, 20)), (5, (70, 10, 20)), (20, (70, 10, 20)), (44, (49, 7, 44))]
)
def test_people_for_testing_only_take_the_place_of_others_in_the_test(apart, counts):
    visits = [visit(f"sub-{n}") for n in range(100)]
    split = make_split(visits, seed=0, test_only=[f"sub-{n}" for n in range(apart)])
    assert tuple(len(split.members(part)) for part in ("train", "validation", "test")) == counts


@quick
@given(partly_for_testing(), kinds, seeds)
def test_newcomers_for_testing_only_move_nobody(cohort, folds, seed):
    visits, apart = cohort
    late = {f"new-{v.participant_id}": v for v in visits[::2]}
    everyone = [*visits, *(replace(v, participant_id=name) for name, v in late.items())]
    first = make_split(visits, seed=seed, folds=folds, test_only=apart)
    second = make_split(everyone, seed=seed, folds=folds, existing=first, test_only=late.keys())
    assert second.assignments.items() >= first.assignments.items()
    assert second.test_only == apart | late.keys()
    assert not second.test_only & frozenset.union(*(one.train for one in second.rounds()))


@pytest.mark.parametrize("folds", [None, 4])
def test_whoever_may_have_trained_is_not_kept_for_testing_afterwards(folds):
    visits = [visit(f"sub-{n}") for n in range(20)]
    split = make_split(visits, seed=0, folds=folds)
    late = sorted(split.training_subjects())[:2]
    match = rf"nobody for testing only among those who may train, got 2: {late[0]}, {late[1]}. Run .* --replace"
    with pytest.raises(CohortError, match=match):
        extend_split(split, visits, test_only=late)


def test_whoever_a_holdout_tests_anyway_may_be_kept_for_testing_and_changes_nothing():
    visits = [visit(f"sub-{n}") for n in range(20)]
    split = make_split(visits, seed=0)
    assert extend_split(split, visits, test_only=split.members("test")) == split


@pytest.mark.parametrize(
    ("folds", "apart", "match"),
    [
        (None, 12, r"got 12, 12 for testing only: \['train'\] would be empty"),
        (3, 10, r"got 12, 10 for testing only: \['fold-3'\] would be empty"),
    ],
)
def test_too_few_people_to_train_on_are_refused(folds, apart, match):
    visits = [visit(f"sub-{n}") for n in range(12)]
    with pytest.raises(CohortError, match=match):
        make_split(visits, seed=0, folds=folds, test_only=[f"sub-{n}" for n in range(apart)])


@pytest.mark.parametrize("folds", [None, 5])
def test_split_file_says_who_is_for_testing_only_and_notices_when_that_is_edited(tmp_path: Path, folds):
    visits, path = [visit(f"sub-{n}") for n in range(30)], tmp_path / "split.json"
    split = make_split(visits, seed=7, folds=folds, test_only=["sub-3"])
    write_split(path, split)
    subjects = json.loads(path.read_text(encoding="utf-8"))["subjects"]
    assert [subject for subject, entry in subjects.items() if "test_only" in entry] == ["sub-3"]
    assert read_split(path, visits=visits) == split
    path.write_text(path.read_text(encoding="utf-8").replace('"test_only": true', '"test_only": false'))
    with pytest.raises(CohortError, match="it was edited"):
        read_split(path)


def test_hash_knows_people_for_testing_only_and_is_unmoved_without_any():
    split = make_split([visit(f"sub-{n}") for n in range(20)], seed=0, folds=4)
    assert split.hash == "4a3b40eba85fc5f46edadf797b4dc01af9649d980ecf5de79d4a13a5e4e804c0"
    assert replace(split, test_only=frozenset({"sub-3"})).hash != split.hash


def test_splits_and_visits_need_no_heavy_library():
    code = (
        "import sys; import neurolatent.cohort.splits; "
        "print([m for m in ('pandas', 'scipy', 'sklearn', 'pydantic', 'torch', 'tyro') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
