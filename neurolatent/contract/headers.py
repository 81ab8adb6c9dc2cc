"""What an image's header and size tell, before any voxel is read: some hundred scans a second."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.spatialimages import SpatialImage

from neurolatent.cohort.sidecar import Matrix
from neurolatent.cohort.visits import dicom_slices, image_path
from neurolatent.contract.remark import Remark, Severity, from_error, scan_place
from neurolatent.errors import ScanError, SettingsError
from neurolatent.volume.header import Placement, place, three_axes, voxel_sizes_mm
from neurolatent.volume.opening import check_stated_size, open_image, packed_trailer, refuse_no_numbers, without_remarks
from neurolatent.volume.space import CENTRES_MM, TEMPLATE_SPACE, Grid, given_mask_path, is_given
from neurolatent.workspace import ScanKey

Found = TypeVar("Found")
Shape = tuple[int, int, int]
LEAST_FIELD_MM, LARGEST_FIELD_MM = 100.0, 512.0
"""Along each axis: a brain is longer than the one, no head coil is longer than the other."""
THICKEST_MM = 4.0
TEMPLATE_CODES = {3: "Talairach", 4: "MNI152", 5: "another template's"}
"""Meanings of sform and qform by which a scan has left its own space (NIfTI-1.1)."""
GRID_TOLERANCE = 1e-3
TOLD_ONLY = ("units not stated", "scale slope", "affine of the cohort")
"""Beginnings of flags that change nothing."""
THREADS_A_JOB = 4
"""Reading headers is waiting for a disk, mostly."""


@dataclass(frozen=True)
class ImageTask:
    """One scan whose image is to be looked at."""

    key: ScanKey
    root: Path
    image: str
    """Relative to the source root."""
    analyze_affine: Matrix | None = None
    """What the cohort's descriptor says of images whose header cannot tell."""

    @property
    def name(self) -> str:
        """Of the file."""
        return self.image.rsplit("/", maxsplit=1)[-1]


@dataclass(frozen=True)
class HeaderCheck:
    """What was found without reading voxels."""

    task: ImageTask
    path: Path | None = None
    """Where the image lies, if it lies in the source."""
    remarks: tuple[Remark, ...] = ()
    flags: tuple[str, ...] = ()
    """What was odd about the header, in preprocessing's own words."""
    grid: Grid | None = None
    """The grid of a scan that came in standard space."""
    stored: Path | None = None
    """Where its voxels lie: in a pair of files, not where its header does."""
    size: int = 0
    """Of that file, in bytes."""
    packed: tuple[int, int] | None = None
    """Checksum and size of what is packed in it."""

    @property
    def usable(self) -> bool:
        """Whether its voxels are worth reading."""
        return not any(remark.severity == "error" for remark in self.remarks)


def look_at_headers(tasks: Sequence[ImageTask], *, jobs: int) -> Generator[HeaderCheck]:
    """Look at each scan's header, in their order."""
    # nibabel's logger and Python's warnings belong to all threads: they are kept still around them all.
    with without_remarks(), ThreadPoolExecutor(THREADS_A_JOB * jobs) as pool:
        yield from pool.map(look_at_header, tasks)


def look_at_header(task: ImageTask) -> HeaderCheck:
    """Look at one scan's header; what is wrong with it is a remark."""
    look = _Look(task)
    try:
        path = image_path(task.root, task.image)
    except ScanError:
        got, way_out = "one that leads out of it", "Copy the image into the folder, or correct its row."
        look.tell("error", "path", "a path in the source folder", got, way_out)
        return HeaderCheck(task, remarks=tuple(look.remarks))
    if path.is_dir():
        return _folder(look, task, path)
    image = look.step("file", partial(open_image, path))
    if image is None:
        return HeaderCheck(task, path, tuple(look.remarks))
    shape, placement = look.geometry(image)
    grid = None
    if shape and placement and is_given(task.image):
        grid = look.given(path, shape, placement)
    elif shape and placement:
        look.raw(image, shape, placement)
    size_flags = look.step("whole", partial(check_stated_size, image, path.name)) if shape else None
    stored = Path(str(image.file_map["image"].filename))
    flags = (*(placement.flags if placement else ()), *(size_flags or ()))
    return HeaderCheck(
        task, path, tuple(look.remarks), flags, grid, stored, stored.stat().st_size, packed_trailer(stored)
    )


