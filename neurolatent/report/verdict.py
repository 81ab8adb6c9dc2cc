"""Say in one sentence whether a model beats its baselines, from the paired differences alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from neurolatent.analysis.finding import Estimate, Finding, Role
from neurolatent.report import numbers
from neurolatent.report.records import Reading, Tone, Verdict

BETWEEN = " − "
EVERYONE = "all"
CLAUSES: dict[Reading, str] = {
    "better": "beats {}",
    "worse": "loses to {}",
    "undecided": "no difference from {} could be shown",
}


@dataclass(frozen=True)
class Comparison:
    """A paired difference of a model and a baseline, read."""

    model: str
    baseline: str
    estimate: Estimate
    reading: Reading


def read_difference(row: Estimate, *, higher_is_better: bool) -> Reading:
    """Return what an interval says: `better` or `worse` only where it leaves out 0."""
    if row.low > 0:
        return "better" if higher_is_better else "worse"
    if row.high < 0:
        return "worse" if higher_is_better else "better"
    return "undecided"


def direction(finding: Finding, row: Estimate) -> bool | None:
    """Return whether more of a quantity is better, from the row or from its neighbours of the same name."""
    stated = [row, *(other for other in finding.estimates if other.name == row.name)]
    return next((other.higher_is_better for other in stated if other.higher_is_better is not None), None)


def reading_of(finding: Finding, row: Estimate) -> Reading | None:
    """Return what a difference row says; nothing where no direction is the good one, or a ceiling is subtracted."""
    better = direction(finding, row)
    if row.role != "difference" or better is None or rival_of(row) in _named(finding, "ceiling"):
        return None
    return read_difference(row, higher_is_better=better)


def comparisons(finding: Finding) -> list[Comparison]:
    """Return the differences between a model and a baseline; those from a ceiling are no contest."""
    models, baselines = _named(finding, "model"), _named(finding, "baseline")
    found: list[Comparison] = []
    for row in finding.estimates:
        model, rival, reading = row.model.partition(BETWEEN)[0], rival_of(row), reading_of(finding, row)
        if reading is not None and model in models and rival in baselines:
            found.append(Comparison(model, rival, row, reading))
    return found


def rival_of(row: Estimate) -> str:
    """Return what a difference row subtracts."""
    return row.versus or row.model.partition(BETWEEN)[2]


def headline_comparisons(finding: Finding) -> list[Comparison]:
    """Return what the verdict rests on: the first quantity, over everyone where a baseline was measured so."""
    found = comparisons(finding)
    found = [one for one in found if one.estimate.name == found[0].estimate.name]
    over_everyone = {(one.model, one.baseline) for one in found if one.estimate.group == EVERYONE}
    return [one for one in found if one.estimate.group == EVERYONE or (one.model, one.baseline) not in over_everyone]


def verdict(finding: Finding, *, title: str) -> Verdict:
    """Judge one finding."""
    found = headline_comparisons(finding)
    if not found:
        sentence = "No difference between the model and a baseline was measured, so nothing is claimed."
        return Verdict(finding.protocol, title, "open", "Not compared", "", sentence)
    word, tone = _word([one.reading for one in found])
    models = dict.fromkeys(one.model for one in found)
    counts = {_n(one.estimate) for one in found}
    sentences = [_sentence([one for one in found if one.model == model], with_n=len(counts) > 1) for model in models]
    sentences += [f"n = {n}." for n in counts if len(counts) == 1]
    return Verdict(finding.protocol, title, tone, word, _headline(finding, found[0]), " ".join(sentences))


def missing_verdict(protocol: str, title: str, command: str) -> Verdict:
    """Say that an analysis was not run, and how to run it."""
    return Verdict(protocol, title, "absent", "Not run", "", f"To run it, where it applies to this cohort: {command}")


def overall(verdicts: Sequence[Verdict]) -> str:
    """Sum the verdicts up in one sentence."""
    run = [one.tone for one in verdicts if one.tone != "absent"]
    if not run:
        return "No analysis has been run on this model yet."
    parts = [
        f"beats all its baselines in\u00a0{run.count('win')}",
        f"loses to at least one in\u00a0{run.count('loss')}",
        f"is undecided in\u00a0{run.count('open')}",
    ]
    return f"Of {numbers.count(len(run), 'analysis', 'analyses')}, the model {numbers.listing(parts)}."


def capital(text: str) -> str:
    """Begin with a capital letter and leave the rest alone."""
    return text[:1].upper() + text[1:]


def _named(finding: Finding, role: Role) -> set[str]:
    return {row.model for row in finding.estimates if row.role == role}


def _word(readings: Sequence[Reading]) -> tuple[str, Tone]:
    total, better, worse = len(readings), readings.count("better"), readings.count("worse")
    if worse:
        return ("Loses" if worse == total else f"Loses {worse} of {total}"), "loss"
    if better == total:
        return "Beats", "win"
    return (f"Beats {better} of {total}" if better else "Undecided"), "open"


def _headline(finding: Finding, first: Comparison) -> str:
    like = [row for row in finding.estimates if row.name == first.estimate.name and row.role == "model"]
    row = next((r for r in like if r.model == first.model and r.group == first.estimate.group), None)
    if row is None:
        return ""
    decimals = numbers.decimals_for(like)
    value = numbers.with_unit(numbers.number(row.value, decimals), row.unit)
    return f"{capital(row.name)} {value} {numbers.interval(row.low, row.high, decimals)}"


def _sentence(found: Sequence[Comparison], *, with_n: bool) -> str:
    clauses: list[str] = []
    for reading, clause in CLAUSES.items():
        parts = [_amount(one, with_n=with_n) for one in found if one.reading == reading]
        if parts:
            clauses.append(clause.format(numbers.listing(parts)))
    settled = any(one.reading != "undecided" for one in found)
    return f"{capital(found[0].model)}{' ' if settled else ': '}{'; '.join(clauses)}."


def _amount(one: Comparison, *, with_n: bool) -> str:
    """Name the baseline and by how much the model differs from it; a settled difference has its sign in a word."""
    row = one.estimate
    decimals = numbers.decimals_for([row])
    group = "" if row.group == EVERYONE else f" on {row.group}"
    flip = one.reading != "undecided" and row.value < 0
    value, low, high = (-row.value, -row.high, -row.low) if flip else (row.value, row.low, row.high)
    side = "difference" if one.reading == "undecided" else "lower by" if flip else "higher by"
    amount = numbers.with_unit(numbers.number(value, decimals), row.unit)
    n = f"; n = {_n(row)}" if with_n else ""
    return f"{one.baseline}{group} ({row.name} {side} {amount} {numbers.interval(low, high, decimals)}{n})"


def _n(row: Estimate) -> str:
    return numbers.people_and_scans(row.n_subjects, row.n_scans)
