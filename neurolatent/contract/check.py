"""Check a built cohort: its table row by row, its images by their headers, their voxels too where that is asked for."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neurolatent.cohort.sidecar import Sidecar, read_sidecar
from neurolatent.contract.cells import Entry
from neurolatent.contract.content import ContentCheck, look_at_contents
from neurolatent.contract.duplicates import near_copies, same_content, same_files
from neurolatent.contract.headers import HeaderCheck, ImageTask, look_at_headers
from neurolatent.contract.remark import PLACES_SHOWN, SEVERITIES, Place, Remark, describe, gravest_first
from neurolatent.contract.table import check_table
from neurolatent.errors import TableError
from neurolatent.progress import Progress
from neurolatent.provenance import hash_file
from neurolatent.volume.space import is_given
from neurolatent.workspace import ScanKey, Workspace


@dataclass(frozen=True)
class CohortCheck:
    """All that was remarked, the gravest first."""

    remarks: tuple[Remark, ...]
    rows: int
    """Rows of the table that could be read."""
    images: int
    """Scans whose image was looked at."""
    deep: bool
    """Whether the voxels were read, too."""

    @property
    def counts(self) -> dict[str, int]:
        """Remarks by their severity."""
        found = Counter(remark.severity for remark in self.remarks)
        return {f"{severity}s": found[severity] for severity in SEVERITIES}

    @property
    def failed(self) -> bool:
        """Whether there is an error, which later steps would stop at or be wrong by."""
        return self.counts["errors"] > 0

    @property
    def lines(self) -> list[str]:
        """What a person reads: remarks that say the same are one line."""
        looked = "header and voxels" if self.deep else "headers; --deep reads the voxels"
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return [*describe(self.remarks), f"{self.rows} rows, {self.images} images ({looked}): {counts}"]

    def as_json(self) -> dict[str, Any]:
        """What a program reads: every remark for itself."""
        facts = {"rows": self.rows, "images": self.images, "deep": self.deep}
        return {"counts": self.counts, **facts, "remarks": [asdict(remark) for remark in self.remarks]}


def check_cohort(
    workspace: Workspace,
    *,
    source: Path | None = None,
    deep: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> CohortCheck:
    """Look at all that later steps take from a workspace, and change nothing.

    Args:
        workspace: With the table of scans and its sidecar.
        source: Where the source folder is now, if it moved.
        deep: Read every voxel, not only the headers.
        jobs: Processes that read voxels.
        progress: Called as (what, done, total).
    """
    table = check_table(workspace.visits_tsv)
    remarks = list(table.remarks)
    sidecar, told = _sidecar(workspace)
    roots, lost = _roots(workspace, sidecar, source, {entry.cohort or "" for entry in table.entries})
    tasks = _tasks(table.entries, roots, sidecar)
    told += lost
    headers = _look(tasks, jobs, progress)
    contents = _read(headers, jobs, progress) if deep else {}
    for check in headers:
        content = contents.get(check.task.key)
        told += [*check.remarks, *(content.remarks if content else ())]
    remarks += told
    keys = [task.key for task in tasks]
    if deep:
        remarks += same_content({key: contents[key].voxels_hash for key in keys if key in contents})
    else:
        remarks += same_files(headers)
    remarks += near_copies(workspace, dict.fromkeys(entry.key for entry in table.entries if entry.key))
    remarks += _mixtures(headers, contents)
    return CohortCheck(gravest_first(remarks), len(table.entries), len(tasks), deep)


def _sidecar(workspace: Workspace) -> tuple[Sidecar | None, list[Remark]]:
    """Return the table's sidecar, or none and why; tell of a table that was edited since the build."""
    try:
        sidecar = read_sidecar(workspace.visits_json)
    except (TableError, OSError) as error:
        way_out = "Rebuild the cohort; until then, state --source to look at the images."
        place, got = Place(workspace.visits_json.name), f"none that can be read ({error})"
        return None, [Remark("error", "sidecar", place, "the table's sidecar", got, way_out)]
    return sidecar, _edited(workspace, sidecar)


