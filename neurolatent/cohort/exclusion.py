"""A scan that is left out, and why."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["note", "warning", "error"]
Stage = Literal["match", "choice", "check", "filter"]


@dataclass(frozen=True)
class Exclusion:
    """Why one scan is left out."""

    scan: str
    """Path of the image, as found or named."""
    where: str
    """What is at fault: the image, or the table, line and column."""
    reason: str
    severity: Severity
    """An error is for the user to mend; a warning the cohort is known for; a note was asked for or follows a rule."""
    stage: Stage
    """`match` where no table row could be given to the scan, `choice` where another image of the visit is taken,
    `check` where a row or the image is unfit, `filter` where the user asked to leave it out."""

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.where}: {self.reason}" if self.where == self.scan else f"{self.scan}: {self.where}: {self.reason}"
        )
