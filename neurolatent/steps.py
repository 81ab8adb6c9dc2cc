"""One function per command: each reads the files of earlier steps, holds the workspace, and does nothing twice.

Lightning, scikit-learn and SimpleITK load in the functions that need them: `neurolatent cohort list` should not wait.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neurolatent.analysis.finding import FILE_NAME as FINDING_NAME
from neurolatent.analysis.finding import Estimate, Finding, read_finding
from neurolatent.cohort.build import BuildResult, build_cohort
from neurolatent.cohort.descriptor import cohort_names, load_descriptor
from neurolatent.cohort.pooling import pool_cohorts
from neurolatent.cohort.sidecar import Counts, read_sidecar
from neurolatent.cohort.splits import Split, extend_split, make_split, read_split, write_split
from neurolatent.cohort.splits.by_site import joined_sites
from neurolatent.cohort.visits import read_visits
from neurolatent.device import DeviceName, pick_device, usable_cores
from neurolatent.errors import SettingsError
from neurolatent.model.presets import find_preset
from neurolatent.model_steps import SHIPPED_RUN
from neurolatent.progress import Progress
from neurolatent.provenance import hash_settings, read_json, versions, write_json
from neurolatent.workspace import Workspace

if TYPE_CHECKING:
    from neurolatent.analysis.leakage import Certification
    from neurolatent.analysis.study import Study

FRACTIONS = (0.7, 0.1, 0.2)
"""Of people: train, validation, test."""


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


@dataclass(frozen=True)
class PreprocessSettings:
    """Options of `preprocess`."""

    registration: Literal["rigid", "similarity", "affine"] = "affine"
    """To the template; between a person's scans it is always rigid."""
    brain_extractor: str | None = None
    """An installed program that makes the masks: synthstrip, hd-bet, or a command with {image} and {mask}."""
    ignore_given_masks: bool = False
    """Make all masks here, even where the source brings some."""
    allow_mixed_masks: bool = False
    """Go on where masks come from several makers, though a model can tell them apart."""
    dask: str | None = None
    """Address or scheduler file of a Dask cluster to use instead of processes here."""
    hold_out_visits: bool = False
    """Also make each person's volumes as they would be without each inner visit, for filling that visit in."""


@dataclass(frozen=True)
class Outcome:
    """What a step did, in lines for a person."""

    lines: Sequence[str]
    failed: bool


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
    phantom: PhantomSettings | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Read a source folder into the workspace's table of scans and freeze a split; the phantom makes its own source."""
    workspace = Workspace(out or Path("out") / name)
    with workspace.lock():
        if name == "phantom" and source is None:
            source = _make_phantom(workspace, phantom or PhantomSettings(), seed=seed, jobs=jobs, progress=progress)
        if source is None:
            msg = f"cohort build {name}: expected the folder of the scans as second argument, got none."
            raise SettingsError(msg)
        result = build_cohort(name, source, workspace)
        if result.visits:
            _split_once(workspace, folds=folds, fractions=fractions, seed=seed)
    return Outcome(_describe_build(result, workspace), failed=result.failed)


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
    with workspace.lock():
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


