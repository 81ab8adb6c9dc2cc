"""Who is in the cohort: people by diagnosis, the way from found to kept, and what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from neurolatent.cohort import exclusion, splits
from neurolatent.cohort.visits import DIAGNOSES, Visit
from neurolatent.report import numbers
from neurolatent.report.brains import example_figure
from neurolatent.report.privacy import scrub
from neurolatent.report.records import Cell, CohortPart, Exclusion, Figure, FlowStep, Head, Row, Table
from neurolatent.report.slices import Picture
from neurolatent.report.sources import Inputs
from neurolatent.report.verdict import capital
from neurolatent.volume.cache import VolumeCache

NOT_STATED = "not stated"
MAX_EXAMPLES = 4
MAX_NAMED = 30
SEX_WORDS = {"F": "woman", "M": "man"}


@dataclass(frozen=True)
class Person:
    """One participant's scans, the first one first."""

    visits: tuple[Visit, ...]

    @property
    def first(self) -> Visit:
        """The scan that the table counts a person by."""
        return self.visits[0]

    @property
    def diagnosis(self) -> str:
        """Diagnosis at the first scan."""
        return self.first.diagnosis or NOT_STATED


def people_of(visits: Sequence[Visit]) -> list[Person]:
    """Group scans by participant, in time."""
    by_id: dict[str, list[Visit]] = {}
    for visit in visits:
        by_id.setdefault(visit.participant_id, []).append(visit)
    return [Person(tuple(sorted(own, key=lambda visit: (visit.months, visit.run)))) for own in by_id.values()]


def cohort_part(inputs: Inputs) -> CohortPart:
    """Describe the cohort from its table and sidecar."""
    people = people_of(inputs.visits)
    roots = inputs.source_roots
    return CohortPart(
        title=scrub(inputs.sidecar.title, roots),
        table=_demographics(people, inputs.split),
        flow=_flow(inputs),
        exclusions=_exclusions(inputs.sidecar.exclusions, roots),
        examples=_examples(people, inputs.cache),
        licence=scrub(inputs.sidecar.licence, roots),
        citation=scrub(inputs.sidecar.citation, roots),
    )


def diagnosis_order(people: Sequence[Person]) -> list[str]:
    """Return the diagnoses that occur, in the usual order."""
    found = {person.diagnosis for person in people}
    return [name for name in (*DIAGNOSES, NOT_STATED) if name in found]


def _demographics(people: Sequence[Person], split: splits.Split | None) -> Table:
    names = diagnosis_order(people)
    groups = [(name, [one for one in people if one.diagnosis == name]) for name in names]
    if len(groups) > 1:
        groups.append(("All", list(people)))
    columns = [_facts_of(own, split) for _, own in groups]
    rows = [Row(label, "", tuple(Cell(column[label]) for column in columns)) for label in columns[0]]
    heads = [
        Head("At the first scan"),
        *(Head(name if name != NOT_STATED else "Diagnosis not stated") for name, _ in groups),
    ]
    note = "Diagnosis, age and sex are those at the first scan; follow-up is counted from the first to the last scan."
    return Table("Participants by diagnosis", tuple(heads), tuple(rows), note)


def _facts_of(people: Sequence[Person], split: splits.Split | None) -> dict[str, str]:
    ages = [one.first.age_years for one in people if one.first.age_years is not None]
    women = sum(one.first.sex == "F" for one in people)
    men = sum(one.first.sex == "M" for one in people)
    followed = [one.visits[-1].months for one in people if one.visits[-1].months > 0]
    sites = {visit.site for one in people for visit in one.visits if visit.site}
    facts = {
        "People": str(len(people)),
        "Scans": str(sum(len(one.visits) for one in people)),
        "Age, mean ± SD (years)": numbers.mean_and_sd(ages),
        "Age, range (years)": numbers.value_range(ages),
        "Women / men": f"{women} / {men}",
        "Followed up (people)": str(len(followed)),
        "Follow-up, mean ± SD (months)": numbers.mean_and_sd(followed),
        "Sites": str(len(sites)) if sites else numbers.DASH,
    }
    return facts | _split_counts(people, split)


def _split_counts(people: Sequence[Person], split: splits.Split | None) -> dict[str, str]:
    if split is None or split.kind != "holdout":
        return {}
    own = [split.assignments.get(one.first.participant_id) for one in people]
    return {"Training / validation / test": " / ".join(str(own.count(name)) for name in splits.PARTS)}


def _flow(inputs: Inputs) -> tuple[FlowStep, ...]:
    counts = inputs.sidecar.counts
    steps = [
        FlowStep("Scans found", numbers.short(counts.found)),
        FlowStep("Matched to a table row", numbers.short(counts.matched)),
        FlowStep("Kept", numbers.short(counts.kept), f"of {numbers.count(counts.participants, 'person', 'people')}"),
    ]
    if inputs.cache is not None:
        people = len({key.participant_id for key in inputs.cache.keys})
        detail = f"of {numbers.count(people, 'person', 'people')}"
        steps.append(FlowStep("In standard space", numbers.short(len(inputs.cache.keys)), detail))
    return tuple(steps)


def _exclusions(rows: Sequence[exclusion.Exclusion], roots: Sequence[str]) -> tuple[Exclusion, ...]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        grouped.setdefault((capital(scrub(row.reason, roots)), row.severity), []).append(_place(row, roots))
    return tuple(Exclusion(reason, severity, _named(where)) for (reason, severity), where in grouped.items())


def _place(row: exclusion.Exclusion, roots: Sequence[str]) -> str:
    """Name a scan by its file alone: folders may hold an exam date."""
    scan = scrub(PurePath(row.scan).name, roots)
    return scan if row.where == row.scan else f"{scan} ({scrub(row.where, roots)})"


def _named(where: Sequence[str]) -> tuple[str, ...]:
    rest = len(where) - MAX_NAMED
    return (*where[:MAX_NAMED], f"and {rest} more") if rest > 0 else tuple(where)


def _examples(people: Sequence[Person], cache: VolumeCache | None) -> Figure | None:
    if cache is None:
        return None
    there = set(cache.keys)
    usable = [one for one in people if one.first.key in there]
    chosen = [next(one for one in usable if one.diagnosis == name) for name in diagnosis_order(usable)]
    chosen += [one for one in usable if one not in chosen]
    scans: dict[str, Picture] = {}
    for person in chosen[:MAX_EXAMPLES]:
        row = cache.row(person.first.key)
        values = cache.volumes[row].astype("float32") * cache.masks[row]
        scans.setdefault(_describe(person.first), Picture(values, cache.grid.world_from_voxel))
    return example_figure(scans) if scans else None


def _describe(visit: Visit) -> str:
    age = f"{visit.age_years:.0f} years" if visit.age_years is not None else "age not stated"
    parts = [visit.diagnosis, SEX_WORDS.get(visit.sex or ""), age]
    return ", ".join(part for part in parts if part)
