"""One person's raw scans to standard space: laid onto one another halfway, then taken on by one transform."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from neurolatent.cohort.sidecar import Matrix
from neurolatent.errors import ScanError
from neurolatent.provenance import hash_settings
from neurolatent.shapes import Affine, MaskArray, VoxelArray
from neurolatent.volume.brain import soft_mask
from neurolatent.volume.head import WORKING_MM, Head, prepare_head
from neurolatent.volume.header import voxel_sizes_mm
from neurolatent.volume.likeness import content_fingerprint
from neurolatent.volume.load import Scan, read_scan
from neurolatent.volume.measures import bias_strength, clipped_share, mask_smoothness, ringing, template_similarity
from neurolatent.volume.midspace import MidSpace, Prepared, build_midspace, place_outside
from neurolatent.volume.native_mask import ESTIMATED, MaskFile, extract, read_mask
from neurolatent.volume.opening import hash_input
from neurolatent.volume.pictures import write_picture
from neurolatent.volume.placed import Placed, coverage, mask_to_grid, volume_on_grid, write_image
from neurolatent.volume.quality import ScanOutcome, overlap, signal_and_contrast, template_mask, template_volume
from neurolatent.volume.recipe import Recipe
from neurolatent.volume.records import (
    Measures,
    PersonRecord,
    ScanFiles,
    ScanRecord,
    person_path,
    read_person,
    write_person,
    write_record,
)
from neurolatent.volume.register import Fit, fit_template
from neurolatent.volume.resample import resample
from neurolatent.volume.transforms import write_transform
from neurolatent.volume.warp import fit_warp
from neurolatent.workspace import ScanKey

Result = TypeVar("Result")


@dataclass(frozen=True)
class RawScan:
    """A row of the table of scans, and where its image and its mask lie."""

    key: ScanKey
    path: Path
    mask: MaskFile | None = None
    analyze_affine: Matrix | None = None
    """Of an Analyze image, whose header cannot tell."""


def _read(scan: RawScan) -> Scan:
    return read_scan(scan.path, analyze_affine=scan.analyze_affine)


@dataclass(frozen=True, eq=False)
class Space:
    """What a person's scans share: their mid-space, the template in it, and the mask."""

    mid: MidSpace
    template: Fit
    mask: MaskArray
    """On the grid of standard space."""
    mask_volume_ml: float
    mask_smoothness: float
    mask_source: str
    together: Mapping[str, str]

    def alone(self, key: ScanKey) -> bool:
        """Tell whether a scan was laid onto none but itself."""
        return list(self.mid.scans) == [key]


def take_person(scans: Sequence[RawScan], derivatives: Path, recipe: Recipe) -> list[ScanOutcome]:
    """Preprocess one person's scans, in order of time, unless they are finished; what fails is an outcome.

    A brain shrinks and its cranium does not: one intracranial mask and one transform to the template serve all visits.
    """
    return _Person(scans, derivatives, recipe).take()


def hold_out(scans: Sequence[RawScan], derivatives: Path, recipe: Recipe, *, session: str) -> list[ScanOutcome]:
    """Preprocess a person's scans as if one session were not known yet, then lay that session's scans onto the others.

    Mid-space, transform and mask come from the other sessions alone.
    """
    return _Person(scans, derivatives, recipe, without=session).take()


def inner_sessions(scans: Sequence[RawScan]) -> list[str]:
    """Return the sessions between a person's first and last, for scans in order of time."""
    return list(dict.fromkeys(scan.key.session_id for scan in scans))[1:-1]


