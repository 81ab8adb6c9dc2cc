"""One function per command about cohorts: each reads the files of earlier steps and holds the workspace.

Phantom, certificate and check load in the functions that need them: `neurolatent cohort list` should not wait.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from neurolatent.cohort.build import BuildResult, build_cohort
from neurolatent.cohort.descriptor import cohort_names, load_descriptor
from neurolatent.cohort.options import NO_OPTIONS, BuildOptions
from neurolatent.cohort.pooling import pool_cohorts
from neurolatent.cohort.regional import join_regional, read_regional, write_regional
from neurolatent.cohort.sidecar import Counts, read_sidecar
from neurolatent.cohort.splits import Split, extend_split, make_split, read_split, write_split
from neurolatent.cohort.splits.by_site import joined_sites
from neurolatent.cohort.visits import read_visits
from neurolatent.console import Outcome
from neurolatent.device import DeviceName, pick_device, usable_cores
from neurolatent.errors import SettingsError, TableError
from neurolatent.progress import Progress
from neurolatent.provenance import read_json, write_json
from neurolatent.workspace import Workspace

if TYPE_CHECKING:
    from neurolatent.analysis.leakage import Certification
    from neurolatent.contract.check import CohortCheck

FRACTIONS = (0.7, 0.1, 0.2)
"""Of people: train, validation, test."""
NOTE_LENGTH = 160


@dataclass(frozen=True)
class PhantomSettings:
    """Options of `cohort build phantom`."""

    subjects: int = 120
    """People in the phantom."""
    visits: int = 3
    """Planned visits a person; some are missed."""
    arm: Literal["balanced", "confounded"] = "balanced"
    """Whether the sites differ in their share of AD."""
    space: Literal["standard", "raw"] = "standard"
    """Standard-space brains, or raw heads in their own pose and voxel size."""
    spacing_mm: float = 4.0
    """Of the standard-space grid."""
    people: tuple[int, ...] | None = None
    """Write only these numbers of the cohort."""
    voxel_mm: tuple[float, float, float] | None = None
    """Of raw scans, 0.8 to 3 mm along x, y and z; each scanner's own where not given."""
    orientation: str | None = None
    """Of raw scans: one of the 48, or `any` to draw one for each; each scanner's own where not given."""
    still: bool = False
    """In raw scans, let nobody move."""
    write: tuple[Literal["tissues", "deformations", "noise-free"], ...] = ()
    """True images to write too, as NIfTI on the standard-space grid."""
    device: DeviceName = "cpu"
    """Where images are computed."""


def list_cohorts() -> dict[str, str]:
    """Return the shipped descriptors, name → title."""
    return {name: load_descriptor(name).title for name in cohort_names()}


