"""What is true about a phantom cohort: volumes, the oracle, noise-free images and deformations at any time."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from neurolatent.device import usable_cores
from neurolatent.errors import CohortError
from neurolatent.phantom.body import standard_lattice
from neurolatent.phantom.calibration import calibration_from
from neurolatent.phantom.geometry import displacement, tissue_maps
from neurolatent.phantom.image import noise_free
from neurolatent.phantom.parameters import PhantomParameters, parse_parameters
from neurolatent.phantom.people import People
from neurolatent.phantom.records import people_from_records
from neurolatent.phantom.subject import Subject, make_subject
from neurolatent.phantom.tables import KEYS, MISSING, ORACLE_FILE, PEOPLE_FILE, TRUTH_FOLDER, VOLUMES_FILE, volumes_ml
from neurolatent.phantom.workbench import Workbench, shared_workbench
from neurolatent.phantom.workers import single_threads
from neurolatent.provenance import read_json
from neurolatent.shapes import MaskArray, VolumeArray, VoxelArray
from neurolatent.volume.space import Grid
from neurolatent.volume.template import TemplateMaps, template_maps

TRUTH_FORMAT = 2
Question = Literal["p_ad", "p_conversion", "age_years"]
Displacement = Float[np.ndarray, "3 i j k"]


@dataclass(frozen=True, eq=False)
class PhantomTruth:
    """Opens at once; images and deformations are computed when asked for, from the stored coefficients."""

    folder: Path
    parameters: PhantomParameters
    people: People
    document: Mapping[str, Any]
    bench: Workbench
    device: str

    @classmethod
    def open(cls, source: Path, *, template: TemplateMaps | None = None, device: str = "cpu") -> "PhantomTruth":
        """Open the truth of a source folder that `write_phantom` made."""
        folder = source / TRUTH_FOLDER
        if not (folder / PEOPLE_FILE).is_file():
            expected = f"expected {TRUTH_FOLDER}/{PEOPLE_FILE}"
            msg = f"{source}: {expected}, found none. Only a phantom's source folder has truth."
            raise CohortError(msg)
        document = read_json(folder / PEOPLE_FILE)
        if document.get("format_version") != TRUTH_FORMAT:
            found = document.get("format_version")
            msg = f"{folder / PEOPLE_FILE}: expected format {TRUTH_FORMAT}, got {found!r}. Write the phantom again."
            raise CohortError(msg)
        parameters = parse_parameters(PEOPLE_FILE, document["parameters"])
        people = people_from_records(parameters, document["seed"], document["people"])
        bench = shared_workbench(template if template is not None else template_maps(), device)
        return cls(folder, parameters, people, document, bench, device)

    @property
    def participants(self) -> tuple[str, ...]:
        """The people's ids, in the order of the cohort."""
        return tuple(person["participant_id"] for person in self.document["people"])

    def person(self, participant_id: str) -> Mapping[str, Any]:
        """Return all that was drawn about a person, and about each of the scans."""
        return self.document["people"][self._row(participant_id)]

    def volumes(self) -> list[dict[str, str | float]]:
        """Return the true volumes in mL, a row per visit: participant_id, session_id, months, then regions."""
        rows = _read_rows(self.folder / VOLUMES_FILE)
        return [{name: text if name in KEYS else float(text) for name, text in row.items()} for row in rows]

    def oracle(self, question: Question = "p_ad") -> dict[tuple[str, str], float]:
        """Return the oracle's P(AD), P(conversion of MCI) or age in years, by (participant, session).

        Conversion is asked of those alone who have MCI at that visit.
        """
        rows = _read_rows(self.folder / ORACLE_FILE)
        known = (row for row in rows if row[question] != MISSING)
        return {(row["participant_id"], row["session_id"]): float(row[question]) for row in known}

    def volumes_at(self, participant_id: str, months: float) -> dict[str, float]:
        """Return a person's volumes in mL of structures and regions at any time."""
        return volumes_ml(self.people.take(np.array([self._row(participant_id)])), np.array([months]))[0]

    def noise_free(
        self, participant_id: str, months: float, grid: Grid, *, scanner_months: float | None = None
    ) -> tuple[VoxelArray, MaskArray]:
        """Return the image without noise, bias, motion and misplacement, and its mask, at any time.

        Args:
            participant_id: One of `participants`.
            months: Since the first scan.
            grid: Of standard space.
            scanner_months: Whose contrast: that of the site's scanner at this time; by default at `months`.
        """
        return self._noise_free(participant_id, [months], grid, scanner_months)[0]

    def noise_free_volumes(
        self, moments: Sequence[tuple[str, float]], grid: Grid, *, scanner_months: float | None = None
    ) -> VolumeArray:
        """Return such images of several (participant, months) at once, on all cores."""
        by_person: dict[str, list[float]] = {}
        for participant_id, months in moments:
            by_person.setdefault(participant_id, []).append(months)
        self.prepare(by_person)
        with single_threads(usable_cores()) as pool:
            tasks = {
                participant_id: pool.submit(self._noise_free, participant_id, months, grid, scanner_months)
                for participant_id, months in by_person.items()
            }
            images = {participant_id: iter(task.result()) for participant_id, task in tasks.items()}
        return np.stack([next(images[participant_id])[0] for participant_id, _ in moments])

    def deformation(self, participant_id: str, months_from: float, months_to: float, grid: Grid) -> Displacement:
        """Return where the tissue at each node at the first time lies at the second, as a displacement in mm (RAS+).

        Nodes and displacements are in standard space; the inverse is that from the second time to the first.
        """
        with torch.device(self.device), torch.inference_mode():
            subject, brain = self.subject(participant_id), self.bench.points(standard_lattice(grid))
            return brain.scatter(displacement(subject, months_from, months_to, brain.points)).cpu().numpy()

    def tissue_maps(self, participant_id: str, months: float, grid: Grid) -> dict[str, VoxelArray]:
        """Return shares of each voxel at a time, 0 to 1: grey, white, fluid, hypointense white matter, and all regions.

        Hypointense white matter is part of the white; each of REGIONS, and the inside of the skull, has a map.
        """
        with torch.device(self.device), torch.inference_mode():
            return tissue_maps(self.bench, self.subject(participant_id), months, grid)

    def subject(self, participant_id: str) -> Subject:
        """Return the person, ready to be imaged; to be used under `torch.device(truth.device)`."""
        row = self._row(participant_id)
        record = self.document["people"][row]
        calibration = calibration_from(record["calibration"])
        return make_subject(self.bench, self.parameters, self.people, row, calibration=calibration)

    def prepare(self, participants: Iterable[str] | None = None) -> None:
        """Make the anatomies of these people, or of everyone, on all cores, so that workers do not race for them."""
        names = self.participants if participants is None else participants
        anatomies = sorted({int(self.people.anatomy[self._row(name)]) for name in names})
        with single_threads(usable_cores()) as pool:
            pool.submit(self._make_anatomy, anatomies[0]).result()  # what is common to all, once
            list(pool.map(self._make_anatomy, anatomies))

    def _noise_free(
        self, participant_id: str, moments: Sequence[float], grid: Grid, scanner_months: float | None
    ) -> list[tuple[VoxelArray, MaskArray]]:
        """Image a person, who is made once, at several times."""
        with torch.device(self.device), torch.inference_mode():
            subject = self.subject(participant_id)
            return [
                noise_free(
                    self.bench,
                    subject,
                    months,
                    grid,
                    scanner=subject.scanner(months if scanner_months is None else scanner_months),
                )
                for months in moments
            ]

    def _make_anatomy(self, anatomy: int) -> None:
        with torch.device(self.device), torch.inference_mode():
            self.bench.support  # noqa: B018 - made on first use
            self.bench.anatomy(anatomy)

    def _row(self, participant_id: str) -> int:
        try:
            return self.participants.index(participant_id)
        except ValueError as error:
            msg = f"{participant_id}: not among the {len(self.participants)} people of {self.folder.parent}."
            raise CohortError(msg) from error


def _read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
