"""What was trained on what: one row per stage, from the model's card."""

from collections import Counter
from collections.abc import Iterable

from neurolatent.model.weights import UNDISCLOSED, Card, Person, StageRecord
from neurolatent.report import numbers
from neurolatent.report.records import Cell, Head, Row, Table, TrainingPart
from neurolatent.report.sources import Inputs

STAGE_LABELS = {
    "vae": "Autoencoder of volumes (VAE)",
    "latents": "Latents and their scale",
    "denoiser": "Denoiser",
    "autoencoder": "Semantic encoder and gradient estimator",
}


def training_part(inputs: Inputs) -> TrainingPart:
    """Describe the model of this run from its card."""
    card = inputs.card
    if card is None:
        return TrainingPart(f"There is no model {inputs.run!r} in this workspace yet.", None)
    present = {visit.person for visit in inputs.visits}
    rows = [_stage(name, stage, present) for name, stage in card.stages.items()]
    heads = (
        Head("Stage"),
        Head("Trained on"),
        Head("Of these, in this cohort"),
        Head("Labels used"),
        Head("Steps"),
        Head("At the end"),
    )
    table = Table("Stages of training", heads, tuple(rows))
    return TrainingPart(_summary(card, present), table)


def _summary(card: Card, present: set[Person]) -> str:
    seen = {person for stage in card.stages.values() for person in stage.subjects}
    cohorts = numbers.listing(sorted({cohort for cohort, _ in seen})) or "no cohort"
    shared = len(seen & present)
    met = "none of them is" if shared == 0 else f"{shared} of them {'is' if shared == 1 else 'are'}"
    disclosed = sum(person != UNDISCLOSED for _, person in seen)
    total = numbers.count(disclosed, "person", "people") if disclosed else "people who are not disclosed"
    return f"The preset {card.preset} was trained on {total} (cohort: {cohorts}); {met} in the cohort of this report."


def _stage(name: str, stage: StageRecord, present: set[Person]) -> Row:
    metrics = "; ".join(f"{label.replace('_', ' ')} {numbers.short(value)}" for label, value in stage.metrics.items())
    planned = f" of {numbers.short(stage.planned_steps)}" if stage.planned_steps > stage.steps else ""
    cells = (
        _people(stage.subjects) or "nobody",
        str(len(set(stage.subjects) & present)),
        "yes" if stage.supervised else "no",
        numbers.short(stage.steps) + planned,
        metrics or numbers.DASH,
    )
    return Row(STAGE_LABELS.get(name, name), "", tuple(map(Cell, cells)))


def _people(subjects: Iterable[Person]) -> str:
    subjects = list(subjects)
    by_cohort = Counter(cohort for cohort, person in subjects if person != UNDISCLOSED)
    undisclosed = sorted({cohort for cohort, person in subjects if person == UNDISCLOSED})
    return numbers.listing(
        [
            *(f"{numbers.count(n, 'person', 'people')} ({cohort})" for cohort, n in sorted(by_cohort.items())),
            *(f"undisclosed people ({cohort})" for cohort in undisclosed),
        ]
    )
