"""FreeSurfer's folder of subjects: the conformed head, or the brain where heads are not there for all."""

import re
from pathlib import Path

from neurolatent.cohort.candidates import Candidate
from neurolatent.cohort.exclusion import Exclusion

IMAGES = ("T1.mgz", "brain.mgz")
"""The whole head first; one kind for all, since a model tells heads from brains."""
SUBJECT = re.compile(r"(?:sub-)?(?P<person>[A-Za-z0-9]+)(?:_(?:ses-)?(?P<session>[A-Za-z0-9]+))?(?:\.long\..+)?")
AVERAGE = "fsaverage"
"""FreeSurfer's own, and nobody."""
TEMPLATE_FILE = "base-tps"
"""Only in the within-person template of the longitudinal stream."""


def is_freesurfer(folder: Path) -> bool:
    """Whether a folder holds FreeSurfer's subjects."""
    return any(any(folder.glob(f"*/mri/{name}")) for name in IMAGES)


def find_subjects(root: Path, unnamed_session: str) -> list[Candidate]:
    """Return the scans: of a session that was processed both ways, the one that went through alone."""
    subjects = [path for path in sorted(root.iterdir()) if (path / "mri").is_dir()]
    subjects = [path for path in subjects if not (path / TEMPLATE_FILE).exists() and not path.name.startswith(AVERAGE)]
    alone = {path.name for path in subjects}
    subjects = [path for path in subjects if path.name.partition(".long.")[0] not in alone - {path.name}]
    name = next((name for name in IMAGES if all((path / "mri" / name).is_file() for path in subjects)), IMAGES[-1])
    return [_candidate(path.name, f"{path.name}/mri/{name}", unnamed_session) for path in subjects]


def _candidate(subject: str, image: str, unnamed_session: str) -> Candidate:
    parts = SUBJECT.fullmatch(subject)
    if parts is None:
        reason = f"expected a subject such as sub-01_ses-02, got {subject!r}. Rename its folder."
        return Candidate("", "", "", image, image, exclusion=Exclusion(image, image, reason, "error", "match"))
    session = f"ses-{parts['session']}" if parts["session"] else unnamed_session
    return Candidate(f"sub-{parts['person']}", session, "1", image, image)
