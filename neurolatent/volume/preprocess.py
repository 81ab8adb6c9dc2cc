"""Bring every scan of a workspace to standard space, finished ones skipped, bad ones reported; then the cache."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby
from math import prod
from pathlib import Path

import SimpleITK as sitk  # noqa: N813
import torch

from neurolatent.cohort.sidecar import Matrix
from neurolatent.cohort.visits import Visit, image_path, read_visits
from neurolatent.errors import ScanError, SettingsError
from neurolatent.provenance import read_json, versions, write_json
from neurolatent.volume.cache import cache_hash, discard_cache, open_cache, write_cache
from neurolatent.volume.given import Voxels, read_given, take_given
from neurolatent.volume.load import read_image
from neurolatent.volume.native_mask import ESTIMATED, MaskFile, extractor_words, mask_beside, refuse_mixed
from neurolatent.volume.quality import ScanOutcome, flags_of, write_quality
from neurolatent.volume.recipe import Recipe
from neurolatent.volume.records import ScanFiles
from neurolatent.volume.review import read_review
from neurolatent.volume.search import Registration
from neurolatent.volume.space import Grid, is_given
from neurolatent.volume.spread import spread
from neurolatent.volume.subject import RawScan, hold_out, inner_sessions, take_person
from neurolatent.workspace import ScanKey, View, Workspace, made_without

BIDS_VERSION = "1.10.0"
KEPT_BYTES, BYTES_A_VOXEL = 2**28, 5
"""Of scans that came in standard space, volume and mask: kept for the cache, which reads only the rest again."""
REPOOL = "If one moved, build its cohort from there and pool again."
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PreprocessResult:
    """What a run did."""

    done: int
    """Scans preprocessed now."""
    skipped: int
    """Scans finished before."""
    redone: tuple[tuple[ScanKey, str], ...]
    """Of those done now, the ones that were finished once, and what changed since."""
    failures: tuple[tuple[ScanKey, str], ...]
    """Scans that could not be used, each with one line that names the file and says what to do."""
    flagged: int
    """Scans that should be looked at."""
    rejected: tuple[tuple[ScanKey, str], ...]
    """Scans that a reviewer failed, with the note: they are left out of the cache."""


@dataclass(frozen=True)
class PersonTask:
    """One person's scans in order of time: the unit that a process works on."""

    scans: tuple[RawScan, ...]
    derivatives: Path
    recipe: Recipe
    hold_out_visits: bool


@dataclass(frozen=True)
class Options:
    """How to preprocess, where the usual way will not do."""

    registration: Registration = "affine"
    """To the template; between a person's scans it is always rigid."""
    extractor: str | None = None
    """An installed program that makes the masks: see `volume.native_mask`."""
    together: bool = True
    """Whether a person's scans are laid onto one another; each alone only to measure what that brings."""
    ignore_given_masks: bool = False
    """Make all masks here, even where the source brings some."""
    allow_mixed_masks: bool = False
    """Go on where masks come from several makers, which a model can tell apart."""
    hold_out_visits: bool = False
    """Also make, for every session between a person's first and last, the person's volumes as they would be without
    it, in `derivatives/heldout/`."""


DEFAULTS = Options()


def preprocess(
    workspace: Workspace,
    *,
    spacing_mm: float,
    view: View = "standard",
    options: Options = DEFAULTS,
    jobs: int = 1,
    scheduler: str | None = None,
    source: Path | None = None,
    progress: Progress | None = None,
) -> PreprocessResult:
    """Preprocess all scans of `visits.tsv`.

    Args:
        workspace: With the table of scans and its sidecar.
        spacing_mm: Of the grid.
        view: Where its middle lies.
        options: Registration, masks, visits to hold out.
        jobs: Processes, one thread each.
        scheduler: A Dask cluster to use instead: see `volume.spread`.
        source: Where the source folder is now, if it moved since the cohort was built.
        progress: Called as (what, done, total), in scans.

    Raises:
        SettingsError: If the source folder is not there, or its masks are of several makers. A bad scan only fails
            itself.
    """
    recipe = Recipe(Grid(spacing_mm, view), options.registration, options.extractor, options.together)
    visits = read_visits(workspace.visits_tsv)
    paths, outcomes = _locate(visits, _source_roots(workspace, visits, source))
    if recipe.extractor:
        extractor_words(recipe.extractor)
    given = {} if options.ignore_given_masks else _given_masks(visits, paths)
    if not options.allow_mixed_masks:
        _refuse_mixed(visits, paths, given, recipe)
    report = progress or _silent
    tasks = _tasks(workspace, visits, paths, given, recipe, hold_out_visits=options.hold_out_visits)
    held_out: dict[ScanKey, ScanOutcome] = {}
    kept: dict[ScanKey, Voxels] = {}
    for outcome in chain(_given(visits, paths, workspace.derivatives, recipe, kept), _run(tasks, jobs, scheduler)):
        if outcome.without:
            held_out[made_without(outcome.key, outcome.without)] = outcome
        else:
            outcomes[outcome.key] = outcome
            report("preprocess", len(outcomes), len(visits))
    ordered = [outcomes[visit.key] for visit in visits]
    _describe(workspace.derivatives)
    flags = flags_of(ordered)
    write_quality(workspace.quality_tsv, ordered, flags)
    rejected = {key: verdict.note for key, verdict in read_review(workspace.review_tsv).items() if not verdict.passed}
    passed = {o.key: o for o in ordered if o.key not in rejected}
    _update_cache(
        workspace.cache(spacing_mm, view),
        passed,
        recipe,
        lambda one: kept.pop(one.key, None) or _voxels(one, workspace, paths, recipe.grid),
    )
    apart = {key: o for key, o in sorted(held_out.items()) if o.key not in rejected}
    # Without the option there are none: what an earlier run made may no longer fit these scans.
    folder = workspace.held_out_cache(spacing_mm, view)
    _update_cache(folder, apart, recipe, lambda one: _written_voxels(one, workspace, recipe.grid))
    return PreprocessResult(
        done=sum(outcome.status == "done" for outcome in ordered),
        skipped=sum(outcome.status == "skipped" for outcome in ordered),
        redone=tuple((o.key, o.reason) for o in ordered if o.status == "done" and o.reason),
        failures=_failures(ordered, held_out),
        flagged=sum(bool(reasons) for reasons in flags.values()),
        rejected=tuple((o.key, rejected[o.key]) for o in ordered if o.key in rejected),
    )


