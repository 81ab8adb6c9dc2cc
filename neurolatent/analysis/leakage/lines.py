"""A certificate in a few lines for a person at the terminal."""

from collections.abc import Iterable, Mapping, Sequence

from neurolatent.analysis.certificate import unless
from neurolatent.analysis.leakage.record import Failure, Images, Likeness, Outcome, Overlap, StageSeen
from neurolatent.model.weights import Card

MOST_NAMED = 5
MEANING: Mapping[Outcome, str] = {
    "certified": "nobody who is tested was seen in training, as far as could be compared.",
    "transductive": "a stage that learns without labels has seen test people; results are marked so.",
    "failed": "analyses are refused.",
}


def describe(
    outcome: Outcome,
    failures: Sequence[Failure],
    tested: int,
    overlaps: Iterable[Overlap],
    images: Images,
    cards: Mapping[str, Card],
    stages: Sequence[StageSeen],
) -> tuple[str, ...]:
    """Return the outcome, its reasons, and what each of the comparisons gave."""
    return (
        f"{outcome.capitalize()}: {MEANING[outcome]}",
        *_shortened([f"Why: {one.reason}" for one in failures]),
        f"Subjects: {tested} are tested.",
        *map(_of_overlap, overlaps),
        *_of_images(images),
        *_of_models(cards, stages, tested),
    )


def _of_overlap(one: Overlap) -> str:
    here, there = len(one.tested_here_trained_there), len(one.trained_here_tested_there)
    told = f"{one.workspace}: {one.in_both} people are there too"
    if not one.in_both:
        return f"{told}, by cohort and participant_id."
    return f"{told}; {here} are tested here and may train there, {there} may train here and are tested there."


def _of_images(images: Images) -> list[str]:
    total = sum(images.compared.values())
    across = [one for one in images.alike if one.across]
    told = (
        f"Images: {total} scans compared; {len(images.alike)} pairs of participants look like one person "
        f"(likeness ≥ {images.threshold:g}), {len(across)} of them with one tested where the other may train."
    )
    return [*([told] if total else []), *_shortened(list(map(_of_pair, images.alike))), *_of_missing(images)]


def _of_pair(one: Likeness) -> str:
    where = f"{one.cohorts[1]}, elsewhere" if one.elsewhere else one.cohorts[1]
    return f"  {one.one} ({one.cohorts[0]}) and {one.other} ({where}): {one.likeness:.2f}"


def _of_missing(images: Images) -> list[str]:
    return [
        f"Images of {name} were not compared: none was preprocessed. Run `neurolatent preprocess` and certify again."
        if not images.compared[name]
        else f"Images: {count} scans of {name} were not compared, for they could not be preprocessed."
        for name, count in images.not_compared.items()
        if count
    ]


def _of_models(cards: Mapping[str, Card], stages: Sequence[StageSeen], tested: int) -> list[str]:
    lines = [] if cards else ["Models: there is none yet; certify again once one is trained."]
    for name, card in cards.items():
        seen = [f"{one.stage} {one.test_people}" for one in stages if one.model == name]
        lines.append(
            f"Model {name}: of {tested} test people its stages have seen {', '.join(seen) or 'none'}{unless(card)}."
        )
    return lines


def _shortened(lines: list[str]) -> list[str]:
    rest = len(lines) - MOST_NAMED
    return [*lines[:MOST_NAMED], f"  … and {rest} more: see certificate.json"] if rest > 0 else lines
