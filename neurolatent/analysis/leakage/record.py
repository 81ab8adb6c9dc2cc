"""What was found, as `certificate.json`; and the refusal of analyses where it says that people leaked."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from neurolatent.analysis.leakage.evidence import cheap_hashes, hash_fingerprints, read_fingerprints
from neurolatent.cohort.visits import read_visits
from neurolatent.errors import LeakageError
from neurolatent.provenance import read_json, write_json
from neurolatent.workspace import Workspace

FORMAT_VERSION = 1
Outcome = Literal["certified", "transductive", "failed"]


@dataclass(frozen=True)
class Failure:
    """Why analyses are refused."""

    model: str | None
    """Whose analyses alone are concerned; `None` where the split itself leaks, and with it all."""
    reason: str


@dataclass(frozen=True)
class Overlap:
    """People of one other workspace who are here too, by cohort and participant_id."""

    workspace: str
    """Its cohorts."""
    in_both: int
    tested_here_trained_there: tuple[str, ...]
    trained_here_tested_there: tuple[str, ...]


@dataclass(frozen=True)
class Likeness:
    """Two participants who look like one person."""

    one: str
    """As participant/session/run; so is the other."""
    other: str
    cohorts: tuple[str, str]
    elsewhere: bool
    """Whether the other is in another workspace."""
    across: bool
    """Whether one may be trained on where the other is tested."""
    likeness: float


@dataclass(frozen=True)
class Images:
    """Which scans were compared."""

    compared: Mapping[str, int]
    """Workspace, by its cohorts → scans."""
    not_compared: Mapping[str, int]
    """The same of scans without a fingerprint: not preprocessed, or failed there."""
    threshold: float
    alike: tuple[Likeness, ...]


@dataclass(frozen=True)
class StageSeen:
    """Test people whom one stage of one model has met, under one name or another."""

    model: str
    stage: str
    test_people: int
    forbidden: bool


@dataclass(frozen=True)
class Certification:
    """The certificate of a workspace."""

    outcome: Outcome
    lines: tuple[str, ...]
    """The same for a person."""
    failures: tuple[Failure, ...]
    test_people: int
    overlaps: tuple[Overlap, ...]
    images: Images
    stages: tuple[StageSeen, ...]
    models: tuple[str, ...]
    inputs: Mapping[str, str]
    """What it rests on → hash."""
    others: Mapping[str, Mapping[str, str]]
    """The same of the workspaces that were compared with, by their cohorts."""
    format_version: int = FORMAT_VERSION


def write_certification(workspace: Workspace, certification: Certification) -> None:
    """Write it, whole or not at all."""
    write_json(workspace.certificate_json, asdict(certification))


def read_certification(workspace: Workspace) -> Certification | None:
    """Read it; `None` where there is none, or one of another format."""
    content = read_json(workspace.certificate_json) if workspace.certificate_json.is_file() else {}
    if content.get("format_version") != FORMAT_VERSION:
        return None
    images: dict[str, Any] = content["images"] | {
        "alike": tuple(Likeness(**_tuples(row)) for row in content["images"]["alike"])
    }
    typed: dict[str, Any] = {
        "lines": tuple(content["lines"]),
        "failures": tuple(Failure(**row) for row in content["failures"]),
        "overlaps": tuple(Overlap(**_tuples(row)) for row in content["overlaps"]),
        "images": Images(**images),
        "stages": tuple(StageSeen(**row) for row in content["stages"]),
        "models": tuple(content["models"]),
    }
    return Certification(**(content | typed))


def refuse_failed(workspace: Workspace, *, run: str) -> None:
    """Refuse analyses of a model whose people leaked; a certificate of other inputs than the present says nothing."""
    certification = read_certification(workspace)
    failures = certification.failures if certification else ()
    concerned = [one for one in failures if one.model is None or _is_below(one.model, run)]
    if certification is None or not concerned or not _is_current(certification, workspace):
        return
    more = f" ({len(concerned) - 1} more failures)" if len(concerned) > 1 else ""
    again = f"Then run `neurolatent cohort certify {workspace.root}` again."
    msg = f"{workspace.certificate_json.name}: failed: {concerned[0].reason}{more} {again}"
    raise LeakageError(msg)


def _is_below(model: str, run: str) -> bool:
    return model == run or model.startswith(f"{run}/")


def _is_current(certification: Certification, workspace: Workspace) -> bool:
    """Whether all that it rests on is as it was; the many files with fingerprints are read last."""
    recorded = dict(certification.inputs)
    fingerprints = recorded.pop("fingerprints", "")
    if recorded != cheap_hashes(workspace):
        return False
    return fingerprints == hash_fingerprints(read_fingerprints(workspace, read_visits(workspace.visits_tsv)))


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for name, value in row.items()
    }