def _failures(
    ordered: Sequence[ScanOutcome], held_out: Mapping[ScanKey, ScanOutcome]
) -> tuple[tuple[ScanKey, str], ...]:
    """Return what failed and why; a scan that failed itself is not told again for each visit it was made without."""
    failed = {outcome.key: outcome.message for outcome in ordered if outcome.status == "failed"}
    apart = {key: o.message for key, o in sorted(held_out.items()) if o.status == "failed" and o.key not in failed}
    return tuple({**failed, **apart}.items())


def _silent(_what: str, _done: int, _total: int) -> None:
    """Report to nobody."""


def _source_roots(workspace: Workspace, visits: Sequence[Visit], source: Path | None) -> dict[str, Path]:
    """Return each cohort's source folder; a pooled workspace has several."""
    record = read_json(workspace.visits_json)
    pooled = {member["cohort"]: Path(member["source_root"]) for member in record.get("members", ())}
    if source and pooled:
        msg = f"--source {source}: expected none, for {sorted(pooled)} have a source folder each. {REPOOL}"
        raise SettingsError(msg)
    roots = {visit.cohort: source or pooled.get(visit.cohort, Path(record["source_root"])) for visit in visits}
    for cohort, root in roots.items():
        if not root.is_dir():
            way_out = REPOOL if cohort in pooled else "If it moved, state --source."
            msg = f"{root}: expected the folder of the scans, found none. {way_out}"
            raise SettingsError(msg)
    return roots


def _analyze_affines(workspace: Workspace, visits: Sequence[Visit]) -> dict[str, Matrix | None]:
    """Return what each cohort's descriptor says of images whose header cannot tell how they lie."""
    record = read_json(workspace.visits_json)
    pooled = {member["cohort"]: member.get("analyze_affine") for member in record.get("members", ())}
    told = {visit.cohort: pooled.get(visit.cohort, record.get("analyze_affine")) for visit in visits}
    return {cohort: rows and tuple(tuple(row) for row in rows) for cohort, rows in told.items()}


def _locate(
    visits: Sequence[Visit], roots: Mapping[str, Path]
) -> tuple[dict[ScanKey, Path], dict[ScanKey, ScanOutcome]]:
    """Return where each image lies, and the scans whose path leaves the source."""
    paths: dict[ScanKey, Path] = {}
    refused: dict[ScanKey, ScanOutcome] = {}
    for visit in visits:
        try:
            paths[visit.key] = image_path(roots[visit.cohort], visit.image)
        except ScanError as error:
            reason = "the image's path leaves the source folder"
            refused[visit.key] = ScanOutcome(visit.key, "failed", str(error), reason, None)
    return paths, refused


def _given_masks(visits: Sequence[Visit], paths: dict[ScanKey, Path]) -> dict[ScanKey, MaskFile]:
    """Return the masks that lie beside raw scans."""
    raw = [visit.key for visit in visits if visit.key in paths and not is_given(visit.image)]
    found = {key: mask_beside(paths[key]) for key in raw}
    return {key: mask for key, mask in found.items() if mask}


def _refuse_mixed(
    visits: Sequence[Visit], paths: dict[ScanKey, Path], given: dict[ScanKey, MaskFile], recipe: Recipe
) -> None:
    raw = [visit.key for visit in visits if visit.key in paths and not is_given(visit.image)]
    refuse_mixed(given[key].source if key in given else recipe.extractor or ESTIMATED for key in raw)


