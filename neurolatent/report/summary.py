"""From a workspace's files to the one summary that both the page and the PDF are made from."""

from collections.abc import Sequence
from pathlib import Path

from neurolatent.cohort.description import people_of
from neurolatent.cohort.sidecar import read_sidecar
from neurolatent.report import numbers
from neurolatent.report.analyses import certificate, section
from neurolatent.report.cohort import cohort_part
from neurolatent.report.methods import methods, provenance, references
from neurolatent.report.preprocessing import preprocessing_part
from neurolatent.report.records import Section, Summary, Verdict
from neurolatent.report.sources import ORDER, Inputs, read_inputs
from neurolatent.report.training import training_part
from neurolatent.report.verdict import missing_verdict, overall
from neurolatent.report.wording import wording
from neurolatent.workspace import Workspace

STAMP = "Simulation: the people in this report are a digital phantom. Nothing here is evidence about real brains."


def summarise(workspace: Workspace | Path, *, run: str, preprocessing: Path | None = None) -> Summary:
    """Read and check all that the workspace holds about one model, and say what it amounts to.

    Args:
        workspace: The workspace, or its folder.
        run: Name of the model.
        preprocessing: A second workspace, begun from raw scans, whose preprocessing pictures are shown.
    """
    place = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    inputs = read_inputs(place, run=run)
    sections = tuple(section(inputs, finding) for finding in inputs.findings.values())
    verdicts = _verdicts(sections, run)
    cohort = cohort_part(inputs)
    other = Workspace(preprocessing) if preprocessing else None
    other_roots = tuple(map(str, read_sidecar(other.visits_json).source_roots)) if other else ()
    return Summary(
        title=f"Latent diffusion autoencoder report: {cohort.title}",
        subtitle=_subtitle(inputs),
        simulation=inputs.simulation,
        stamp=STAMP if inputs.simulation else "",
        answer=overall(verdicts),
        verdicts=verdicts,
        certificate=_certificates(inputs),
        cohort=cohort,
        preprocessing=preprocessing_part(place, other, inputs.source_roots + other_roots),
        training=training_part(inputs),
        sections=sections,
        methods=methods(inputs),
        references=references(inputs),
        provenance=provenance(inputs),
    )


def _verdicts(sections: Sequence[Section], run: str) -> tuple[Verdict, ...]:
    judged = {one.protocol: one.verdict for one in sections}
    missing = {
        name: missing_verdict(name, wording(name, name).title, f"neurolatent run {name} WORKSPACE --run {run}")
        for name in ORDER
        if name not in judged
    }
    names = [*ORDER, *(name for name in judged if name not in ORDER)]
    return tuple((judged | missing)[name] for name in names)


def _subtitle(inputs: Inputs) -> str:
    people = len(people_of(inputs.visits))
    preset = f", preset {inputs.card.preset}" if inputs.card else ""
    return f"Model {inputs.run}{preset} · {numbers.people_and_scans(people, len(inputs.visits))}"


def _certificates(inputs: Inputs) -> str:
    found = dict.fromkeys(certificate(finding, inputs.source_roots) for finding in inputs.findings.values())
    return " ".join(found)
