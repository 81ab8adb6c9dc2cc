"""Put what may be handed on into a folder of its own, whole or not at all."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from neurolatent.analysis import generation
from neurolatent.cohort.sidecar import Sidecar
from neurolatent.device import DeviceName, pick_device
from neurolatent.errors import SettingsError
from neurolatent.model.weights import Card, export_weights, load_autoencoder, read_card
from neurolatent.progress import Progress
from neurolatent.provenance import versions, write_json
from neurolatent.report.sources import Inputs, read_inputs
from neurolatent.report.summary import summarise
from neurolatent.report.write import write_summary
from neurolatent.sharing.identifiers import assign_names
from neurolatent.sharing.people import hide_in_summary, write_shared_finding
from neurolatent.sharing.samples import refuse_unknown_people, write_samples
from neurolatent.sharing.terms import refuse_against_terms
from neurolatent.volume.cache import open_cache
from neurolatent.workspace import Workspace

RECORD = "shared.json"


@dataclass(frozen=True)
class Wanted:
    """What to hand on beside the report and its tables."""

    weights: bool = False
    """Weights, whose card names no person."""
    samples: int = 0
    """So many brains of nobody, drawn by the model."""
    seed: int = 1
    """Of the samples."""


def share(
    workspace: Workspace,
    folder: Path,
    *,
    run: str,
    wanted: Wanted,
    device: DeviceName = "auto",
    progress: Progress | None = None,
) -> list[Path]:
    """Write report, findings and what else is wanted, with random identifiers for people; return the files.

    Args:
        workspace: Whose findings are handed on; the key to the identifiers stays there.
        folder: A new one.
        run: Name of the model.
        wanted: What else.
        device: Where samples are drawn.
        progress: Called as (what, done, total) while they are.

    Raises:
        SettingsError: If the folder is there or lies in the workspace, or terms do not allow what is wanted. Nothing is
            written then.
    """
    _refuse_folder(workspace, folder)
    if wanted.samples < 0:
        msg = f"--samples: expected a number of brains, got {wanted.samples}. Leave it out for none."
        raise SettingsError(msg)
    inputs = read_inputs(workspace, run=run)
    if not inputs.findings:
        msg = f"{workspace.root}: expected findings of the model {run!r} to hand on, found none. State another --run."
        raise SettingsError(msg)
    card = _allowed_card(inputs, wanted)
    summary = summarise(workspace, run=run)
    names = assign_names(workspace.sharing_key_tsv, inputs.visits)
    with _whole_folder(folder) as place:
        write_summary(hide_in_summary(summary, names), Workspace(place), inputs.source_roots)
        for protocol, finding in inputs.findings.items():
            write_shared_finding(place / "findings" / protocol, inputs.folder(finding), finding, names)
        record = _describe(inputs.sidecar, run)
        if wanted.weights:
            export_weights(workspace.model(run), place / "weights", disclose=False)
        if wanted.samples and card:
            model, _ = load_autoencoder(workspace.model(run), device=pick_device(device))
            cache = open_cache(workspace.cache(model.preset.spacing_mm, model.preset.view))
            generator = generation.Generator(model, model.device, model.preset.sampling_steps, progress)
            drawn = write_samples(place / "samples", generator, cache, count=wanted.samples, seed=wanted.seed)
            record["samples"] = [asdict(one) for one in drawn]
        write_json(place / RECORD, record)
        found = sorted(path.relative_to(place) for path in place.rglob("*") if path.is_file())
    return [folder / path for path in found]


def _refuse_folder(workspace: Workspace, folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        msg = f"{folder}: expected a new folder to hand on, got one that is there. Choose another, or remove it."
        raise SettingsError(msg)
    if folder.resolve().is_relative_to(workspace.root.resolve()):
        msg = f"{folder}: expected a folder outside the workspace {workspace.root}, which is private. Choose another."
        raise SettingsError(msg)


def _allowed_card(inputs: Inputs, wanted: Wanted) -> Card | None:
    """Return the card of the model that is handed on or drawn from, where all terms allow that."""
    if not wanted.weights and not wanted.samples:
        return None
    card = read_card(inputs.workspace.model(inputs.run))
    if wanted.weights:
        refuse_against_terms("weights", inputs.sidecar, card)
    if wanted.samples:
        refuse_against_terms("samples", inputs.sidecar, card)
        refuse_unknown_people(card, frozenset(visit.person for visit in inputs.visits))
    return card


def _describe(sidecar: Sidecar, run: str) -> dict[str, object]:
    return {
        "cohort": sidecar.cohort,
        "title": sidecar.title,
        "simulation": sidecar.simulation,
        "people": sidecar.counts.participants,
        "scans": sidecar.counts.kept,
        "licence": sidecar.licence,
        "licence_url": sidecar.licence_url,
        "apply": sidecar.apply,
        "citation": sidecar.citation,
        "run": run,
        "identifiers": "Random; the key to them stays with whoever handed this on.",
        "versions": versions(),
    }


@contextmanager
def _whole_folder(folder: Path) -> Generator[Path]:
    """Give a temporary folder in the first folder above that is there, and rename it when all is there."""
    there = next(parent for parent in folder.absolute().parents if parent.exists())
    try:
        partial = tempfile.TemporaryDirectory(prefix=f".partial-{folder.name}-", dir=there)
    except OSError as error:
        msg = f"{folder}: expected a folder that can be made, got {error.strerror} at {there}. Choose another."
        raise SettingsError(msg) from error
    with partial as name:
        place = Path(name) / folder.name
        place.mkdir()
        yield place
        folder.parent.mkdir(parents=True, exist_ok=True)
        place.rename(folder)
