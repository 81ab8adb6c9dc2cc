"""A report's workspace whose model can be opened."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neurolatent.analysis.finding import FILE_NAME, read_finding, write_finding
from neurolatent.analysis.protocols import PROTOCOLS
from neurolatent.cohort.sidecar import read_sidecar, write_sidecar
from neurolatent.cohort.visits import read_visits
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import find_preset
from neurolatent.model.weights import PARTS, Card, fingerprint, hash_weights, read_card, save_part, write_card
from neurolatent.workspace import Workspace
from tests.report.conftest import RUN, build_workspace


@pytest.fixture(scope="session")
def shareable(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with findings and an untrained `demo` that says it learnt from the people here; to be read only."""
    workspace = build_workspace(tmp_path_factory.mktemp("sharing") / "phantom")
    sidecar = read_sidecar(workspace.visits_json)
    write_sidecar(workspace.visits_json, replace(sidecar, shares=("weights", "samples")))
    people = sorted({visit.person for visit in read_visits(workspace.visits_tsv)})
    card = _with_weights(workspace.model(RUN), read_card(workspace.model(RUN)), tuple(people))
    for protocol in PROTOCOLS:
        folder = workspace.findings(RUN, protocol)
        write_finding(folder, replace(read_finding(folder / FILE_NAME), weights_hash=card.weights_hash))
    return workspace


def _with_weights(folder: Path, card: Card, people: tuple[tuple[str, str], ...]) -> Card:
    preset = find_preset("demo")
    torch.manual_seed(0)
    model = LatentDiffusionAutoencoder(preset)
    files = {f"{part}.safetensors": save_part(folder, model, part) for part in PARTS}
    stages = {
        name: replace(stage, subjects=people[2:], validation_subjects=people[:2]) for name, stage in card.stages.items()
    }
    written = replace(
        card,
        preset=preset.name,
        architecture=fingerprint(preset),
        files=files,
        weights_hash=hash_weights(files),
        stages=stages,
    )
    write_card(folder, written)
    return written
