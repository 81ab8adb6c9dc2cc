"""Who is in the cohort: people by diagnosis, the way from found to kept, and what was left out."""

from collections.abc import Mapping, Sequence

from neurolatent.cohort import exclusion, splits
from neurolatent.cohort.description import (
    NOT_STATED,
    Group,
    Person,
    Rate,
    gaps_of,
    groups_of,
    largest_difference,
    largest_rate_difference,
    people_of,
    stages_of,
)
from neurolatent.cohort.visits import Visit
from neurolatent.report import numbers
from neurolatent.report.brains import example_figure
from neurolatent.report.exclusions import count_exclusions
from neurolatent.report.privacy import scrub
from neurolatent.report.records import Cell, CohortPart, Figure, FlowStep, Head, Row, Table
from neurolatent.report.slices import Picture
from neurolatent.report.sources import Inputs
from neurolatent.report.timeline import timeline_figure
from neurolatent.volume.cache import VolumeCache

MAX_EXAMPLES = 4
AGE, WOMEN = "Age, mean ± SD (years)", "Women / men"
FOLLOW_UP, MMSE = "Follow-up, mean ± SD (months)", "MMSE, mean ± SD"
STATIONS = {
    "found": "Scans found",
    "matched": "Matched to a table row",
    "chosen": "One image of a visit",
    "fit": "Fit for use",
    "kept": "Kept",
}
SEX_WORDS = {"F": "woman", "M": "man"}


def cohort_part(inputs: Inputs) -> CohortPart:
    """Describe the cohort from its table and sidecar."""
    people = people_of(inputs.visits)
    roots = inputs.source_roots
    return CohortPart(
        title=scrub(inputs.sidecar.title, roots),
        table=_demographics(people, inputs.split),
        gaps=_gaps(inputs.visits),
        timeline=timeline_figure(people),
        flow=_flow(inputs),
        exclusions=count_exclusions(inputs.sidecar.exclusions, roots),
        examples=_examples(people, inputs.cache),
        licence=scrub(inputs.sidecar.licence, roots),
        citation=scrub(inputs.sidecar.citation, roots),
    )


def _demographics(people: Sequence[Person], split: splits.Split | None) -> Table:
    groups = groups_of(people)
    columns = [*groups, Group("All", tuple(people))] if len(groups) > 1 else groups
    facts = [_facts_of(group, split) for group in columns]
    differences = _differences(groups) if len(groups) > 1 else {}
    rows = [
        Row(label, "", (*(Cell(column[label]) for column in facts), *_last_cell(label, differences)))
        for label in facts[0]
        if any(column[label] != numbers.DASH for column in facts)
    ]
    heads = [
        Head("At the first scan"),
        *(Head(group.name if group.name != NOT_STATED else "Diagnosis not stated") for group in columns),
        *([Head("Difference", "standardised")] if differences else []),
    ]
    note = "Diagnosis, age, sex and scores are those at the first scan; follow-up is from the first to the last scan."
    if differences:
        note += (
            " Difference: the largest between two diagnoses, over the root of their mean variance; above 0.1 is often "
            "called imbalance (Austin 2009)."
        )
    return Table("Participants by diagnosis", tuple(heads), tuple(rows), note)


def _facts_of(group: Group, split: splits.Split | None) -> dict[str, str]:
    women, known = group.women
    followed = group.followed_months
    sites = group.scans_by("site")
    return {
        "People": str(len(group.people)),
        "Scans": str(sum(len(one.visits) for one in group.people)),
        AGE: numbers.mean_and_sd(group.ages_years),
        "Age, range (years)": numbers.value_range(group.ages_years),
        WOMEN: f"{women} / {known - women}" if known else numbers.DASH,
        "Followed up (people)": str(len(followed)),
        FOLLOW_UP: numbers.mean_and_sd(followed),
        MMSE: _scored(group, "mmse"),
        "CDR 0 / 0.5 / 1 and above (people)": _rated(group),
        "Sites": str(len(sites)) if sites else numbers.DASH,
        "Scans by field strength": _listed(group.scans_by("scanner_tesla"), " T") or numbers.DASH,
        **_split_counts(group.people, split),
    }