def _given(
    visits: Sequence[Visit],
    paths: dict[ScanKey, Path],
    derivatives: Path,
    recipe: Recipe,
    kept: dict[ScanKey, Voxels],
) -> Generator[ScanOutcome]:
    """Take the scans that are in standard space already, and keep the voxels of as many as there is room for."""
    room = KEPT_BYTES // (BYTES_A_VOXEL * prod(recipe.grid.shape))
    with one_thread():
        for visit in visits:
            if visit.key in paths and is_given(visit.image):
                outcome, voxels = _take_given(visit.key, paths[visit.key], derivatives, recipe)
                if voxels and len(kept) < room:
                    kept[visit.key] = voxels
                yield outcome


def _tasks(
    workspace: Workspace,
    visits: Sequence[Visit],
    paths: dict[ScanKey, Path],
    given: dict[ScanKey, MaskFile],
    recipe: Recipe,
    *,
    hold_out_visits: bool,
) -> list[PersonTask]:
    derivatives, affines = workspace.derivatives.resolve(), _analyze_affines(workspace, visits)
    raw = sorted(
        (visit for visit in visits if visit.key in paths and not is_given(visit.image)), key=_by_person_and_time
    )
    return [
        PersonTask(
            tuple(RawScan(visit.key, paths[visit.key], given.get(visit.key), affines[visit.cohort]) for visit in scans),
            derivatives,
            recipe,
            hold_out_visits,
        )
        for _, scans in groupby(raw, key=lambda visit: visit.participant_id)
    ]


def _by_person_and_time(visit: Visit) -> tuple[str, float, str, int, str]:
    return visit.participant_id, visit.months, visit.session_id, len(visit.run), visit.run


def _run(tasks: Sequence[PersonTask], jobs: int, scheduler: str | None) -> Generator[ScanOutcome]:
    for outcomes in spread(_take, tasks, lost=_lost, jobs=jobs, scheduler=scheduler):
        yield from outcomes


def _lost(task: PersonTask, why: str) -> list[ScanOutcome]:
    """Return the outcomes of a person whose process died, twice."""
    return [ScanOutcome(scan.key, "failed", f"{scan.path.name}: {why}", why, None) for scan in task.scans]


def _take(task: PersonTask) -> list[ScanOutcome]:
    with one_thread():
        outcomes = take_person(task.scans, task.derivatives, task.recipe)
        for session in inner_sessions(task.scans) if task.hold_out_visits else ():
            outcomes += hold_out(task.scans, task.derivatives, task.recipe, session=session)
    return outcomes


def _take_given(key: ScanKey, path: Path, derivatives: Path, recipe: Recipe) -> tuple[ScanOutcome, Voxels | None]:
    try:
        return take_given(key, path, derivatives, recipe)
    except ScanError as error:
        ScanFiles(derivatives, key, recipe.grid.label).discard()
        message = str(error)
        return ScanOutcome(key, "failed", message, message.partition(": ")[2], None), None


@contextmanager
def one_thread() -> Generator[None]:
    """Keep every library to one thread: persons, not voxels, are what runs in parallel."""
    before = torch.get_num_threads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before[1])


def _describe(derivatives: Path) -> None:
    content = {
        "Name": "neurolatent: T1w in standard space",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "neurolatent", "Version": versions().get("neurolatent", "unknown")}],
    }
    path = derivatives / "dataset_description.json"
    if not path.is_file() or read_json(path) != content:
        write_json(path, content)


def _update_cache(
    folder: Path,
    outcomes: Mapping[ScanKey, ScanOutcome],
    recipe: Recipe,
    voxels: Callable[[ScanOutcome], Voxels],
) -> None:
    """Write a volume cache, unless it holds exactly these scans already."""
    hashes = {key: outcome.record.content_hash for key, outcome in outcomes.items() if outcome.record}
    if not hashes:
        discard_cache(folder)
        return
    grid, fingerprint = recipe.grid, recipe.fingerprint
    try:
        if open_cache(folder).hash == cache_hash(hashes, hashes.values(), grid=grid, preprocessing=fingerprint):
            return
    except ScanError:
        pass  # absent or damaged: written below
    scans = ((key, *voxels(outcomes[key]), content) for key, content in hashes.items())
    write_cache(folder, scans, count=len(hashes), grid=grid, preprocessing=fingerprint)


def _voxels(outcome: ScanOutcome, workspace: Workspace, paths: Mapping[ScanKey, Path], grid: Grid) -> Voxels:
    path = paths[outcome.key]
    return read_given(path, grid) if is_given(path.name) else _written_voxels(outcome, workspace, grid)


def _written_voxels(outcome: ScanOutcome, workspace: Workspace, grid: Grid) -> Voxels:
    files = ScanFiles(workspace.derivatives, outcome.key, grid.label, outcome.without)
    volume, mask = (read_image(path)[1] for path in (files.volume, files.mask))
    return volume, mask > 0.5
