"""Build a cohort: every scan of a source folder checked, kept or left out with its reason, and written down."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neurolatent.cohort.candidates import Candidate, Reading, Source
from neurolatent.cohort.capped import read_capped_ages
from neurolatent.cohort.checks import check_candidate, exclude
from neurolatent.cohort.descriptor import Descriptor, load_descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.filters import cap_ages, filter_visits
from neurolatent.cohort.options import NO_OPTIONS, BuildOptions
from neurolatent.cohort.privacy import hide_dates
from neurolatent.cohort.readers import choose_reader
from neurolatent.cohort.sidecar import Counts, Sidecar, SourceTable, describe_columns, write_sidecar
from neurolatent.cohort.timing import MONTHS_RULE, time_sessions
from neurolatent.cohort.visits import Visit, read_visits, write_visits
from neurolatent.errors import CohortError
from neurolatent.provenance import hash_file
from neurolatent.workspace import Workspace


@dataclass(frozen=True)
class BuildResult:
    """What a build kept, what it left out and why."""

    visits: tuple[Visit, ...]
    exclusions: tuple[Exclusion, ...]
    counts: Counts
    test_only: frozenset[str] | None
    """People whom every split keeps for the test; `None` where the descriptor marks nobody."""
    notes: tuple[str, ...] = ()
    """What is odd about the tables, and what was changed so that no later file tells a date or a great age."""

    @property
    def failed(self) -> bool:
        """Whether something is wrong that the user should mend; what is right was written all the same."""
        return not self.visits or any(exclusion.severity == "error" for exclusion in self.exclusions)

    @property
    def summary(self) -> str:
        """How many scans were found, matched and kept, in one line."""
        c = self.counts
        people = f"{c.participants} participants"
        if self.test_only is not None:
            people += f", {len(self.test_only)} of them for testing only"
        return f"{c.found} scans found, {c.matched} matched, {c.kept} kept, of {people}"


def build_cohort(name: str, source: Path, workspace: Workspace, *, options: BuildOptions = NO_OPTIONS) -> BuildResult:
    """Read the source folder and write `visits.tsv` and `visits.json`.

    Args:
        name: A shipped cohort, or the path of a descriptor of one's own.
        source: The folder with the cohort's images and tables; nothing in it is changed.
        workspace: Where the two files go. Equal inputs give equal bytes.
        options: What the user asks for beside the descriptor's rules.

    Raises:
        CohortError: If the folder holds no such cohort at all. A fault of one scan only leaves that scan out.
    """
    descriptor = options.adjust(load_descriptor(name))
    source = Path(os.path.abspath(source))  # noqa: PTH100 - as the user named it: resolve() would follow links
    if source.is_file():
        descriptor, source = descriptor.for_table(source.name), source.parent
    if not source.is_dir():
        msg = f"{source}: expected the folder of the cohort {descriptor.name!r}, found none. Check the path."
        raise CohortError(msg)
    reading = read_capped_ages(choose_reader(descriptor.reader)(descriptor, Source(source, options.tables)))
    fit, unfit = _check(reading, descriptor, source)
    chosen, left_out = filter_visits(fit, options, drop_cdr05=descriptor.diagnosis.cdr05 == "drop")
    capped, ages = cap_ages(chosen, options.cap_age)
    visits, dates = hide_dates(capped)
    exclusions = (*unfit, *left_out)
    write_visits(workspace.visits_tsv, visits)
    visits = read_visits(workspace.visits_tsv)
    counts = Counts(
        found=len(reading.candidates),
        matched=len(reading.candidates) - sum(exclusion.stage == "match" for exclusion in exclusions),
        kept=len(visits),
        participants=len({visit.participant_id for visit in visits}),
        people_in_tables=reading.people_in_tables,
    )
    test_only = descriptor.test_only(visits) if descriptor.split.test_only else None
    result = BuildResult(visits, exclusions, counts, test_only, (*reading.notes, *ages, *dates))
    write_sidecar(workspace.visits_json, _sidecar(result, reading, descriptor, source, workspace))
    return result


def _check(reading: Reading, descriptor: Descriptor, source: Path) -> tuple[tuple[Visit, ...], tuple[Exclusion, ...]]:
    timing = time_sessions(reading.candidates, descriptor.columns)
    twice = _duplicates(reading.candidates)
    visits: list[Visit] = []
    exclusions: list[Exclusion] = []
    for index, candidate in enumerate(reading.candidates):
        excluded = candidate.exclusion or twice.get(index) or timing.exclusions.get(index)
        outcome = excluded or check_candidate(candidate, timing.months[index], descriptor, source)
        if isinstance(outcome, Visit):
            visits.append(outcome)
        else:
            exclusions.append(outcome)
    visits.sort(key=lambda visit: (visit.participant_id, visit.months, visit.session_id, visit.run.zfill(4)))
    return tuple(visits), tuple(exclusions)


def _duplicates(candidates: Sequence[Candidate]) -> dict[int, Exclusion]:
    """Leave out all scans of a (participant, session, run) that occurs twice: nobody knows which is meant."""
    places: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for index, candidate in enumerate(candidates):
        if candidate.exclusion is None:
            places[candidate.participant_id, candidate.session_id, candidate.run].append(index)
    exclusions = _shared_images(candidates)
    for key, indices in places.items():
        for index in indices if len(indices) > 1 else ():
            others = " and ".join(candidates[other].image for other in indices if other != index)
            reason = (
                f"expected (participant, session, run) {'/'.join(key)} once, got it also from {others}. "
                "Give repeats their own `run-`, or narrow the descriptor's image patterns."
            )
            exclusions[index] = exclude(candidates[index], reason)
    return exclusions


def _shared_images(candidates: Sequence[Candidate]) -> dict[int, Exclusion]:
    """Leave out all scans that name one image: it would stand on both sides of a split."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, candidate in enumerate(candidates):
        if candidate.exclusion is None:
            places[os.path.normpath(candidate.image)].append(index)
    reason = "expected an image of its own, got one that several rows name. Correct them."
    return {index: exclude(candidates[index], reason) for own in places.values() if len(own) > 1 for index in own}