def _scored(group: Group, name: str) -> str:
    values = group.scores(name)
    lacking = len(group.people) - len(values)
    return numbers.mean_and_sd(values) + (f" (n = {len(values)})" if values and lacking else "")


def _rated(group: Group) -> str:
    ratings = group.scores("cdr")
    counts = (ratings.count(0.0), ratings.count(0.5), sum(rating >= 1 for rating in ratings))
    return " / ".join(map(str, counts)) if ratings else numbers.DASH


def _listed(counts: Mapping[str, int], unit: str) -> str:
    return ", ".join(f"{name}{unit}: {count}" for name, count in sorted(counts.items()))


def _differences(groups: Sequence[Group]) -> dict[str, float | None]:
    """Return how far apart the diagnoses are, by the row's label."""
    return {
        AGE: largest_difference([group.ages_years for group in groups]),
        WOMEN: largest_rate_difference([group.women for group in groups]),
        FOLLOW_UP: largest_difference([group.followed_months for group in groups]),
        MMSE: largest_difference([group.scores("mmse") for group in groups]),
    }


def _last_cell(label: str, differences: Mapping[str, float | None]) -> tuple[Cell, ...]:
    if not differences:
        return ()
    value = differences.get(label)
    return (Cell("" if label not in differences else numbers.DASH if value is None else numbers.number(value, 2)),)


def _split_counts(people: Sequence[Person], split: splits.Split | None) -> dict[str, str]:
    if split is None or split.kind != "holdout":
        return {}
    own = [split.assignments.get(one.first.participant_id) for one in people]
    return {"Training / validation / test": " / ".join(str(own.count(name)) for name in splits.PARTS)}


def _flow(inputs: Inputs) -> tuple[FlowStep, ...]:
    sidecar = inputs.sidecar
    stages = stages_of(sidecar.counts, sidecar.exclusions)
    optional = {"chosen": sidecar.exclusions, "fit": [row for row in sidecar.exclusions if row.stage == "filter"]}
    shown = [name for name in stages if name not in optional or _tells(name, stages, optional[name])]
    people = f"of {numbers.count(sidecar.counts.participants, 'person', 'people')}"
    steps = [FlowStep(STATIONS[name], numbers.short(stages[name]), people if name == "kept" else "") for name in shown]
    if inputs.cache is not None:
        people = len({key.participant_id for key in inputs.cache.keys})
        detail = f"of {numbers.count(people, 'person', 'people')}"
        steps.append(FlowStep("In standard space", numbers.short(len(inputs.cache.keys)), detail))
    return tuple(steps)


def _tells(name: str, stages: Mapping[str, int], lost: Sequence[exclusion.Exclusion]) -> bool:
    """Whether a station is worth showing: a choice that left scans out, or filters that come after it."""
    return stages["chosen"] < stages["matched"] if name == "chosen" else bool(lost)


def _gaps(visits: Sequence[Visit]) -> Table | None:
    gaps = [gap for gap in gaps_of(visits) if gap.scans[0]]
    if not gaps:
        return None
    rows = [Row(gap.column, "", (Cell(_share(gap.scans)), Cell(_share(gap.people)))) for gap in gaps]
    heads = (Head("Column"), Head("Scans without a value"), Head("People without any"))
    return Table("What is missing", heads, tuple(rows))


def _share(rate: Rate) -> str:
    count, total = rate
    return f"{count} of {total} ({100 * count / total:.0f} %)"


def _examples(people: Sequence[Person], cache: VolumeCache | None) -> Figure | None:
    if cache is None:
        return None
    there = set(cache.keys)
    usable = [one for one in people if one.first.key in there]
    chosen = [group.people[0] for group in groups_of(usable)]
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