def _folder(look: "_Look", task: ImageTask, path: Path) -> HeaderCheck:
    """Look at the folder of a DICOM series; whether it holds one and no more is read with the voxels."""
    if not dicom_slices(path):
        look.tell("error", "file", "an image or a DICOM series", "a folder without one", "Copy or download it again.")
    return HeaderCheck(task, path, tuple(look.remarks))


class _Look:
    def __init__(self, task: ImageTask) -> None:
        self._task = task
        self.remarks: list[Remark] = []

    def step(self, rule: str, work: Callable[[], Found]) -> Found | None:
        """Return what a rule of preprocessing gives, or `None` and a remark where it refuses."""
        try:
            return work()
        except ScanError as error:
            self.remarks.append(from_error(error, rule, self._task.key, image=self._task.name))
        except OSError as error:
            got, way_out = f"{error.strerror!r}", "Check its permissions and the disk."
            self.tell("error", rule, "a readable image", got, way_out)
        return None

    def geometry(self, image: SpatialImage) -> tuple[Shape | None, Placement | None]:
        """Return how many voxels there are and where they lie, and tell what is odd about how the header says so."""
        name = self._task.name
        shape = self.step("axes", partial(three_axes, image, name))
        self.step("type", partial(refuse_no_numbers, image, name))
        placement = self.step("placement", partial(place, image, name, analyze_affine=self._task.analyze_affine))
        for flag in placement.flags if placement else ():
            way_out = "Preprocessing goes on so; convert the scan again where that is wrong."
            severity = "note" if flag.startswith(TOLD_ONLY) else "warning"
            self.tell(severity, "header", "a header that says one thing", flag, way_out)
        return shape, placement

    def raw(self, image: SpatialImage, shape: Shape, placement: Placement) -> None:
        """Tell of a raw scan that is no T1w head in its own space, by its size and its header."""
        sizes_mm = voxel_sizes_mm(placement.world_from_voxel)
        field_mm = sizes_mm * shape
        if field_mm.min() < LEAST_FIELD_MM or field_mm.max() > LARGEST_FIELD_MM:
            expected = f"a field of view of {LEAST_FIELD_MM:g} to {LARGEST_FIELD_MM:g} mm along each axis"
            way_out = "Check the header's voxel sizes, or use the whole series."
            self.tell("warning", "field-of-view", expected, f"{_times(field_mm, '.0f')} mm", way_out)
        if sizes_mm.max() > THICKEST_MM:
            expected, got = f"voxels of at most {THICKEST_MM:g} mm", f"{_times(sizes_mm, '.3g')} mm"
            way_out = "Thick slices hide small structures and tell the site: use a 3D T1w series."
            self.tell("warning", "voxel-size", expected, got, way_out)
        for code in sorted(_space_codes(image) & TEMPLATE_CODES.keys()):
            got = f"a header that places it in {TEMPLATE_CODES[code]} space (code {code})"
            way_out = "Use the raw scan: a warp to a template flattens the atrophy that is looked for."
            self.tell("warning", "template", "a scan in its own space", got, way_out)

    def given(self, path: Path, shape: Shape, placement: Placement) -> Grid | None:
        """Return the grid of a scan that came in standard space; its mask must lie beside it."""
        mask = given_mask_path(path)
        if not mask.is_file():
            got, way_out = "no such file", f"Put {mask.name} beside it, or use the raw scan."
            self.tell("error", "mask", "the mask of a standard-space scan", got, way_out)
        spacing_mm = round(float(voxel_sizes_mm(placement.world_from_voxel).mean()), 3)
        try:
            grids = [Grid(spacing_mm, view) for view in CENTRES_MM]
        except SettingsError:
            grids = []
        for grid in grids:
            if shape == grid.shape and np.allclose(
                placement.world_from_voxel, grid.world_from_voxel, atol=GRID_TOLERANCE
            ):
                return grid
        got = f"shape {shape} with voxels of {spacing_mm:g} mm at another place"
        self.tell("error", "grid", f"one of our grids in {TEMPLATE_SPACE}", got, "Use the raw scan instead.")
        return None

    def tell(self, severity: Severity, rule: str, expected: str, got: str, way_out: str) -> None:
        """Remark on the scan."""
        self.remarks.append(Remark(severity, rule, scan_place(self._task.key), expected, got, way_out))


def _space_codes(image: SpatialImage) -> set[int]:
    """Return which spaces a NIfTI header says that its two affines lead to."""
    header = image.header
    return {int(header[f"{form}_code"]) for form in ("sform", "qform")} if isinstance(header, Nifti1Header) else set()


def _times(values: np.ndarray, digits: str) -> str:
    return "×".join(f"{value:{digits}}" for value in values)
