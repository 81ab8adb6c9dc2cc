"""A scan that is left out, and why."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["warning", "error"]
Stage = Literal["match", "check"]


@dataclass(frozen=True)
class Exclusion:
    """Why one scan is left out."""

    scan: str
    """Path of the image, as found or named."""
    where: str
    """What is at fault: the image, or the table, line and column."""
    reason: str
    severity: Severity
    """An error is for the user to mend; a warning the cohort is known for."""
    stage: Stage
    """`match` where no table row could be given to the scan, `check` where a row or the image is unfit."""

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.where}: {self.reason}" if self.where == self.scan else f"{self.scan}: {self.where}: {self.reason}"
        )
