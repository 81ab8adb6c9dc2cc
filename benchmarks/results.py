"""Write a workspace's findings as a page of docs/results, so that figures in the docs are those that were measured.

Run:    python benchmarks/results.py out/ixi docs/results/ixi.md --title "IXI" --command "neurolatent study ixi …"
Cost:   a second
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from evidence import MACHINE
from tyro.conf import Positional

from neurolatent.analysis.finding import FILE_NAME, Estimate, Finding, read_finding
from neurolatent.model.weights import read_card
from neurolatent.provenance import write_text
from neurolatent.workspace import Workspace

COLUMNS = "| role | what | quantity | group | value | 95 % interval | unit | people | scans |"
RULE = "|---|---|---|---|--:|---|---|--:|--:|"


@dataclass(frozen=True)
class Results:
    """Where to read, where to write, and what was typed."""

    workspace: Positional[Path]
    """With findings."""
    page: Positional[Path]
    """Markdown file to write."""
    title: str
    """Of the page."""
    command: str
    """What was typed to get these figures."""
    machine: str = MACHINE
    """What it ran on."""
    run_name: str = "demo"
    """Name of the model."""


def main(settings: Results) -> None:
    """Write the page."""
    workspace = Workspace(settings.workspace)
    card = read_card(workspace.model(settings.run_name))
    stages = [
        f"| {name} | {len(stage.subjects)} | {stage.steps} | {stage.seconds / 60:.1f} | "
        f"{', '.join(f'{metric} {value:.4g}' for metric, value in stage.metrics.items())} |"
        for name, stage in card.stages.items()
    ]
    findings = [read_finding(path) for path in sorted(workspace.findings(settings.run_name, "").glob(f"*/{FILE_NAME}"))]
    parts = [
        f"# {settings.title}",
        f"Command: `{settings.command}`. Machine: {settings.machine}.",
        "## Training",
        "\n".join(["| stage | people | steps | minutes | metrics |", "|---|--:|--:|--:|---|", *stages]),
        *(part for finding in findings for part in _section(finding)),
    ]
    write_text(settings.page, "\n\n".join(parts) + "\n")


def _section(finding: Finding) -> list[str]:
    facts = [f"- {fact.name}: {fact.value} {fact.unit} ({fact.source})" for fact in finding.facts]
    stamp = "Simulation. " if finding.simulation else ""
    return [
        f"## {finding.title} (`{finding.protocol}`)",
        f"{stamp}{finding.certificate.capitalize()}: {finding.certificate_reason}",
        "\n".join([COLUMNS, RULE, *(_row(row) for row in finding.estimates)]),
        *(["\n".join(facts)] if facts else []),
    ]


def _row(row: Estimate) -> str:
    interval = f"{row.low:.4g} to {row.high:.4g}"
    cells = (row.role, row.model, row.name, row.group, f"{row.value:.4g}", interval, row.unit)
    return f"| {' | '.join(cells)} | {row.n_subjects} | {row.n_scans} |"


if __name__ == "__main__":
    main(tyro.cli(Results))
