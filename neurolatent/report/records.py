"""What a report says, as frozen records: everything is computed before a template sees it."""

from dataclasses import dataclass
from typing import Literal

Reading = Literal["better", "worse", "undecided"]
Tone = Literal["win", "loss", "open", "absent"]
MediaType = Literal["image/svg+xml", "image/png"]


@dataclass(frozen=True)
class Figure:
    """A picture with all that a reader needs who cannot see it."""

    name: str
    """A file name without its suffix."""
    title: str
    caption: str
    alt: str
    media_type: MediaType
    content: bytes


@dataclass(frozen=True)
class Cell:
    """One value of a table, as text."""

    value: str
    interval: str = ""
    reading: Reading | None = None


@dataclass(frozen=True)
class Row:
    """A row's heading, a second line to it (such as `baseline`), and its cells."""

    label: str
    detail: str
    cells: tuple[Cell, ...]
    strong: bool = False
    """Whether this is the row to look at first: the model's."""


@dataclass(frozen=True)
class Head:
    """A column's heading and a second line, such as its unit or n."""

    label: str
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column holds the row headings."""

    caption: str
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether an analysis' model beats its baselines, in a word and in a sentence."""

    protocol: str
    title: str
    tone: Tone
    word: str
    headline: str
    """The model's own number with its interval."""
    sentence: str


@dataclass(frozen=True)
class FlowStep:
    """A station on the way from the source to the analysis."""

    label: str
    count: str
    detail: str = ""


@dataclass(frozen=True)
class Exclusion:
    """Why scans were left out, and which."""

    reason: str
    severity: str
    where: tuple[str, ...]
    """How many, or which."""


@dataclass(frozen=True)
class CohortPart:
    """Who is in the cohort, and who is not and why."""

    title: str
    table: Table
    gaps: Table | None
    """What nobody wrote down, column by column."""
    timeline: Figure | None
    flow: tuple[FlowStep, ...]
    exclusions: tuple[Exclusion, ...]
    examples: Figure | None
    licence: str
    citation: str


@dataclass(frozen=True)
class PreprocessingPart:
    """How the scans came to standard space, in numbers and pictures."""

    quality: tuple[Table, ...]
    failures: tuple[Exclusion, ...]
    pictures: tuple[Figure, ...]
    note: str


@dataclass(frozen=True)
class TrainingPart:
    """What was trained on what."""

    summary: str
    stages: Table | None


@dataclass(frozen=True)
class Section:
    """One analysis: its question, its answer, its numbers and its figure."""

    protocol: str
    title: str
    question: str
    how_to_read: str
    verdict: Verdict
    certificate: str
    simulation: bool
    tables: tuple[Table, ...]
    figure: Figure | None
    facts: Table | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Paragraph:
    """A titled paragraph of the methods."""

    title: str
    text: str


@dataclass(frozen=True)
class Entry:
    """One line of the provenance."""

    label: str
    value: str


@dataclass(frozen=True)
class Summary:
    """The whole report; HTML and PDF are made from this and nothing else."""

    title: str
    subtitle: str
    simulation: bool
    stamp: str
    """What a simulated cohort means for the reader; empty where the people are real."""
    answer: str
    """One sentence over all analyses."""
    verdicts: tuple[Verdict, ...]
    certificate: str
    cohort: CohortPart
    preprocessing: PreprocessingPart
    training: TrainingPart
    sections: tuple[Section, ...]
    methods: tuple[Paragraph, ...]
    references: tuple[str, ...]
    provenance: tuple[Entry, ...]
    language: str = "en"