def _sidecar(
    result: BuildResult, reading: Reading, descriptor: Descriptor, source: Path, workspace: Workspace
) -> Sidecar:
    licence = descriptor.licence
    return Sidecar(
        cohort=descriptor.name,
        title=descriptor.title,
        simulation=descriptor.simulation,
        source_root=source,
        sources=tuple(SourceTable(_shown(path, source), hash_file(path)) for path in reading.tables),
        columns=describe_columns(_own_columns(descriptor, result.visits), MONTHS_RULE),
        exclusions=tuple(result.exclusions),
        counts=result.counts,
        expected_participants=descriptor.expected.participants,
        expected_scans=descriptor.expected.scans,
        diagnosis_rule=descriptor.diagnosis.rule,
        diagnosis_source=descriptor.diagnosis.source,
        licence=licence.name,
        licence_url=licence.url,
        apply=licence.apply,
        citation=licence.cite,
        descriptor_hash=descriptor.hash,
        visits_hash=hash_file(workspace.visits_tsv),
        test_only=tuple(sorted(result.test_only or ())),
        analyze_affine=descriptor.images.analyze_affine,
        shares=licence.shares,
        notes=result.notes,
    )


def _own_columns(descriptor: Descriptor, visits: Sequence[Visit]) -> list[str]:
    """Return what `visits.tsv` takes along, less what was dropped for telling dates."""
    wanted = [*descriptor.scores, *descriptor.carry]
    return [name for name in wanted if name in visits[0].extra] if visits else wanted


def _shown(path: Path, source: Path) -> str:
    return Path(os.path.relpath(path, source)).as_posix()
