"""The same in Python: a cohort's workspace, and a model that encodes, decodes, interpolates and edits scans."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32
from numpy import ndarray

from neurolatent.analysis.codes import open_codes, refuse_other_preprocessing
from neurolatent.analysis.generation import Generator, LatentArray, lerp, slerp
from neurolatent.analysis.probes import Probe, published_step
from neurolatent.cohort.sidecar import Sidecar, read_sidecar
from neurolatent.cohort.splits import Split, read_split
from neurolatent.cohort.visits import Visit, read_visits
from neurolatent.device import DeviceName, pick_device
from neurolatent.errors import ScanError, SettingsError, WeightsError
from neurolatent.model.presets import find_preset
from neurolatent.model.weights import Card, load_autoencoder
from neurolatent.model_steps import SHIPPED_RUN, SHIPPED_WEIGHTS
from neurolatent.shapes import VolumeArray, VoxelArray
from neurolatent.volume.cache import VolumeCache, open_cache
from neurolatent.workspace import ScanKey, View, Workspace


@dataclass(frozen=True)
class Cohort:
    """The checked scans of one workspace."""

    workspace: Workspace
    visits: Sequence[Visit]
    sidecar: Sidecar
    split: Split

    @classmethod
    def open(cls, root: str | Path) -> "Cohort":
        """Open what `neurolatent cohort build` made."""
        workspace = Workspace(Path(root))
        visits = read_visits(workspace.visits_tsv)
        split = read_split(workspace.split_json, visits=visits)
        return cls(workspace, visits, read_sidecar(workspace.visits_json), split)

    def frame(self) -> pd.DataFrame:
        """Return one row per scan; the paths of images stay out."""
        rows = [
            {**vars(visit), **visit.extra, "part": self.split.assignments[visit.participant_id]}
            for visit in self.visits
        ]
        return pd.DataFrame(rows).drop(columns=["image", "extra"])

    def codes(self, run: str = SHIPPED_RUN) -> pd.DataFrame:
        """Return y of every encoded scan, to be merged with `frame`: participant_id, session_id, run, y0, y1, …"""
        found = open_codes(self.workspace.codes(run))
        keys = pd.DataFrame(found.keys, columns=list(ScanKey._fields))
        return keys.join(pd.DataFrame(found.semantic).add_prefix("y"))

    def volumes(self, spacing_mm: float, view: View = "standard") -> VolumeCache:
        """Map the preprocessed volumes and masks on the grid of that spacing."""
        return open_cache(self.workspace.cache(spacing_mm, view))


@dataclass(frozen=True)
class Encoding:
    """Both codes of one scan."""

    semantic: Float32[ndarray, " feature"]
    """y: what the semantic encoder says of the scan."""
    stochastic: Float32[ndarray, "channel i j k"]
    """z_T: what it leaves out."""


@dataclass(frozen=True)
class LDAE:
    """A trained latent diffusion autoencoder; scans are standard-space arrays (i, j, k) in [0, 1], as preprocessed."""

    generator: Generator
    card: Card

    @classmethod
    def load(
        cls,
        run: str | Path = SHIPPED_RUN,
        *,
        steps: int | None = None,
        device: DeviceName = "auto",
        slabs: int | None = None,
        accept_affine: bool = False,
    ) -> "LDAE":
        """Load a model's folder, or by `demo` the weights in the package (trained on a phantom).

        Args:
            run: The folder, or `demo`.
            steps: Of sampling, each way; the preset's own by default.
            device: Where to compute.
            slabs: For GPUs that cannot hold a whole scan: the VAE works through it in so many pieces, and one scan is
                decoded at a time.
            accept_affine: Let weights from elsewhere see brains laid as neurolatent lays them, or say that yours were
                laid as theirs.

        Raises:
            WeightsError: If the weights do not fit their card, or learnt from brains laid otherwise.
        """
        folder = SHIPPED_WEIGHTS if str(run) == SHIPPED_RUN else Path(run)
        chosen = pick_device(device)
        model, card = load_autoencoder(folder, device=chosen)
        if card.as_imported and not (card.accepts_affine or accept_affine):
            expected, got = "leave to see brains laid by one affine", f"weights that learnt from {card.registration}"
            msg = f"{folder}: expected {expected}, got {got}. `LDAE.load(..., accept_affine=True)` gives it."
            raise WeightsError(msg)
        model.use_slabs(slabs)
        wanted = model.preset.sampling_steps if steps is None else steps
        return cls(Generator(model, chosen, wanted), card)

    def volumes(self, cohort: Cohort) -> VolumeCache:
        """Map a cohort's volumes and masks on this model's grid; those preprocessed in another way are refused."""
        preset = find_preset(self.card.preset)
        cache = cohort.volumes(preset.spacing_mm, preset.view)
        if not self.card.as_imported:
            refuse_other_preprocessing(cache, self.card)
        return cache

    def encode(self, scan: VoxelArray) -> Encoding:
        """Return the semantic code, and by DDIM forwards in time the stochastic code."""
        batch = self._batch(scan)
        code = self.generator.semantic(batch)
        return Encoding(code[0], self.generator.infer_noise(batch, code)[0])

    def decode(self, encoding: Encoding) -> VoxelArray:
        """Return the scan of an encoding."""
        return self.generator.generate(encoding.semantic[None], encoding.stochastic[None], what="Decoding")[0]

    def interpolate(self, first: VoxelArray, second: VoxelArray, fraction: float) -> VoxelArray:
        """Return the scan at that fraction of the way: y along the straight line, z_T along the arc."""
        a, b, weight = self.encode(first), self.encode(second), np.array([fraction])
        semantic = lerp(a.semantic[None], b.semantic[None], weight)[0]
        stochastic = slerp(a.stochastic[None], b.stochastic[None], weight)[0]
        return self.decode(Encoding(semantic, stochastic))

    def edit(self, scan: VoxelArray, direction: Float[ndarray, " feature"], amount: float) -> VoxelArray:
        """Return the scan with `amount` times the direction added to its y, its own z_T kept."""
        encoding = self.encode(scan)
        moved = (encoding.semantic + amount * direction).astype(np.float32)
        return self.decode(Encoding(moved, encoding.stochastic))

    def manipulate(self, scan: VoxelArray, probe: Probe, scale: float) -> VoxelArray:
        """Return the scan with its y moved as published: `published_step` of the probe, its own z_T kept."""
        if find_preset(self.card.preset).construction != "published":
            expected, got = "a model of the published construction", f"preset {self.card.preset!r}"
            msg = f"manipulate: expected {expected}, got {got}. Use `edit` with the probe's pattern (`age_pattern`)."
            raise SettingsError(msg)
        return self.edit(scan, published_step(probe, scale), 1.0)

    def vary(self, scan: VoxelArray, count: int, *, seed: int = 1) -> VolumeArray:
        """Return so many stochastic variations: the scan's own y, with z_T drawn at random."""
        code = self.generator.semantic(self._batch(scan))
        noise = self._noise(count, seed=seed)
        return self.generator.generate(np.repeat(code, count, axis=0), noise, what="Variations")

    def generate(self, count: int, *, seed: int = 1) -> VolumeArray:
        """Return so many brains of nobody: z_T drawn at random, decoded by the denoiser alone, without a y.

        A diffusion model can remember whom it has seen (arXiv:2402.01054): look before you share what it draws.
        """
        return self.generator.sample(self._noise(count, seed=seed))

    def _noise(self, count: int, *, seed: int) -> LatentArray:
        if count < 1:
            msg = f"Expected a count of at least 1 scan, got {count}."
            raise SettingsError(msg)
        return self.generator.draw_noise(count, seed=seed)

    def _batch(self, scan: VoxelArray) -> Float32[ndarray, "1 i j k"]:
        expected = find_preset(self.card.preset).grid_shape
        if scan.shape != expected:
            msg = (
                f"Expected a scan on the model's grid {expected}, got shape {scan.shape}. Run `neurolatent preprocess`."
            )
            raise ScanError(msg)
        return scan.astype(np.float32)[None]