class _Person:
    def __init__(
        self, scans: Sequence[RawScan], derivatives: Path, recipe: Recipe, *, without: str | None = None
    ) -> None:
        self._scans = {scan.key: scan for scan in scans}
        self._derivatives, self._recipe, self._without = derivatives, recipe, without
        self._failures: dict[ScanKey, str] = {}

    def take(self) -> list[ScanOutcome]:
        inputs = self._inputs()
        hashes = {_name(key): _joined(found) for key, found in inputs.items()}
        path = self._record_path()
        known, why = read_person(path), ""
        if known:
            why = known.differs(inputs=hashes, recipe=self._recipe.hash)
            records = self._finished(known) if not why else None
            if records is not None:
                self._failures |= {_key(name): reason for name, reason in known.failures.items()}
                return [self._outcome(key, records.get(key), "skipped", "") for key in self._scans]
        path.unlink(missing_ok=True)
        for key in {*self._scans, *(_key(name) for name in (known.inputs if known else ()))}:
            self._files(key).discard()
        unreadable = dict(self._failures)
        records = self._work(inputs)
        failed = {_name(key): reason for key, reason in self._failures.items() if key not in unreadable}
        if hashes:
            write_person(path, PersonRecord(self._recipe.hash, hashes, failed))
        return [self._outcome(key, records.get(key), "done", why) for key in self._scans]

    def _inputs(self) -> dict[ScanKey, dict[str, str]]:
        """Return the hashes of what each scan is made from; a file that is not there is a failure."""
        found: dict[ScanKey, dict[str, str]] = {}
        for key, scan in self._scans.items():
            try:
                found[key] = {"image": hash_input(scan.path)}
                if scan.analyze_affine:
                    found[key]["analyze_affine"] = hash_settings(scan.analyze_affine)
            except ScanError as error:
                self._fail(key, error)
                continue
            if scan.mask:
                found[key]["mask"] = scan.mask.hash
        return found

    def _finished(self, known: PersonRecord) -> dict[ScanKey, ScanRecord] | None:
        """Return the records where every scan that did not fail has all its files."""
        records: dict[ScanKey, ScanRecord] = {}
        for name in known.inputs:
            if name in known.failures:
                continue
            record = self._files(_key(name)).finished()
            if record is None:
                return None
            records[_key(name)] = record
        return records

    def _work(self, inputs: Mapping[ScanKey, Mapping[str, str]]) -> dict[ScanKey, ScanRecord]:
        heads = self._heads(inputs)
        groups = [heads] if self._recipe.together else [{key: head} for key, head in heads.items()]
        records: dict[ScanKey, ScanRecord] = {}
        for group in groups:
            known = {key: head for key, head in group.items() if key.session_id != self._without}
            space = self._guarded(tuple(known), lambda known=known: self._space(known, inputs))
            if space is None:
                continue
            for key, prepared in group.items():
                if key in self._failures:
                    continue
                record = self._guarded((key,), lambda k=key, p=prepared, s=space: self._write(k, p, s, inputs[k]))
                if record is not None:
                    records[key] = record
        return records

    def _heads(self, keys: Mapping[ScanKey, object]) -> dict[ScanKey, Prepared]:
        heads: dict[ScanKey, Prepared] = {}
        for key in keys:
            scan, path = self._scans[key], self._scans[key].path
            head = self._guarded((key,), lambda scan=scan: prepare_head(_read(scan), scan.path.name))
            if head is not None:
                heads[key] = Prepared(head, path.name)
        return heads

    def _space(self, heads: Mapping[ScanKey, Prepared], inputs: Mapping[ScanKey, Mapping[str, str]]) -> Space | None:
        """Lay the scans onto one another and the template onto their mean, and find the brain in it."""
        mid, failures = build_midspace(heads)
        for key, error in failures.items():
            self._fail(key, error)
        if mid is None:
            return None
        template = fit_template(mid.head, mid.template, registration=self._recipe.registration)
        soft, source = self._mask(mid)
        if soft is None:
            soft = soft_mask(mid.head, template, fit_warp(mid.head, template))
        mask = mask_to_grid(soft, mid.head, template.matrix, self._recipe.grid)
        return Space(
            mid=mid,
            template=template,
            mask=mask,
            mask_volume_ml=float((soft > 0.5).sum()) * WORKING_MM**3 / 1000,
            mask_smoothness=mask_smoothness(mask, self._recipe.grid.spacing_mm),
            mask_source=source,
            together={_name(key): _joined(inputs[key]) for key in mid.scans},
        )

    def _mask(self, mid: MidSpace) -> tuple[VoxelArray | None, str]:
        """Return the mean in mid-space of the masks that the scans bring or that a program makes, and who made them."""
        given: list[VoxelArray] = []
        sources: set[str] = set()
        for key, fit in mid.scans.items():
            scan = self._scans[key]
            if scan.mask:
                given.append(self._in_midspace(scan, scan.mask, mid.head, fit.matrix))
                sources.add(scan.mask.source)
            elif self._recipe.extractor:

                def use(mask: MaskFile, scan: RawScan = scan, matrix: Affine = fit.matrix) -> VoxelArray:
                    return self._in_midspace(scan, mask, mid.head, matrix)

                given.append(extract(self._recipe.extractor, scan.path, use))
                sources.add(self._recipe.extractor.split()[0])
        if not given:
            return None, ESTIMATED
        return np.asarray(np.mean(given, axis=0), dtype=np.float32), "+".join(sorted(sources))

    @staticmethod
    def _in_midspace(scan: RawScan, mask: MaskFile, head: Head, scan_from_mid: Affine) -> VoxelArray:
        raw = _read(scan)
        inside = read_mask(mask, raw)
        i, j, k = head.voxels.shape
        return resample(inside, np.linalg.inv(raw.world_from_voxel) @ scan_from_mid @ head.world_from_voxel, (i, j, k))

    def _write(self, key: ScanKey, prepared: Prepared, space: Space, inputs: Mapping[str, str]) -> ScanRecord:
        """Write volume, mask, transform, picture and, when all are there, the record."""
        fit = space.mid.scans.get(key) or place_outside(space.mid, prepared)
        scan = _read(self._scans[key])
        grid, files = self._recipe.grid, self._files(key)
        placed = Placed(prepared.name, scan, prepared.head, fit.matrix @ space.template.matrix)
        covered = coverage(placed, grid)
        placed = placed.evened(space.mask, grid)
        volume = volume_on_grid(placed, space.mask, grid)
        record = ScanRecord(
            inputs=inputs,
            together=space.together,
            recipe_hash=self._recipe.hash,
            mask_source=space.mask_source,
            measures=self._measure(placed, volume, space, None if space.alone(key) else fit.correlation, covered),
            scan_from_standard=placed.scan_from_standard,
            flags=scan.flags,
            content_fingerprint=content_fingerprint(volume, space.mask, grid),
        )
        write_image(files.volume, volume, grid)
        write_image(files.mask, space.mask.astype(np.uint8), grid)
        write_transform(files.transform, placed.scan_from_standard)
        if not self._without:
            write_picture(files.picture, placed, space.mask, grid)
        write_record(files.record, key, record, self._recipe)
        return record

    def _measure(
        self, placed: Placed, volume: VoxelArray, space: Space, rigid_correlation: float | None, covered: float
    ) -> Measures:
        grid = self._recipe.grid
        signal, contrast = signal_and_contrast(volume, space.mask, grid)
        brain_in_scan, brain_in_head = placed.brain_in_scan(space.mask, grid), placed.brain_in_head(space.mask, grid)
        return Measures(
            affine_correlation=space.template.correlation,
            rigid_correlation=rigid_correlation,
            template_scale=space.template.determinant,
            mask_volume_ml=space.mask_volume_ml,
            intracranial_ml=space.mask_volume_ml if space.mask_source == ESTIMATED else None,
            template_overlap=overlap(space.mask, template_mask(grid)),
            coverage=covered,
            signal_to_noise=signal,
            contrast_to_noise=contrast,
            template_similarity=template_similarity(volume, space.mask, template_volume(grid)),
            mask_smoothness=space.mask_smoothness,
            bias_strength=bias_strength(placed.head.log_bias, brain_in_head),
            clipped_share=clipped_share(placed.scan.voxels, brain_in_scan),
            ringing=ringing(placed.scan.voxels, brain_in_scan, voxel_sizes_mm(placed.scan.world_from_voxel).tolist()),
        )

    def _guarded(self, keys: Sequence[ScanKey], work: Callable[[], Result | None]) -> Result | None:
        """Return what the work gives; an image that cannot be used is a failure of these scans."""
        try:
            return work()
        except ScanError as error:
            for key in keys:
                self._fail(key, error)
        except (RuntimeError, np.linalg.LinAlgError) as error:
            # SimpleITK and torch raise these for images that pass every check and still cannot be registered.
            got = " ".join(str(error).split())
            for key in keys:
                self._failures[key] = f"expected a head that can be registered, got {got!r}. Look at the scan."
        for key in keys:
            self._files(key).discard()
        return None

    def _fail(self, key: ScanKey, error: ScanError) -> None:
        self._failures.setdefault(key, str(error).removeprefix(f"{self._scans[key].path.name}: "))

    def _outcome(self, key: ScanKey, record: ScanRecord | None, status: str, why: str) -> ScanOutcome:
        if record is not None:
            return ScanOutcome(key, status, "", why, record, self._without)
        reason = self._failures.get(key, "its person's scans could not be laid onto one another")
        return ScanOutcome(key, "failed", f"{self._scans[key].path.name}: {reason}", reason, None, self._without)

    def _files(self, key: ScanKey) -> ScanFiles:
        return ScanFiles(self._derivatives, key, self._recipe.grid.label, self._without)

    def _record_path(self) -> Path:
        participant = next(iter(self._scans)).participant_id
        return person_path(self._derivatives, participant, self._recipe.grid.label, self._without)


def _name(key: ScanKey) -> str:
    return "/".join(key)


def _key(name: str) -> ScanKey:
    return ScanKey(*name.split("/"))


def _joined(hashes: Mapping[str, str]) -> str:
    return "+".join(hashes[kind] for kind in sorted(hashes))