def build(
    name: str,
    source: Path | None,
    *,
    out: Path | None = None,
    folds: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 1,
    options: BuildOptions = NO_OPTIONS,
    phantom: PhantomSettings | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Read a source folder into the workspace's table of scans and freeze a split; the phantom makes its own source."""
    workspace = Workspace(out or Path("out") / name)
    with workspace.lock(make=True):
        _refuse_another_cohort(workspace, name)
        if name == "phantom" and source is None:
            source = _make_phantom(workspace, phantom or PhantomSettings(), seed=seed, jobs=jobs, progress=progress)
        if source is None:
            msg = f"cohort build {name}: expected the folder of the scans as second argument, got none."
            raise SettingsError(msg)
        result = build_cohort(name, source, workspace, options=options)
        kept = _split_once(workspace, folds=folds, fractions=fractions, seed=seed) if result.visits else []
    return Outcome([*kept, *_describe_build(result, workspace)], failed=result.failed)


def join_volumes(root: Path, sources: Sequence[Path]) -> Outcome:
    """Join what other programs measured to the scans, and write it as a table of the workspace, if any joins."""
    workspace = Workspace(root)
    with workspace.lock():
        visits = read_visits(workspace.visits_tsv)
        joined = join_regional([one for source in sources for one in read_regional(source)], visits)
        if joined.rows:
            write_regional(workspace.regional_tsv, joined)
    if not joined.rows:
        state = "the table stays as it was" if workspace.regional_tsv.is_file() else "no table was written"
        expected = f"expected volumes of some of the {len(visits)} scans, got those of none; {state}"
        return Outcome(
            [*joined.lost, f"{workspace.regional_tsv}: {expected}. Check the names of the scans."], failed=True
        )
    total = f"{workspace.regional_tsv}: regional volumes of {len(joined.rows)} of {len(visits)} scans"
    return Outcome([*joined.lost, total], failed=False)


def split(
    root: Path,
    *,
    folds: int | None,
    fractions: tuple[float, float, float],
    seed: int,
    leave_one_site_out: bool = False,
    replace: bool = False,
) -> str:
    """Freeze who trains and who tests; return one line that says so."""
    workspace = Workspace(root)
    with workspace.lock():
        visits = read_visits(workspace.visits_tsv)
        existing = None if replace or not workspace.split_json.is_file() else read_split(workspace.split_json)
        split = make_split(
            visits,
            seed=seed,
            folds=folds,
            fractions=fractions,
            leave_one_site_out=leave_one_site_out,
            existing=existing,
            test_only=read_sidecar(workspace.visits_json).test_only,
        )
        write_split(workspace.split_json, split)
    return _describe_split(split)


def pool(roots: Sequence[Path], out: Path, *, seed: int = 1, accept_diagnosis_rules: bool = False) -> Outcome:
    """Join built workspaces into a new one."""
    workspace = Workspace(out)
    with workspace.lock(make=True):
        result = pool_cohorts(roots, workspace, seed=seed, accept_diagnosis_rules=accept_diagnosis_rules)
    lines = [_describe_counts(member.cohort, member.counts) for member in result.members]
    lines.append(_describe_counts(f"{workspace.visits_tsv}", result.sidecar.counts))
    rules = result.sidecar.accepted_diagnosis_rules
    lines += [f"Diagnoses were reached in {len(rules)} ways, as accepted: {'; '.join(rules)}"] if rules else []
    return Outcome([*lines, f"{_describe_split(result.split)} ({result.division})"], failed=False)


def certify(root: Path, *, against: Sequence[Path] = ()) -> "Certification":
    """Say whether anybody who is tested was seen in training, and write it to `certificate.json`."""
    from neurolatent.analysis.leakage import certify_workspace, write_certification  # torch loads only here

    workspace = Workspace(root)
    with workspace.lock():
        certification = certify_workspace(workspace, against)
        write_certification(workspace, certification)
    return certification


def check(
    root: Path,
    *,
    source: Path | None = None,
    deep: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> "CohortCheck":
    """Look at the table and the images of a built cohort; all that is at fault is told, and nothing is written."""
    from neurolatent.contract.check import check_cohort

    return check_cohort(Workspace(root), source=source, deep=deep, jobs=jobs or usable_cores(), progress=progress)


def _make_phantom(
    workspace: Workspace, settings: PhantomSettings, *, seed: int, jobs: int | None, progress: Progress | None
) -> Path:
    """Write the phantom's source folder once; other settings in the same place are refused."""
    from neurolatent.phantom.cohort import write_phantom
    from neurolatent.phantom.scanner import RawProtocol

    source = workspace.root / "source"
    record = source / "settings.json"
    wanted = json.loads(json.dumps({**asdict(settings), "seed": seed, "device": None}))
    if record.is_file():
        if read_json(record) != wanted:
            msg = f"{record}: expected the phantom {wanted}, got {read_json(record)}. Choose another --out."
            raise SettingsError(msg)
        return source

    def tell(done: int, total: int) -> None:
        if progress:
            progress("phantom", done, total)

    write_phantom(
        source,
        subjects=settings.subjects,
        seed=seed,
        visits=settings.visits,
        arm=settings.arm,
        space=settings.space,
        spacing_mm=settings.spacing_mm,
        people=settings.people,
        raw=RawProtocol(settings.voxel_mm, settings.orientation, settings.still),
        extras=settings.write,
        jobs=jobs or usable_cores(),
        device=str(pick_device(settings.device)),
        progress=tell,
    )
    write_json(record, wanted)
    return source


def _split_once(
    workspace: Workspace, *, folds: int | None, fractions: tuple[float, float, float], seed: int
) -> list[str]:
    """Freeze a split, or add newcomers to the one that is there; say so where that one is not what is asked for."""
    visits, test_only = read_visits(workspace.visits_tsv), read_sidecar(workspace.visits_json).test_only
    if not workspace.split_json.is_file():
        split = make_split(visits, seed=seed, folds=folds, fractions=fractions, test_only=test_only)
        write_split(workspace.split_json, split)
        return []
    split = extend_split(read_split(workspace.split_json), visits, test_only=test_only)
    write_split(workspace.split_json, split)
    own_folds = len(split.parts) if split.kind == "folds" else None
    if split.seed == seed and folds in {None, own_folds}:
        return []
    stays = f"note: split.json stays as it was made before ({split.kind}, seed {split.seed})"
    return [f"{stays}: `neurolatent cohort split --replace` makes it anew."]


def _refuse_another_cohort(workspace: Workspace, name: str) -> None:
    """Keep one cohort's split and models from meeting another's people."""
    try:
        there, wanted = read_sidecar(workspace.visits_json).cohort, Path(name).stem
    except TableError:  # absent, or damaged: the build writes it anew
        return
    if there != wanted:
        expected = f"expected a workspace of the cohort {wanted!r}"
        msg = f"{workspace.root}: {expected}, got one of {there!r}. Use another --out."
        raise SettingsError(msg)


def _describe_counts(what: str, counts: Counts) -> str:
    left_out = counts.found - counts.kept
    return f"{what}: {counts.kept} scans of {counts.participants} people, {left_out} left out"


def _describe_split(split: Split) -> str:
    counts = Counter(split.assignments.values())
    shares = ", ".join(f"{part} {count}" for part, count in sorted(counts.items()))
    apart = f", {len(split.test_only)} for testing only" if split.test_only else ""
    joined = joined_sites(split) if split.kind == "sites" else {}
    together = "".join(f"; {part}: {', '.join(sites)}" for part, sites in joined.items())
    return f"Split by subject ({split.kind}): {shares}{apart}{together}; hash {split.hash[:12]}"


def _shortened(note: str) -> str:
    """Cut a list of names that fills the screen; visits.json has all of it."""
    return note if len(note) <= NOTE_LENGTH else f"{note[:NOTE_LENGTH].rsplit(', ', 1)[0]} … (all in visits.json)"


def _describe_build(result: BuildResult, workspace: Workspace) -> list[str]:
    """Say each scan that is to be mended, how many followed a rule or a wish, and what is left."""
    faults = [f"{row.severity}: {row}" for row in result.exclusions if row.severity != "note"]
    followed = Counter(row.stage for row in result.exclusions if row.severity == "note")
    words = {"choice": "another image of the visit is taken", "filter": "left out as asked"}
    notes = [f"note: {words.get(stage, stage)}: {n} scans, which visits.json lists" for stage, n in followed.items()]
    notes += [f"note: {_shortened(text)}" for text in result.notes]
    return [*faults, *notes, f"{workspace.visits_tsv}: {result.summary}"]
