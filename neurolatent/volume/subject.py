"""One person's raw scans to standard space: the first by one affine, the later ones rigidly to the first."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurolatent.errors import ScanError
from neurolatent.shapes import MaskArray
from neurolatent.volume.brain import soft_mask
from neurolatent.volume.head import WORKING_MM, Head, prepare_head
from neurolatent.volume.load import hash_input, read_image, read_scan
from neurolatent.volume.pictures import write_picture
from neurolatent.volume.placed import Placed, coverage, mask_to_grid, volume_on_grid, write_image
from neurolatent.volume.quality import ScanOutcome, overlap, signal_and_contrast, template_mask
from neurolatent.volume.records import Measures, ScanFiles, ScanRecord, recipe_hash, write_record
from neurolatent.volume.register import Fit, fit_affine, fit_rigid
from neurolatent.volume.space import Grid
from neurolatent.volume.warp import fit_warp
from neurolatent.workspace import ScanKey


@dataclass(frozen=True)
class RawScan:
    """A row of the table of scans, and where its image lies."""

    key: ScanKey
    path: Path


@dataclass(frozen=True, eq=False)
class Reference:
    """The person's first usable scan: the template was laid onto it, the later scans follow it and share its mask.

    A brain shrinks and its cranium does not: one intracranial mask serves all visits of a person.
    """

    key: ScanKey
    input_hash: str
    head: Head
    fit: Fit
    mask: MaskArray
    mask_volume_ml: float


class Person:
    """Takes one person's scans in order of time; what fails is an outcome, never an error."""

    def __init__(self, derivatives: Path, grid: Grid) -> None:
        self._derivatives, self._grid, self._recipe = derivatives, grid, recipe_hash(grid)
        self._first: tuple[RawScan, ScanRecord] | None = None
        self._reference: Reference | None = None

    def take(self, scan: RawScan) -> ScanOutcome:
        """Preprocess one scan, unless it is finished."""
        files = ScanFiles(self._derivatives, scan.key, self._grid.label)
        try:
            return self._take(scan, files)
        except ScanError as error:
            message = str(error)
        except (RuntimeError, np.linalg.LinAlgError) as error:
            # SimpleITK and torch raise these for images that pass every check and still cannot be registered.
            got = " ".join(str(error).split())
            message = f"{scan.path.name}: expected a head that can be registered, got {got!r}. Look at the scan."
        files.discard()
        return ScanOutcome(scan.key, "failed", message, message.removeprefix(f"{scan.path.name}: "), None)

    def _take(self, scan: RawScan, files: ScanFiles) -> ScanOutcome:
        input_hash = hash_input(scan.path)
        reference_hash = self._first[1].inputs["image"] if self._first else input_hash
        record, why = files.finished(), ""
        if record:
            inputs = {"image": input_hash}
            why = record.differs(inputs=inputs, reference_hash=reference_hash, recipe=self._recipe)
            if not why:
                self._first = self._first or (scan, record)
                return ScanOutcome(scan.key, "skipped", "", "", record)
        files.discard()
        record = self._follow(scan, files, input_hash) if self._first else self._lead(scan, files, input_hash)
        self._first = self._first or (scan, record)
        return ScanOutcome(scan.key, "done", "", why, record)

    def _lead(self, scan: RawScan, files: ScanFiles, input_hash: str) -> ScanRecord:
        """Lay the template onto the person's first usable scan, and find the brain in it."""
        raw = read_scan(scan.path)
        head = prepare_head(raw, scan.path.name)
        fit = fit_affine(head, scan.path.name)
        soft = soft_mask(head, fit, fit_warp(head, fit))
        reference = Reference(
            key=scan.key,
            input_hash=input_hash,
            head=head,
            fit=fit,
            mask=mask_to_grid(soft, head, fit.matrix, self._grid),
            mask_volume_ml=float((soft > 0.5).sum()) * WORKING_MM**3 / 1000,
        )
        placed = Placed(scan.path.name, raw, head, fit.matrix)
        record = self._write(files, placed, reference, rigid=None, input_hash=input_hash)
        self._reference = reference
        return record

    def _follow(self, scan: RawScan, files: ScanFiles, input_hash: str) -> ScanRecord:
        """Lay a later scan onto the first, and on through the first one's affine."""
        reference = self._reference = self._reference or self._resumed()
        raw = read_scan(scan.path)
        head = prepare_head(raw, scan.path.name)
        rigid = fit_rigid(reference.head, reference.fit, head, scan.path.name)
        placed = Placed(scan.path.name, raw, head, rigid.matrix @ reference.fit.matrix)
        return self._write(files, placed, reference, rigid=rigid, input_hash=input_hash)

    def _resumed(self) -> Reference:
        """Return what an earlier run found of the first scan: a rerun's later scans come out the same."""
        if self._first is None:
            msg = "A later scan was taken before a first."
            raise RuntimeError(msg)
        scan, record = self._first
        files = ScanFiles(self._derivatives, scan.key, self._grid.label)
        _, mask = read_image(files.mask)
        return Reference(
            key=scan.key,
            input_hash=record.inputs["image"],
            head=prepare_head(read_scan(scan.path), scan.path.name),
            fit=Fit(record.scan_from_standard, record.measures.affine_correlation or 0.0),
            mask=mask > 0.5,
            mask_volume_ml=record.measures.mask_volume_ml,
        )

    def _write(
        self, files: ScanFiles, placed: Placed, reference: Reference, *, rigid: Fit | None, input_hash: str
    ) -> ScanRecord:
        """Write volume, mask, picture and, when all are there, the record."""
        covered = coverage(placed, self._grid)
        placed = placed.evened(reference.mask, self._grid)
        volume = volume_on_grid(placed, reference.mask, self._grid)
        signal, contrast = signal_and_contrast(volume, reference.mask, self._grid)
        measures = Measures(
            affine_correlation=reference.fit.correlation,
            rigid_correlation=rigid.correlation if rigid else None,
            template_scale=reference.fit.determinant,
            mask_volume_ml=reference.mask_volume_ml,
            template_overlap=overlap(reference.mask, template_mask(self._grid)),
            coverage=covered,
            signal_to_noise=signal,
            contrast_to_noise=contrast,
        )
        record = ScanRecord(
            inputs={"image": input_hash},
            reference=reference.key,
            reference_hash=reference.input_hash,
            recipe_hash=self._recipe,
            mask_source="estimated",
            measures=measures,
            scan_from_standard=placed.scan_from_standard,
        )
        write_image(files.volume, volume, self._grid)
        write_image(files.mask, reference.mask.astype(np.uint8), self._grid)
        write_picture(files.picture, placed, reference.mask, self._grid)
        write_record(files.record, files.key, record, self._grid)
        return record
