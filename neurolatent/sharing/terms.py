"""What the cohorts' terms let be handed on: weights and images that a model makes, unless a descriptor says so, not."""

from typing import Literal

from neurolatent.cohort.descriptor import cohort_names, load_descriptor
from neurolatent.cohort.sidecar import Sidecar
from neurolatent.errors import SettingsError
from neurolatent.model.weights import Card

Good = Literal["weights", "samples"]
WORDS = {"weights": "weights trained on it", "samples": "images that a model makes of it"}


def refuse_against_terms(good: Good, sidecar: Sidecar, card: Card) -> None:
    """Refuse what the terms of any cohort that the model has seen do not allow, or somebody else's terms rule."""
    if card.imported:
        msg = f"--{good}: expected a model trained here, got one that came from elsewhere. Whoever made it hands it on."
        raise SettingsError(msg)
    met = {cohort for stage in card.stages.values() for cohort, _ in (*stage.subjects, *stage.validation_subjects)}
    for cohort in sorted(met):
        if not _allows(cohort, good, sidecar):
            msg = (
                f"--{good}: expected terms that let {WORDS[good]} be handed on, got cohort {cohort!r}, whose "
                f"descriptor does not say share_{good} = true. If its terms do, say so there, and build it again."
            )
            raise SettingsError(msg)


def _allows(cohort: str, good: Good, sidecar: Sidecar) -> bool:
    """Ask the sidecar about a cohort of this workspace, and about others the descriptor that ships under its name."""
    told = sidecar.shares_of(cohort)
    if told is not None:
        return good in told
    return cohort in cohort_names() and good in load_descriptor(cohort).licence.shares
