"""What the name of a T1w image says, and whether such an image may be used."""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion

T1W_NAME = re.compile(
    r"(?P<participant>sub-[A-Za-z0-9]+)(?:_(?P<session>ses-[A-Za-z0-9]+))?(?P<rest>(?:_[a-z]+-[A-Za-z0-9+]+)*)"
    r"_T1w\.(?i:nii(?:\.gz)?)"
)
FIRST_RUN = "1"
OF_A_VERSION = frozenset({"space", "res", "den", "desc"})
"""Entities that tell versions of one scan apart; all others but `run` tell apart kinds of scans."""
EXAMPLE = "sub-01_ses-01_run-1_T1w.nii.gz"
Nearness = Literal[0, 1, 2]
"""To the scan as it came from the scanner: native, linearly registered, warped."""


@dataclass(frozen=True)
class BidsName:
    """What a T1w file's name says."""

    participant_id: str
    session_id: str
    run: str
    entities: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what names the scan."""
        return self.participant_id, self.session_id, self.run

    @property
    def kind(self) -> str:
        """Return how the scan was acquired and reconstructed, as far as the name tells: `acq-fast_rec-norm`."""
        own = {key: value for key, value in self.entities.items() if key not in {*OF_A_VERSION, "run"}}
        return "_".join(f"{key}-{value}" for key, value in own.items())

    @property
    def has_contrast_agent(self) -> bool:
        """Whether the name tells of one."""
        return "ce" in self.entities

    def nearness(self, descriptor: Descriptor) -> Nearness:
        """Return how near a version is to the scan itself."""
        space = self.entities.get("space")
        return 0 if space is None else 1 if space in descriptor.images.linear_spaces else 2


def parse_name(image: str, unnamed_session: str) -> BidsName | None:
    """Read the name of an image; `None` where BIDS has no such name."""
    parts = T1W_NAME.fullmatch(posixpath.basename(image))
    if parts is None:
        return None
    entities = dict(entity.split("-", 1) for entity in parts["rest"].split("_")[1:])
    run = entities.get("run", FIRST_RUN).lstrip("0") or "0"
    return BidsName(parts["participant"], parts["session"] or unnamed_session, run, entities)


def misfiled(name: BidsName, image: str) -> Exclusion | None:
    """Refuse a scan that lies in the folder of another person."""
    folder = image.split("/", 1)[0]
    if not folder.startswith("sub-") or folder == name.participant_id:
        return None
    reason = f"expected a scan of {folder}, got one of {name.participant_id}. Move or rename it."
    return Exclusion(image, image, reason, "error", "check")


def unfit_version(descriptor: Descriptor, name: BidsName, image: str) -> Exclusion | None:
    """Refuse a warped version of a scan, or a part of one."""
    space, desc, images = name.entities.get("space"), name.entities.get("desc"), descriptor.images
    if name.nearness(descriptor) == 2 and not images.allow_nonlinear:
        reason = (
            f"expected a native scan or one in {list(images.linear_spaces)}, got space-{space}: non-linear warping "
            "flattens atrophy. Use the native `desc-preproc_T1w` or the raw scan, or allow it with --allow-nonlinear."
        )
    elif desc is not None and desc not in images.descriptions:
        known = " or ".join(f"desc-{label}" for label in images.descriptions)
        reason = f"expected a raw scan or {known}, got desc-{desc}. Give the whole scan."
    else:
        return None
    return Exclusion(image, image, reason, "error", "check")
