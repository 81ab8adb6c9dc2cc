"""Methods text, references and provenance, filled in from what was done so that they cannot drift from it."""

from collections.abc import Mapping
from typing import Any

from neurolatent.analysis.finding import Finding
from neurolatent.report import numbers
from neurolatent.report.privacy import scrub
from neurolatent.report.records import Entry, Paragraph
from neurolatent.report.sources import Inputs
from neurolatent.report.wording import MethodsWording, methods_wording, wording

PART_WORDS = {"train": "training"}


def methods(inputs: Inputs) -> tuple[Paragraph, ...]:
    """Return the methods text, one paragraph per step of the line."""
    words = methods_wording()
    paragraphs = [
        Paragraph("Participants", _participants(inputs, words)),
        Paragraph("Preprocessing", _preprocessing(inputs, words)),
    ]
    if inputs.card is not None:
        paragraphs.append(Paragraph("Model", _model(inputs, words)))
    paragraphs += [_analysis(finding) for finding in inputs.findings.values()]
    if inputs.findings:
        paragraphs.append(Paragraph("Statistics", _statistics(inputs, words)))
    return tuple(paragraphs)


def references(inputs: Inputs) -> tuple[str, ...]:
    """Return what the methods rest on, the cohort's own citation first, each once."""
    citation = scrub(inputs.sidecar.citation, inputs.source_roots)
    found = [citation] if citation else []
    found += methods_wording().references
    for finding in inputs.findings.values():
        found += wording(finding.protocol, finding.title).references
    return tuple(dict.fromkeys(found))


def provenance(inputs: Inputs) -> tuple[Entry, ...]:
    """Return what makes the report repeatable: command, hashes, seeds, versions."""
    entries = [Entry("Command", f"neurolatent report WORKSPACE --run {inputs.run}")]
    if inputs.cache is not None:
        entries += [Entry("Volume cache", inputs.cache.hash), Entry("Preprocessing", inputs.cache.preprocessing)]
    if inputs.split is not None:
        entries.append(Entry("Split", inputs.split.hash))
    if inputs.card is not None:
        entries.append(Entry("Weights", inputs.card.weights_hash))
    seeds = sorted({finding.seed for finding in inputs.findings.values()})
    if seeds:
        entries.append(Entry("Seed of the analyses", ", ".join(map(str, seeds))))
    found: dict[str, str] = {}
    for finding in inputs.findings.values():
        found |= finding.versions
    if found:
        entries.append(Entry("Versions", ", ".join(f"{name} {version}" for name, version in found.items())))
    return tuple(entries)


def settings_text(settings: Mapping[str, Any]) -> str:
    """Write settings as words: `folds 5, steps 10`."""
    return ", ".join(f"{name.replace('_', ' ')} {_setting(value)}" for name, value in settings.items())


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "/".join(_setting(one) for one in value)
    return numbers.short(value) if isinstance(value, int | float) else str(value)


def _participants(inputs: Inputs, words: MethodsWording) -> str:
    people = len({visit.participant_id for visit in inputs.visits})
    licence = scrub(inputs.sidecar.licence, inputs.source_roots).rstrip(".")
    return words.participants.format(
        count=numbers.people_and_scans(people, len(inputs.visits)),
        who=words.simulated if inputs.simulation else words.real,
        division=_division(inputs, words),
        licence=f" Licence of the data: {licence}." if licence else "",
    )


def _division(inputs: Inputs, words: MethodsWording) -> str:
    """Say how people were divided, as a sentence that follows another."""
    split = inputs.split
    if split is None:
        return ""
    if split.kind != "holdout":
        divided = (words.folds if split.kind == "folds" else words.sites).format(count=len(split.parts))
    else:
        counts = [f"{len(split.members(part))} for {PART_WORDS.get(part, part)}" for part in split.parts]
        divided = words.holdout.format(counts=numbers.listing(counts))
    apart = numbers.count(len(split.test_only), "person", "people") if split.test_only else ""
    return f" {divided}" + (f" {words.test_only.format(count=apart)}" if apart else "")


def _preprocessing(inputs: Inputs, words: MethodsWording) -> str:
    if inputs.cache is None:
        return words.preprocessing.format(grid="")
    shape = "×".join(str(extent) for extent in inputs.cache.grid.shape)
    return words.preprocessing.format(grid=words.grid.format(shape=shape, spacing=f"{inputs.cache.grid.spacing_mm:g}"))


def _model(inputs: Inputs, words: MethodsWording) -> str:
    if inputs.card is None:
        return ""
    stages = inputs.card.stages
    supervised = any(stage.supervised for stage in stages.values())
    return words.model.format(
        preset=inputs.card.preset,
        steps=", ".join(f"{name} {numbers.short(stage.steps)}" for name, stage in stages.items()),
        labels=words.with_labels if supervised else words.without_labels,
    )


def _analysis(finding: Finding) -> Paragraph:
    words = wording(finding.protocol, finding.title)
    settings = settings_text(finding.settings)
    return Paragraph(words.title, f"{words.method} {f'Settings: {settings}.' if settings else ''}".strip())


def _statistics(inputs: Inputs, words: MethodsWording) -> str:
    estimates = [row for finding in inputs.findings.values() for row in finding.estimates]
    return words.statistics.format(
        levels=numbers.listing(f"{100 * level:g} %" for level in sorted({row.level for row in estimates})),
        ways="; ".join(dict.fromkeys(row.interval_method for row in estimates)),
    )
