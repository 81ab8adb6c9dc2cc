"""FreeSurfer's folder of subjects: the conformed head, or the brain where heads are not there for all."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neurolatent.cohort.candidates import Candidate
from neurolatent.cohort.exclusion import Exclusion

IMAGES = ("T1.mgz", "brain.mgz")
"""The whole head first; one kind for all, since a model tells heads from brains."""
LONGITUDINAL = ".long."
AVERAGE = "fsaverage"
"""FreeSurfer's own, and nobody."""
TEMPLATE_FILE = "base-tps"
"""Only in the within-person template of the longitudinal stream."""
SESSION_AND_RUN = r"(?:_ses-(?P<session>[A-Za-z0-9]+))?(?:_run-0*(?P<run>[0-9]+))?(?:_T1w)?"
BIDS_NAME = re.compile(r"sub-(?P<person>[A-Za-z0-9]+)" + SESSION_AND_RUN)
COHORT_NAME = re.compile(r"(?P<person>OAS3\d{4}|OAS[12]_\d{4}|\d{3}_S_\d{4,5})(?:_(?:MR_?)?(?P<session>[A-Za-z0-9]+))?")
"""OASIS and ADNI write the session behind the person without saying so: two sessions must not become two people."""
OWN_NAME = re.compile(r"(?!sub-)(?P<person>.+?)" + SESSION_AND_RUN, re.DOTALL)
ENTITY = re.compile(r"_(?:acq|ce|desc|dir|echo|part|rec|run|ses|space)-")
"""Says something of the scan in BIDS, and nothing of the person."""
NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9]")
EXAMPLE = "sub-01_ses-02"


@dataclass(frozen=True)
class _Name:
    """What a subject's folder says."""

    written: str
    """The person, as the folder writes it."""
    participant_id: str
    session: str | None
    run: str
    told: bool
    """Whether the name tells person from session, or the whole of it was taken for a person."""


def is_freesurfer(folder: Path) -> bool:
    """Whether a folder holds FreeSurfer's subjects."""
    return any(any(folder.glob(f"*/mri/{name}")) for name in IMAGES)


def find_subjects(root: Path, unnamed_session: str) -> list[Candidate]:
    """Return the scans: of a session that was processed both ways, the one that went through alone."""
    subjects = _subjects(root)
    image = next(
        (name for name in IMAGES if all((root / one / "mri" / name).is_file() for one in subjects)), IMAGES[-1]
    )
    names = {subject: _parse(subject) for subject in subjects}
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in names.values():
        if name is not None:
            spellings[name.participant_id].add(name.written)
    return [
        _candidate(subject, name, f"{subject}/mri/{image}", unnamed_session, spellings)
        for subject, name in names.items()
    ]


def note_guesses(root: Path) -> tuple[str, ...]:
    """Tell of folders that were taken for a person each, although their names may hold more."""
    names = {subject: _parse(subject) for subject in _subjects(root)}
    guessed = [f"{one} ({name.participant_id})" for one, name in names.items() if name and not name.told]
    if not guessed:
        return ()
    text = f"{len(guessed)} folders whose names hold no `_ses-` count as a person each: {', '.join(guessed)}."
    return (f"{text} Rename those that are scans of one person, such as {EXAMPLE}.",)


def _subjects(root: Path) -> list[str]:
    found = [path for path in sorted(root.iterdir()) if (path / "mri").is_dir()]
    found = [path for path in found if not (path / TEMPLATE_FILE).exists() and not path.name.startswith(AVERAGE)]
    alone = {path.name for path in found}
    return [path.name for path in found if path.name.partition(LONGITUDINAL)[0] not in alone - {path.name}]


def _parse(subject: str) -> _Name | None:
    """Read a name: a session only where `_ses-` stands, or where a cohort is known for its names."""
    bare = subject.partition(LONGITUDINAL)[0]
    parts = BIDS_NAME.fullmatch(bare) or COHORT_NAME.fullmatch(bare) or OWN_NAME.fullmatch(bare)
    if parts is None or ENTITY.search(parts["person"]):
        return None
    label = NOT_IN_LABELS.sub("", parts["person"])
    if not label:
        return None
    told = parts.re is not OWN_NAME or parts["session"] is not None or parts["person"] == label
    written = bare[: parts.end("person")]
    return _Name(written, f"sub-{label}", parts["session"], parts.groupdict().get("run") or "1", told)


def _candidate(
    subject: str, name: _Name | None, image: str, unnamed_session: str, spellings: dict[str, set[str]]
) -> Candidate:
    if name is None:
        return _refused(image, f"expected a subject such as {EXAMPLE}, got {subject!r}. Rename its folder.")
    others = _listed(spellings[name.participant_id] - {name.written})
    if others:
        expected = f"expected folders of one spelling for {name.participant_id}, got {name.written!r} beside {others}"
        return _refused(image, f"{expected}. Rename one: nobody knows whether they are one person.")
    session = f"ses-{name.session}" if name.session else unnamed_session
    return Candidate(name.participant_id, session, name.run, image, image)


def _refused(image: str, reason: str) -> Candidate:
    return Candidate("", "", "", image, image, exclusion=Exclusion(image, image, reason, "error", "match"))


def _listed(names: Iterable[str]) -> str:
    return " and ".join(repr(name) for name in sorted(names))
