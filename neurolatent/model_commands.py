"""The commands about a model: train it, count its cost, have it from elsewhere, and encode scans with it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from neurolatent import model_steps
from neurolatent.console import console, progress_bars, say
from neurolatent.device import DeviceName
from neurolatent.progress import Progress
from neurolatent.training.crew import started_as
from neurolatent.training.engine import DEFAULT_ENGINE, Engine

WorkspacePath = Annotated[Path, tyro.conf.arg(metavar="WORKSPACE")]


@dataclass(frozen=True)
class Train:
    """Train VAE, denoiser and autoencoder; each stage stops and resumes, finished ones are skipped."""

    workspace: Positional[WorkspacePath]
    """Folder with a volume cache, made by `preprocess`."""
    preset: str = "demo"
    """Size of the networks and length of the training."""
    run_name: Annotated[str | None, tyro.conf.arg(name="run")] = None
    """Name of the model; the preset's where not given."""
    max_minutes: float | None = None
    """Shorten the training to fit."""
    initial: Path | None = None
    """Start from another model's folder; `shipped` means the weights in the package."""
    augment: bool = False
    """Let the VAE learn from scans changed a little, as other scanners and registrations would."""
    perceptual: Path | None = None
    """ImageNet weights of ConvNeXt-Small in torchvision's layout: the VAE learns from their features, too."""
    imagenet: Path | None = None
    """The same kind of file: the semantic encoder of preset `paper` starts from it, as published."""
    seed: int = 1
    """Of weights, noise and order."""
    device: DeviceName = "auto"
    """Where to compute."""
    yes: bool = False
    """Train a preset made for GPUs without one."""
    engine: Engine = DEFAULT_ENGINE

    def run(self) -> int:
        """Say the estimate, then train; of several processes the first speaks."""
        model_steps.refuse_without_gpu(self.preset, self.device, accepted=self.yes)
        if not started_as().first:
            self._train(None)
            return 0
        say(
            model_steps.estimate_training(
                self.workspace,
                preset=self.preset,
                device=self.device,
                augment=self.augment,
                engine=self.engine,
                perceptual=self.perceptual,
            )
        )
        with progress_bars() as progress:
            folder = self._train(progress)
        say(f"Model in {folder}")
        return 0

    def _train(self, progress: Progress | None) -> Path:
        draw_sheet = None
        if self.engine.picture_seconds and started_as().first:
            from neurolatent.report.training_pictures import draw_sheet  # matplotlib loads only here
        return model_steps.train(
            self.workspace,
            preset=self.preset,
            run=self.run_name,
            max_minutes=self.max_minutes,
            initial=self.initial,
            augment=self.augment,
            seed=self.seed,
            device=self.device,
            engine=self.engine,
            draw=draw_sheet,
            perceptual=self.perceptual,
            imagenet=self.imagenet,
            progress=progress,
        )


@dataclass(frozen=True)
class Encode:
    """Write the semantic code of every scan, and the stochastic code of each person's first."""

    workspace: Positional[WorkspacePath]
    """Folder with a volume cache and a model."""
    run_name: Annotated[str, tyro.conf.arg(name="run")] = "demo"
    """Name of the model."""
    shipped: bool = False
    """Use the weights that ship with the package (trained on a phantom)."""
    steps: int | None = None
    """To the stochastic code; the preset's own where not given."""
    every_scan: bool = False
    """Infer the stochastic code of every scan: about 0.1 s a scan on two cores at 4 mm."""
    slabs: int | None = None
    """Let the VAE work through one scan at a time in so many slabs, on a GPU that cannot hold more; try 4."""
    device: DeviceName = "auto"
    """Where to compute."""

    def run(self) -> int:
        """Encode."""
        with progress_bars() as progress:
            folder = model_steps.encode(
                self.workspace,
                run=self.run_name,
                shipped=self.shipped,
                sampling_steps=self.steps,
                every_scan=self.every_scan,
                slabs=self.slabs,
                device=self.device,
                progress=progress,
            )
        say(f"Codes in {folder}")
        return 0


@dataclass(frozen=True)
class Cost:
    """Count a preset's operations, parameters and memory; nothing is computed."""

    preset: str = "demo"
    """Whose networks."""
    steps: int | None = None
    """Sampling steps each way; the preset's own where not given."""
    json: bool = False
    """Print as JSON."""
    markdown: bool = False
    """Print the README's table: every preset with its own steps."""

    def run(self) -> int:
        """Count and print."""
        if self.markdown:
            print(model_steps.compare_costs())
            return 0
        counted = model_steps.count_cost(self.preset, steps=self.steps)
        if self.json:
            print(json.dumps(asdict(counted)))
        else:
            console.print(model_steps.draw_cost(counted), soft_wrap=False)
        return 0


@dataclass(frozen=True)
class ImportLDAE:
    """Keep the published LDAE's checkpoints as a model; a file that does not fit is refused, and nothing written."""

    workspace: Positional[WorkspacePath]
    """Folder for the model."""
    files: model_steps.PublishedFiles
    run_name: Annotated[str, tyro.conf.arg(name="run")] = model_steps.PUBLISHED_RUN
    """Name of the model."""
    latent_scale: float = model_steps.PUBLISHED_SCALE
    """What latents are multiplied by."""
    accept_affine: bool = False
    """Let it see brains as `preprocess` lays them, though it learnt from warped ones; findings will say so."""

    def run(self) -> int:
        """Import."""
        with progress_bars() as progress:
            folder = model_steps.import_ldae(
                self.workspace,
                self.files,
                run=self.run_name,
                latent_scale=self.latent_scale,
                accept_affine=self.accept_affine,
                progress=progress,
            )
        say(f"Model in {folder}")
        return 0