def _roots(
    workspace: Workspace, sidecar: Sidecar | None, source: Path | None, cohorts: Iterable[str]
) -> tuple[dict[str, Path], list[Remark]]:
    """Return each cohort's folder of images, and tell of those that are not there."""
    roots: dict[str, Path] = {}
    remarks: dict[Path, Remark] = {}
    for cohort in cohorts:
        root = source or (sidecar.root_of(cohort) if sidecar else None)
        if root and root.is_dir():
            roots[cohort] = root
        elif root:
            place = Place(workspace.visits_json.name, column="source_root")
            way_out = "If it moved, state --source; the images were not looked at."
            remarks[root] = Remark("error", "source", place, "the folder of the images", f"none at {root}", way_out)
    return roots, list(remarks.values())


def _edited(workspace: Workspace, sidecar: Sidecar) -> list[Remark]:
    table = workspace.visits_tsv
    if not table.is_file() or hash_file(table) == sidecar.visits_hash:
        return []
    way_out = "Edits that are meant may stay; a rebuild of the cohort would undo them."
    expected, got = "the table as `cohort build` wrote it", "one that was changed since"
    return [Remark("note", "edited", Place(table.name), expected, got, way_out)]


def _tasks(entries: Iterable[Entry], roots: Mapping[str, Path], sidecar: Sidecar | None) -> list[ImageTask]:
    """Return each scan and each image once: what the table has twice was told of the table."""
    tasks: dict[ScanKey, ImageTask] = {}
    seen: set[tuple[Path, str]] = set()
    for entry in entries:
        root = roots.get(entry.cohort or "")
        if root and entry.key and entry.image and entry.key not in tasks and (root, entry.image) not in seen:
            affine = sidecar.analyze_affine_of(entry.cohort or "") if sidecar else None
            tasks[entry.key] = ImageTask(entry.key, root, entry.image, affine)
            seen.add((root, entry.image))
    return list(tasks.values())


def _look(tasks: Sequence[ImageTask], jobs: int, progress: Progress | None) -> list[HeaderCheck]:
    checks: list[HeaderCheck] = []
    for check in look_at_headers(tasks, jobs=jobs):
        checks.append(check)
        if progress:
            progress("headers", len(checks), len(tasks))
    return checks


def _read(headers: Sequence[HeaderCheck], jobs: int, progress: Progress | None) -> dict[ScanKey, ContentCheck]:
    total = sum(check.usable for check in headers)
    found: dict[ScanKey, ContentCheck] = {}
    for content in look_at_contents(headers, jobs=jobs):
        found[content.key] = content
        if progress:
            progress("voxels", len(found), total)
    return found


def _mixtures(headers: Sequence[HeaderCheck], contents: Mapping[ScanKey, ContentCheck]) -> list[Remark]:
    """Tell of kinds of images that a model could tell apart, and with them the sites."""
    kinds: dict[str, list[ScanKey]] = defaultdict(list)
    states: dict[str, list[ScanKey]] = defaultdict(list)
    grids: dict[str, list[ScanKey]] = defaultdict(list)
    for check in headers:
        key, content = check.task.key, contents.get(check.task.key)
        kinds["in standard space" if is_given(check.task.image) else "raw"].append(key)
        if check.grid:
            grids[f"res-{check.grid.label}"].append(key)
        if content and content.state:
            states[content.state].append(key)
    way_out = "Bring all scans to one kind: what differs between them a model takes for the site."
    one_grid = "Keep one grid: a preset takes the scans of its own, and refuses the others."
    return [
        *_mixture("mixed-space", "scans of one kind", kinds, way_out),
        *_mixture("mixed-grid", "one grid", grids, one_grid),
        *_mixture("mixed-stripping", "whole heads alone, or skull-stripped scans alone", states, way_out),
    ]


def _mixture(rule: str, expected: str, groups: Mapping[str, Sequence[ScanKey]], way_out: str) -> list[Remark]:
    if len(groups) < 2:
        return []
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    counts = " and ".join(f"{len(keys)} {name}" for name, keys in ordered)
    fewest = ordered[-1][1]
    more = f" and {len(fewest) - PLACES_SHOWN} more" if len(fewest) > PLACES_SHOWN else ""
    named = ", ".join("/".join(key) for key in fewest[:PLACES_SHOWN])
    place = Place("visits.tsv", column="image")
    return [Remark("warning", rule, place, expected, f"{counts} ({named}{more})", way_out)]
