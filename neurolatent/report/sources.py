"""Read a workspace's files for the report, and refuse findings that no longer match them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurolatent.analysis.finding import FILE_NAME, Finding, read_finding
from neurolatent.analysis.leakage import refuse_failed
from neurolatent.cohort.sidecar import Sidecar, read_sidecar
from neurolatent.cohort.splits import Split, read_split
from neurolatent.cohort.visits import Visit, read_visits
from neurolatent.errors import SettingsError, TableError
from neurolatent.model.weights import CARD_NAME, Card, read_card
from neurolatent.volume.cache import VolumeCache, open_cache
from neurolatent.workspace import Workspace

ORDER = ("classify_ad", "regress_age", "fill_missing_visit", "age_counterfactual", "reconstruct")


@dataclass(frozen=True, eq=False)
class Inputs:
    """All that the report reads, checked against each other."""

    workspace: Workspace
    run: str
    visits: Sequence[Visit]
    sidecar: Sidecar
    split: Split | None
    card: Card | None
    cache: VolumeCache | None
    findings: Mapping[str, Finding]

    @property
    def simulation(self) -> bool:
        """Whether anything here rests on simulated people."""
        return self.sidecar.simulation or any(finding.simulation for finding in self.findings.values())

    @property
    def source_roots(self) -> tuple[str, ...]:
        """Folders of raw scans, which the report must not show."""
        return tuple(map(str, self.sidecar.source_roots))

    def folder(self, finding: Finding) -> Path:
        """Return where a finding's tables and maps lie."""
        return self.workspace.findings(self.run, finding.protocol)


def read_inputs(workspace: Workspace, *, run: str) -> Inputs:
    """Read everything there is; a finding whose hashes differ from the files present is refused."""
    visits = read_visits(workspace.visits_tsv)
    if not visits:
        expected = "expected the scans of a cohort, got a table without any"
        msg = f"{workspace.visits_tsv}: {expected}. See why in {workspace.visits_json.name}, and build it again."
        raise TableError(msg)
    sidecar = read_sidecar(workspace.visits_json)
    split = read_split(workspace.split_json, visits=visits) if workspace.split_json.is_file() else None
    card = read_card(workspace.model(run)) if (workspace.model(run) / CARD_NAME).is_file() else None
    caches = [open_cache(index.parent) for index in sorted(workspace.derivatives.glob("cache_res-*/index.json"))]
    findings = _read_findings(workspace, run)
    if findings:
        refuse_failed(workspace, run=run)
    for finding in findings.values():
        _refuse_stale(workspace, run, finding, caches=caches, split=split, card=card)
    cache = _cache_in_use(caches, findings, card)
    return Inputs(workspace, run, visits, sidecar, split, card, cache, findings)


def rerun_command(workspace: Workspace, run: str, protocol: str) -> str:
    """Return the command that makes a finding anew."""
    return f"`neurolatent run {protocol} {workspace.root} --run {run}`"


def table_file(inputs: Inputs, finding: Finding, name: str) -> Path | None:
    """Return a table of a finding; nothing where the finding has none of that name."""
    return _beside(inputs, finding, finding.tables, name)


def map_file(inputs: Inputs, finding: Finding, name: str) -> Path | None:
    """Return a map of a finding; nothing where the finding has none of that name."""
    return _beside(inputs, finding, finding.maps, name)


def _beside(inputs: Inputs, finding: Finding, files: Mapping[str, str], name: str) -> Path | None:
    if name not in files:
        return None
    path = inputs.folder(finding) / files[name]
    if not path.is_file():
        command = rerun_command(inputs.workspace, inputs.run, finding.protocol)
        msg = f"{path}: named by {FILE_NAME} as {name!r}, but not there. Run {command} again."
        raise SettingsError(msg)
    return path


def _read_findings(workspace: Workspace, run: str) -> dict[str, Finding]:
    folder = workspace.root / "findings" / run
    found = {path.parent.name: read_finding(path) for path in sorted(folder.glob(f"*/{FILE_NAME}"))}
    known = [name for name in ORDER if name in found]
    return {name: found[name] for name in [*known, *(name for name in found if name not in known)]}


def _refuse_stale(
    workspace: Workspace,
    run: str,
    finding: Finding,
    *,
    caches: Sequence[VolumeCache],
    split: Split | None,
    card: Card | None,
) -> None:
    pairs = [
        ("volume cache", finding.cohort.get("hash"), [cache.hash for cache in caches]),
        ("split", finding.split_hash, [split.hash] if split else []),
        ("weights", finding.weights_hash, [card.weights_hash] if card else []),
    ]
    for name, recorded, present in pairs:
        if recorded not in present:
            now = " or ".join(str(value)[:12] for value in present) or "none"
            path = workspace.findings(run, finding.protocol) / FILE_NAME
            what = f"expected a finding made from the present {name} ({now}), got one from {str(recorded)[:12]}"
            msg = f"{path}: {what}. Run {rerun_command(workspace, run, finding.protocol)} again."
            raise SettingsError(msg)


def _cache_in_use(
    caches: Sequence[VolumeCache], findings: Mapping[str, Finding], card: Card | None
) -> VolumeCache | None:
    used = {finding.cohort.get("hash") for finding in findings.values()}
    fingerprint = card.preprocessing if card else None
    ranked = sorted(caches, key=lambda cache: (cache.hash not in used, cache.preprocessing != fingerprint))
    return ranked[0] if ranked else None
