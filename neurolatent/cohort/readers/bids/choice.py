"""Of a visit's images one kind is taken, with its runs, and of each scan one version; the others are listed."""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from neurolatent.cohort.candidates import Candidate
from neurolatent.cohort.choice import rank
from neurolatent.cohort.descriptor import Choice, Descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.readers.bids.names import BidsName

NEAREST_FIRST = "of one scan the native version comes before one in a linearly reached space, and that before a warped"
FIT_ONLY = "a version of the scan that is fit for use is there too"


@dataclass(frozen=True)
class NamedScan:
    """An image with what its name says."""

    candidate: Candidate
    name: BidsName
    nearness: int
    unfit: bool
    """Whether it is refused as a version of a scan: another may stand in for it."""
    absent: Exclusion | None
    """Set where a table names a file that is not there, or the file is empty: no rule should take it for the others."""

    @property
    def file(self) -> str:
        """Name the image's file."""
        return posixpath.basename(self.candidate.image)


def choose_scans(descriptor: Descriptor, scans: Iterable[NamedScan]) -> list[Candidate]:
    """Return all candidates, those that are not taken with the reason."""
    choice = descriptor.images.choice if descriptor.reader == "bids" else None  # else it speaks of an archive's series
    visits: dict[tuple[str, str], list[NamedScan]] = {}
    for scan in scans:
        visits.setdefault(scan.name.key[:2], []).append(scan)
    return [candidate for own in visits.values() for candidate in _choose(choice, own)]


def note_contrast_agents(scans: Iterable[NamedScan], taken: Iterable[Candidate]) -> tuple[str, ...]:
    """Tell of scans with a contrast agent that are taken all the same."""
    kept = {scan.image for scan in taken if scan.exclusion is None}
    found = [scan.file for scan in scans if scan.name.has_contrast_agent and scan.candidate.image in kept]
    if not found:
        return ()
    return (f"{len(found)} scans are with a contrast agent, as their visits have no other: {', '.join(found)}.",)


def _choose(choice: Choice | None, scans: Sequence[NamedScan]) -> list[Candidate]:
    left_out: dict[str, Exclusion] = {}
    fit = [scan for scan in scans if scan.candidate.exclusion is None]
    if there := [scan for scan in fit if scan.absent is None]:
        left_out |= {scan.candidate.image: scan.absent for scan in fit if scan.absent}
        fit = there
    fit = _nearest(choice, fit, left_out)
    if choice is not None:
        fit = _best_kind(choice, fit, left_out)
    for scan in scans:
        instead = next((one for one in fit if one.name.run == scan.name.run), None)
        if scan.unfit and instead:
            left_out[scan.candidate.image] = _exclusion(scan, instead, FIT_ONLY)
    return [
        replace(one.candidate, exclusion=left_out.get(one.candidate.image, one.candidate.exclusion)) for one in scans
    ]


def _nearest(choice: Choice | None, scans: Iterable[NamedScan], left_out: dict[str, Exclusion]) -> list[NamedScan]:
    """Keep of each scan the version that is nearest to it; the first by name where a rule may choose among equals."""
    versions: dict[tuple[str, str], list[NamedScan]] = {}
    for scan in scans:
        versions.setdefault((scan.name.kind, scan.name.run), []).append(scan)
    kept: list[NamedScan] = []
    for own in versions.values():
        best = min(own, key=lambda scan: (scan.nearness, scan.file))
        for scan in own:
            if scan is best or (choice is None and scan.nearness == best.nearness):
                kept.append(scan)
            else:
                rule = NEAREST_FIRST if choice is None or scan.nearness > best.nearness else choice.rule
                left_out[scan.candidate.image] = _exclusion(scan, best, rule)
    return kept


def _best_kind(choice: Choice, scans: Sequence[NamedScan], left_out: dict[str, Exclusion]) -> list[NamedScan]:
    """Keep the runs of the kind that the rule puts first: repeats are of one kind."""
    ranked = [
        (scan.nearness, place, scan.name.kind) for scan in scans if (place := rank(choice, scan.file)) is not None
    ]
    kind = min(ranked)[2] if ranked else None
    kept = [scan for scan in scans if scan.name.kind == kind and rank(choice, scan.file) is not None]
    for scan in scans:
        if scan not in kept:
            left_out[scan.candidate.image] = _exclusion(scan, kept[0] if kept else None, choice.rule)
    return kept


def _exclusion(scan: NamedScan, best: NamedScan | None, rule: str) -> Exclusion:
    instead = f"{best.file!r} is taken instead" if best else "none of the visit fits"
    image = scan.candidate.image
    return Exclusion(image, image, f"got {scan.file!r}; {instead}: {rule}.", "note", "choice")
