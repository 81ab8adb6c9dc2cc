"""Image one person and write the scans; what the workers of a phantom do."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurolatent.phantom.image import scan
from neurolatent.phantom.nifti import MNI_CODE, SCANNER_CODE, write_nifti
from neurolatent.phantom.parameters import Arm, PhantomParameters
from neurolatent.phantom.people import People, median_motion_mm_per_min, person_rng
from neurolatent.phantom.raw import raw_scan
from neurolatent.phantom.records import Record, person_record
from neurolatent.phantom.scanner import Acquisition, RawProtocol, draw_acquisition, draw_raw_acquisition
from neurolatent.phantom.subject import Subject, draw_subject
from neurolatent.phantom.visits import Session
from neurolatent.phantom.workbench import shared_workbench
from neurolatent.volume.space import TEMPLATE_SPACE, Grid
from neurolatent.volume.template import TemplateMaps

SCAN_STREAM, RAW_SCAN_STREAM = 3, 4


@dataclass(frozen=True, eq=False)
class Job:
    """What a worker needs to image any person of a cohort."""

    folder: Path
    parameters: PhantomParameters
    people: People
    sessions: tuple[tuple[Session, ...], ...]
    """By row of `people`."""
    arm: Arm
    raw: RawProtocol | None
    """Of raw heads; without it, brains in standard space."""
    grid: Grid
    template: TemplateMaps
    device: str

    def prepare(self) -> None:
        """Make what all workers need, once, before they race for it."""
        with torch.device(self.device), torch.inference_mode():
            shared_workbench(self.template, self.device).support  # noqa: B018 - made on first use

    def prepare_anatomy(self, anatomy: int) -> None:
        """Make one anatomy, and measure its response."""
        with torch.device(self.device), torch.inference_mode():
            shared_workbench(self.template, self.device).response(anatomy)

    def write_person(self, row: int) -> Record:
        """Write all scans of the person in that row; return what is true about them."""
        with torch.device(self.device), torch.inference_mode():
            bench = shared_workbench(self.template, self.device)
            subject = draw_subject(bench, self.parameters, self.people, row, arm=self.arm)
            scans = [
                self._write_scan(subject, session, run)
                for session in self.sessions[row]
                for run in range(1, session.runs + 1)
            ]
        drawn = person_record(self.parameters, subject.people, subject.row)
        return {**drawn, "calibration": asdict(subject.calibration), "scans": scans}

    def _write_scan(self, subject: Subject, session: Session, run: int) -> Record:
        scheduled = int(session.session_id.removeprefix("ses-M"))
        stream = SCAN_STREAM if self.raw is None else RAW_SCAN_STREAM
        rng = person_rng(self.people.seed, int(subject.people.index[subject.row]), stream, scheduled, run)
        scanner = subject.scanner(session.months)
        motion = median_motion_mm_per_min(self.parameters, subject.people, subject.row, session.months)
        if self.raw is None:
            write = self._write_standard
            acquisition = draw_acquisition(rng, self.parameters, scanner, median_motion_mm_per_min=motion)
        else:
            write = self._write_raw
            acquisition = draw_raw_acquisition(
                rng, self.parameters, scanner, median_motion_mm_per_min=motion, protocol=self.raw
            )
        stem = f"{subject.participant_id}_{session.session_id}" + (f"_run-{run}" if run > 1 else "")
        folder = self.folder / subject.participant_id / session.session_id / "anat"
        more = write(subject, session, acquisition, folder / stem)
        return _scan_record(subject, session, run, acquisition) | more

    def _write_standard(self, subject: Subject, session: Session, acquisition: Acquisition, stem: Path) -> Record:
        bench = shared_workbench(self.template, self.device)
        volume, mask = scan(bench, subject, session.months, self.grid, acquisition)
        label = f"_space-{TEMPLATE_SPACE}_res-{self.grid.label}"
        affine = self.grid.world_from_voxel
        write_nifti(stem.with_name(f"{stem.name}{label}_desc-preproc_T1w.nii.gz"), volume, affine, MNI_CODE)
        write_nifti(
            stem.with_name(f"{stem.name}{label}_desc-brain_mask.nii.gz"), mask.astype(np.uint8), affine, MNI_CODE
        )
        return {}

    def _write_raw(self, subject: Subject, session: Session, acquisition: Acquisition, stem: Path) -> Record:
        distance = shared_workbench(self.template, self.device).distance(subject.body.anatomy.index)
        raw = raw_scan(subject, distance, session.months, acquisition)
        stored = np.rint(raw.volume).clip(0, np.iinfo(np.int16).max).astype(np.int16)
        write_nifti(stem.with_name(f"{stem.name}_T1w.nii.gz"), stored, raw.world_from_voxel, SCANNER_CODE)
        return {"standard_from_world": raw.standard_from_world.tolist()}


def _scan_record(subject: Subject, session: Session, run: int, acquisition: Acquisition) -> dict[str, Any]:
    amplitudes = subject.amplitudes(session.months, ventricle_day=acquisition.ventricle_day)
    return {
        "session_id": session.session_id,
        "run": str(run),
        "months": session.months,
        "scanner": acquisition.scanner.name,
        "amplitudes": amplitudes.tolist(),
        "hypointensities_ml": float(subject.hypointensities_ml(session.months)),
        "placement": acquisition.placement.tolist(),
        "bias": acquisition.bias.tolist(),
        "bias_sd": acquisition.bias_sd,
        "noise_seed": acquisition.noise_seed,
        "noise_sd": acquisition.noise_sd,
        "gain": acquisition.gain,
        "ventricle_day": acquisition.ventricle_day,
        "motion_mm_per_min": acquisition.motion_mm_per_min,
        "motion_seed": acquisition.motion_seed,
        "voxel_mm": list(acquisition.voxel_mm),
        "orientation": acquisition.orientation,
    }
