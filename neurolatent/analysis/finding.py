"""What a protocol found: rows of estimates with intervals, and plain facts, in one JSON file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from neurolatent.errors import SettingsError
from neurolatent.provenance import read_json, versions, write_json

FORMAT_VERSION = 1
FILE_NAME = "finding.json"
Role = Literal["model", "baseline", "ceiling", "difference"]
Certificate = Literal["certified", "transductive"]


@dataclass(frozen=True)
class Estimate:
    """A measured number; a model's names in `versus` the baseline it must beat."""

    role: Role
    model: str
    """What gave the number, such as `semantic code` or `PCA of voxels`; for a difference, `A − B`."""
    name: str
    """The quantity, such as `ROC-AUC`."""
    value: float
    low: float
    high: float
    unit: str
    n_subjects: int
    n_scans: int
    interval_method: str
    level: float = 0.95
    group: str = "all"
    """The subset, such as `span 24 months`."""
    versus: str | None = None
    higher_is_better: bool | None = None


@dataclass(frozen=True)
class Fact:
    """A number or word that needs no interval, with where it comes from."""

    name: str
    value: float | int | str
    unit: str
    source: str


@dataclass(frozen=True)
class Finding:
    """One protocol's outcome, with hashes of all it rests on."""

    protocol: str
    title: str
    cohort: Mapping[str, Any]
    """name, n_subjects, n_scans, hash (of the volume cache)."""
    split_hash: str
    weights_hash: str
    certificate: Certificate
    certificate_reason: str
    seed: int
    simulation: bool
    settings: Mapping[str, Any]
    estimates: Sequence[Estimate]
    facts: Sequence[Fact] = ()
    notes: Sequence[str] = ()
    """Sentences for the report: what was done to whom, what is a limit."""
    tables: Mapping[str, str] = field(default_factory=dict)
    """Name → TSV file beside this one."""
    maps: Mapping[str, str] = field(default_factory=dict)
    """Name → NIfTI file beside this one."""
    versions: Mapping[str, str] = field(default_factory=versions)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        baselines = {(e.model, e.name, e.group) for e in self.estimates if e.role == "baseline"}
        for estimate in self.estimates:
            if estimate.role == "model" and (estimate.versus, estimate.name, estimate.group) not in baselines:
                row = f"{estimate.model!r}, {estimate.name!r}, {estimate.group!r}"
                msg = (
                    f"{self.protocol}: the row {row} must name in `versus` a baseline row of the same finding, "
                    f"got {estimate.versus!r}; there are {sorted(baselines)}."
                )
                raise SettingsError(msg)


def write_finding(folder: Path, finding: Finding) -> Path:
    """Write `finding.json`; tables and maps must lie beside it already."""
    path = folder / FILE_NAME
    content = asdict(finding)
    estimates = [{"kind": "estimate", **row} for row in content.pop("estimates")]
    facts = [{"kind": "fact", **row} for row in content.pop("facts")]
    write_json(path, {**content, "rows": estimates + facts})
    return path


def read_finding(path: Path) -> Finding:
    """Read what `write_finding` wrote; another format version is refused."""
    try:
        content = read_json(path)
    except ValueError as error:
        msg = f"{path}: expected a finding as JSON, got something else ({error}). Rerun the protocol."
        raise SettingsError(msg) from error
    if content.get("format_version") != FORMAT_VERSION:
        expected, got = f"expected format version {FORMAT_VERSION}", content.get("format_version")
        msg = f"{path}: {expected}, got {got}. Rerun the protocol."
        raise SettingsError(msg)
    rows = [dict(row) for row in content.pop("rows")]
    kinds = [row.pop("kind") for row in rows]
    estimates = [Estimate(**row) for kind, row in zip(kinds, rows, strict=True) if kind == "estimate"]
    facts = [Fact(**row) for kind, row in zip(kinds, rows, strict=True) if kind == "fact"]
    return Finding(**content, estimates=estimates, facts=facts)
