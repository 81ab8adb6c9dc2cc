"""What a user may ask of a build beside the descriptor's own rules."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.visits import Diagnosis
from neurolatent.errors import SettingsError

CDR05_IN_WORDS = {
    "AD": "0.5 (very mild dementia) AD too",
    "MCI": "0.5 MCI",
    "drop": "scans at 0.5 are left out",
}


@dataclass(frozen=True)
class BuildOptions:
    """Options of `cohort build`."""

    tables: Path | None = None
    """Folder of the cohort's tables, where they lie elsewhere."""
    diagnosis: tuple[Diagnosis, ...] = ()
    """Keep scans with these diagnoses alone."""
    min_age: float | None = None
    """Keep scans of people who were this old, in years."""
    max_visits: int | None = None
    """Keep so many sessions of each person, the first ones."""
    require: tuple[str, ...] = ()
    """Columns of visits.tsv without whose value a scan is left out."""
    cdr05: Literal["ad", "mci", "drop"] | None = None
    """What a Clinical Dementia Rating of 0.5 means (OASIS)."""
    cap_age: float | None = None
    """Write ages above this as this: 89 is what some data agreements ask for."""
    allow_nonlinear: bool = False
    """Take scans that were warped non-linearly, which flattens atrophy."""
    columns: tuple[str, ...] = ()
    """ROLE=NAME: what the table calls participant, image, age … (cohort `table`)."""

    def adjust(self, descriptor: Descriptor) -> Descriptor:
        """Return the descriptor as these options make it."""
        columns = dict(self._named_column(descriptor, word) for word in self.columns)
        images = descriptor.images.model_copy(update={"allow_nonlinear": self.allow_nonlinear})
        return descriptor.model_copy(
            update={
                "images": images if self.allow_nonlinear else descriptor.images,
                "columns": descriptor.columns.model_copy(update=columns),
                **self._rated(descriptor),
            }
        )

    def _rated(self, descriptor: Descriptor) -> dict[str, object]:
        """Say what a rating of 0.5 means, where the rating is the diagnosis."""
        rule = descriptor.diagnosis
        if rule.cdr05 is None:
            if self.cdr05 is not None:
                expected = "expected a cohort whose diagnosis is the Clinical Dementia Rating"
                msg = f"--cdr05 {self.cdr05}: {expected}, got {descriptor.name!r}. Leave it out."
                raise SettingsError(msg)
            return {}
        meaning = rule.cdr05 if self.cdr05 is None else "drop" if self.cdr05 == "drop" else self.cdr05.upper()
        codes = {**rule.codes, "0.5": "other" if meaning == "drop" else meaning}
        words = f"{rule.rule}; {CDR05_IN_WORDS[meaning]}"
        return {"diagnosis": rule.model_copy(update={"codes": codes, "cdr05": meaning, "rule": words})}

    @staticmethod
    def _named_column(descriptor: Descriptor, word: str) -> tuple[str, object]:
        role, _, name = word.partition("=")
        present = getattr(descriptor.columns, role, None) if role in type(descriptor.columns).model_fields else None
        if not name or present is None:
            known = [role for role in type(descriptor.columns).model_fields if getattr(descriptor.columns, role)]
            msg = f"--columns {word}: expected ROLE=NAME with a role of {known}, got another. Correct it."
            raise SettingsError(msg)
        try:
            return role, type(present).model_validate(present.model_dump() | {"names": (name,)})
        except ValidationError as error:
            msg = f"--columns {word}: expected the name of a column, got {name!r}. Correct it."
            raise SettingsError(msg) from error


NO_OPTIONS = BuildOptions()