def preprocess(
    root: Path,
    *,
    preset: str = SHIPPED_RUN,
    options: PreprocessSettings | None = None,
    jobs: int | None = None,
    source: Path | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Bring every scan to the preset's grid; a bad scan is a line of the outcome and stops no other."""
    from neurolatent.volume.preprocess import Options  # torchio and SimpleITK load only here
    from neurolatent.volume.preprocess import preprocess as preprocess_scans

    options = options or PreprocessSettings()

    workspace = Workspace(root)
    with workspace.lock():
        result = preprocess_scans(
            workspace,
            spacing_mm=find_preset(preset).spacing_mm,
            view=find_preset(preset).view,
            options=Options(
                registration=options.registration,
                extractor=options.brain_extractor,
                ignore_given_masks=options.ignore_given_masks,
                allow_mixed_masks=options.allow_mixed_masks,
                hold_out_visits=options.hold_out_visits,
            ),
            jobs=jobs or usable_cores(),
            scheduler=options.dask,
            source=source,
            progress=progress,
        )
    lines = [f"{'/'.join(key)}: {message}" for key, message in result.failures]
    lines += [f"{'/'.join(key)}: left out, a reviewer failed it ({note})" for key, note in result.rejected]
    total = f"{result.done} preprocessed, {result.skipped} finished before, {len(result.failures)} failed"
    looked = f"{result.flagged} flagged: look at {workspace.quality_html}"
    return Outcome([*lines, total, looked], failed=bool(result.failures))


def run_protocol(
    protocol: str,
    root: Path,
    *,
    run: str = SHIPPED_RUN,
    seed: int = 1,
    settings: Any = None,
    device: DeviceName = "auto",
    progress: Progress | None = None,
) -> Finding:
    """Run one analysis; its finding, tables and maps lie in `findings/RUN/PROTOCOL`.

    Args:
        protocol: A name of `neurolatent.analysis.protocols.PROTOCOLS`.
        root: The workspace.
        run: Name of the model.
        seed: Of draws and resampling, where no settings are given.
        settings: The analysis's own `Settings`.
        device: Where to compute.
        progress: Called as (what, done, total).
    """
    from neurolatent.analysis.protocols import PROTOCOLS
    from neurolatent.analysis.study import open_study, settle_steps

    if protocol not in PROTOCOLS:
        msg = f"Unknown protocol {protocol!r}; choose from {sorted(PROTOCOLS)}."
        raise SettingsError(msg)
    workspace = Workspace(root)
    kind, analyse = PROTOCOLS[protocol]
    chosen = settings or replace(kind(), seed=seed)
    with workspace.lock():
        study = open_study(workspace, run=run, device=pick_device(device), progress=progress)
        settled = settle_steps(chosen, study)
        return _finished(study, protocol, settled) or analyse(study, settled)


def _finished(study: "Study", protocol: str, settings: Any) -> Finding | None:
    """Return a finding made from the same files with the same settings and versions, so that nothing is done twice."""
    from neurolatent.analysis.codes import INDEX_NAME

    path = study.workspace.findings(study.run, protocol) / FINDING_NAME
    codes = study.workspace.codes(study.run) / INDEX_NAME
    if not path.is_file() or path.stat().st_mtime < codes.stat().st_mtime:  # codes of more scans may have come since
        return None
    finding = read_finding(path)
    wanted = [study.cache.hash, study.split.hash, study.card.weights_hash, asdict(settings), versions()]
    got = [finding.cohort["hash"], finding.split_hash, finding.weights_hash, finding.settings, finding.versions]
    return finding if hash_settings(got) == hash_settings(wanted) else None


def describe_finding(finding: Finding) -> str:
    """Return the finding's rows as aligned text."""
    lines = [f"{finding.title} ({finding.certificate}: {finding.certificate_reason})"]
    return "\n".join([*lines, *(_describe_estimate(row) for row in finding.estimates)])


def _describe_estimate(row: Estimate) -> str:
    interval = f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}] {row.unit}"
    return f"  {row.role:<10} {row.model:<40} {row.name:<22} {row.group:<16} {interval}, n = {row.n_subjects}"


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


def _split_once(workspace: Workspace, *, folds: int | None, fractions: tuple[float, float, float], seed: int) -> None:
    """Freeze a split, or add newcomers to the one that is there."""
    visits, test_only = read_visits(workspace.visits_tsv), read_sidecar(workspace.visits_json).test_only
    if workspace.split_json.is_file():
        split = extend_split(read_split(workspace.split_json), visits, test_only=test_only)
    else:
        split = make_split(visits, seed=seed, folds=folds, fractions=fractions, test_only=test_only)
    write_split(workspace.split_json, split)


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


def _describe_build(result: BuildResult, workspace: Workspace) -> list[str]:
    notes = [f"{row.severity}: {row}" for row in result.exclusions]
    return [*notes, f"{workspace.visits_tsv}: {result.summary}"]
