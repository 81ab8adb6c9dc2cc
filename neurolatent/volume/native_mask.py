"""Brain masks that a source brings beside its raw scans, or that an installed program makes."""

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurolatent.errors import ScanError, SettingsError
from neurolatent.provenance import hash_file, read_json
from neurolatent.shapes import VoxelArray
from neurolatent.volume.load import Scan, read_scan

ESTIMATED = "estimated"
"""Our own mask: the only one whose volume is intracranial by construction."""
PROGRAMS = {
    "synthstrip": "mri_synthstrip -i {image} -m {mask}",
    "hd-bet": "hd-bet -i {image} -o {folder}/brain.nii.gz -device cpu --disable_tta --save_bet_mask",
}
"""Short names for `--brain-extractor`; in any other command {image}, {mask} and {folder} are filled in."""
HD_BET_MASKS = ("brain_bet.nii.gz", "brain_mask.nii.gz", "brain.nii.gz_bet.nii.gz")
TIME_LIMIT_S = 3600
MIN_MASK_ML, MAX_MASK_ML = 400.0, 3000.0


@dataclass(frozen=True)
class MaskFile:
    """A mask in a scan's own space."""

    path: Path
    source: str
    """Who made it: fmriprep, freesurfer, …; `given` where the source does not say."""

    @property
    def hash(self) -> str:
        """SHA-256 of the file."""
        return hash_file(self.path)


def mask_beside(image: Path) -> MaskFile | None:
    """Find the mask that belongs to a raw or native-space scan, by the names its makers give."""
    stem = image.name.removesuffix(".gz").removesuffix(".nii")
    bare = stem.removesuffix("_T1w").removesuffix("_desc-preproc")
    named = (
        (f"{bare}_desc-brain_mask", None),
        (f"{stem}_desc-brain_mask", None),
        (f"{stem}_synthstrip_mask", "synthstrip"),
        (f"{stem}_bet_mask", "hd-bet"),
        (f"{stem}_brain_mask", None),
    )
    for name, source in named:
        for suffix in (".nii.gz", ".nii"):
            path = image.with_name(name + suffix)
            if path.is_file() and path != image:
                return MaskFile(path, source or _maker(path))
    freesurfer = image.with_name("brainmask.mgz")
    if image.parent.name == "mri" and freesurfer.is_file():
        return MaskFile(freesurfer, "freesurfer")
    return None


def read_mask(mask: MaskFile, scan: Scan) -> VoxelArray:
    """Return a mask as 0 and 1 on a scan's voxels, and refuse one of another grid or of an impossible size."""
    found = read_scan(mask.path)
    expected = f"expected a brain mask on the scan's grid of shape {scan.voxels.shape}"
    if found.voxels.shape != scan.voxels.shape or not np.allclose(
        found.world_from_voxel, scan.world_from_voxel, atol=0.1
    ):
        msg = (
            f"{mask.path.name}: {expected}, got {found.voxels.shape} elsewhere. Resample it to the scan, or remove it."
        )
        raise ScanError(msg)
    inside = found.voxels > (0.5 if found.voxels.max() <= 1 else 0)
    volume_ml = float(inside.sum() * abs(np.linalg.det(scan.world_from_voxel[:3, :3])) / 1000)
    if not MIN_MASK_ML <= volume_ml <= MAX_MASK_ML:
        expected = f"expected a brain of {MIN_MASK_ML:g} to {MAX_MASK_ML:g} mL"
        msg = f"{mask.path.name}: {expected}, got {volume_ml:.0f} mL. Make the mask again, or remove it."
        raise ScanError(msg)
    return inside.astype(np.float32)


def refuse_mixed(sources: Iterable[str]) -> None:
    """Refuse a cohort whose masks come from different makers: a model learns the maker, and with it the site."""
    counts: dict[str, int] = {}
    for source in sources:
        counts[source] = counts.get(source, 0) + 1
    if len(counts) > 1:
        listed = ", ".join(f"{count} {source}" for source, count in sorted(counts.items()))
        msg = (
            f"expected masks of one source for the whole cohort, got {listed}: a shortcut between sites. State "
            "--ignore-given-masks to make all of them here, or --allow-mixed-masks to go on."
        )
        raise SettingsError(msg)


def extractor_words(extractor: str) -> list[str]:
    """Return a program's command line as words, each still with its {image} and {mask}; refuse what cannot run."""
    words = shlex.split(PROGRAMS.get(extractor, extractor))
    if not words or shutil.which(words[0]) is None:
        program = words[0] if words else extractor
        msg = f"--brain-extractor: expected an installed program, found no {program!r} on the path. Install it first."
        raise SettingsError(msg)
    if extractor not in PROGRAMS and not all(
        any(f"{{{part}}}" in word for word in words) for part in ("image", "mask")
    ):
        msg = f"--brain-extractor: expected {{image}} and {{mask}} in the command, got {extractor!r}. Add both."
        raise SettingsError(msg)
    return words


def extract(extractor: str, image: Path, use: Callable[[MaskFile], VoxelArray]) -> VoxelArray:
    """Run a program on a scan, without a shell, and return what `use` makes of its mask."""
    with tempfile.TemporaryDirectory(prefix="neurolatent-") as name:
        folder = Path(name)
        filled = {"image": str(image.resolve()), "mask": str(folder / "mask.nii.gz"), "folder": str(folder)}
        words = [_fill(word, filled) for word in extractor_words(extractor)]
        try:
            answer = subprocess.run(  # noqa: S603 - the user's own program, as words and without a shell
                words, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S
            )
        except subprocess.TimeoutExpired as error:
            msg = f"{image.name}: expected a mask of {words[0]} within {TIME_LIMIT_S} s, got none. Run it by hand."
            raise ScanError(msg) from error
        found = next((folder / one for one in ("mask.nii.gz", *HD_BET_MASKS) if (folder / one).is_file()), None)
        if answer.returncode or found is None:
            said = (answer.stderr.strip() or answer.stdout.strip() or "nothing").splitlines()[-1][:200]
            msg = f"{image.name}: expected a mask of {words[0]}, got exit status {answer.returncode}: {said}"
            raise ScanError(msg)
        return use(MaskFile(found, extractor))


def _fill(word: str, parts: Mapping[str, str]) -> str:
    for name, value in parts.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _maker(path: Path) -> str:
    """Name the program that made a BIDS derivative, by the dataset's own description."""
    for folder in list(path.parents)[:5]:
        description = folder / "dataset_description.json"
        if description.is_file():
            made = read_json(description).get("GeneratedBy") or [{}]
            return str(made[0].get("Name", "given")).lower()
    return "given"
