"""The steps about a model: what it costs, how it is trained or had from elsewhere, and the codes that it gives."""

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from neurolatent.cohort.sidecar import read_sidecar
from neurolatent.cohort.splits import read_split
from neurolatent.cohort.visits import read_visits
from neurolatent.device import DeviceName, pick_device
from neurolatent.errors import SettingsError
from neurolatent.model import cost
from neurolatent.model.cost import Cost, quantity
from neurolatent.model.presets import PRESETS, Preset, find_preset
from neurolatent.model.published.importing import PUBLISHED_SCALE, PublishedFiles, import_published
from neurolatent.model.weights import Person
from neurolatent.progress import Progress
from neurolatent.provenance import whole_file
from neurolatent.training.crew import started_as
from neurolatent.training.engine import DEFAULT_ENGINE, Engine
from neurolatent.volume.cache import VolumeCache, open_cache
from neurolatent.workspace import Workspace

if TYPE_CHECKING:
    from neurolatent.training.pictures import Draw
    from neurolatent.volume.augment import Augmentation

SHIPPED_RUN = "demo"
SHIPPED_WEIGHTS = Path(__file__).parent / "_weights" / SHIPPED_RUN
PUBLISHED_RUN = "paper"
PASSES = {
    "vae_encode": ("VAE, encode", "vae"),
    "vae_decode": ("VAE, decode", "vae"),
    "semantic_encode": ("semantic encoder", "semantic_encoder"),
    "denoiser_step": ("denoiser, a step", "denoiser"),
    "decoder_step": ("decoder, a step", "decoder"),
}
"""How each pass is called, and whose parameters it reads."""


def refuse_without_gpu(preset: str, device: DeviceName, *, accepted: bool) -> None:
    """Ask for a word before a preset made for GPUs trains for weeks on a CPU."""
    if find_preset(preset).for_gpu and pick_device(device).type == "cpu" and not accepted:
        got = "expected a GPU, got a CPU, on which it trains for weeks"
        msg = f"--preset {preset}: {got}. Use demo, or `neurolatent train --yes`."
        raise SettingsError(msg)


def estimate_training(
    root: Path,
    *,
    preset: str,
    device: DeviceName,
    augment: bool = False,
    engine: Engine = DEFAULT_ENGINE,
    perceptual: Path | None = None,
) -> str:
    """Say how long the training will take and what it needs, measured by a few trial steps."""
    from neurolatent.training import stages

    chosen = find_preset(preset)
    cache, training, _ = _training_rows(Workspace(root), chosen)
    changes = _augmentation(chosen) if augment else None
    estimate = stages.estimate(
        chosen,
        len(training),
        pick_device(device),
        augment=changes,
        engine=engine,
        processes=started_as().size,
        perceptual=perceptual,
    )
    return (
        f"Training {preset} on {len(training)} of {len(cache.keys)} scans: about {estimate.minutes:.0f} minutes, "
        f"{estimate.memory_gb:.1f} GB of memory, {estimate.disk_mb:.0f} MB of disk."
    )


def train(  # noqa: PLR0913 - one call states the whole training
    root: Path,
    *,
    preset: str = SHIPPED_RUN,
    run: str | None = None,
    max_minutes: float | None = None,
    initial: Path | None = None,
    augment: bool = False,
    seed: int = 1,
    device: DeviceName = "auto",
    engine: Engine = DEFAULT_ENGINE,
    draw: "Draw | None" = None,
    perceptual: Path | None = None,
    imagenet: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train every stage on the split's training people; return the model's folder."""
    from neurolatent.training import stages

    workspace, chosen = Workspace(root), find_preset(preset)
    folder = workspace.model(run or preset)
    # Of several processes the first holds the workspace, for all.
    with workspace.lock() if started_as().first else nullcontext():
        cache, training, validation = _training_rows(workspace, chosen)
        sidecar = read_sidecar(workspace.visits_json)
        stages.train(
            cache,
            folder,
            preset=chosen,
            training_rows=training,
            validation_rows=validation,
            cohort=sidecar.cohort,
            persons=_persons(workspace) if sidecar.members else None,
            seed=seed,
            device=pick_device(device),
            max_minutes=max_minutes,
            initial=SHIPPED_WEIGHTS if initial == Path("shipped") else initial,
            augment=_augmentation(chosen) if augment else None,
            engine=engine,
            draw=draw,
            perceptual=perceptual,
            imagenet=imagenet,
            progress=progress,
        )
    return folder


def encode(
    root: Path,
    *,
    run: str = SHIPPED_RUN,
    shipped: bool = False,
    sampling_steps: int | None = None,
    every_scan: bool = False,
    slabs: int | None = None,
    device: DeviceName = "auto",
    progress: Progress | None = None,
) -> Path:
    """Write the semantic code of every scan, and the stochastic code of each person's first or of every scan.

    In `slabs`, for GPUs that cannot hold more, the VAE works through one scan at a time.
    """
    from neurolatent.analysis.codes import encode as encode_scans
    from neurolatent.model.weights import load_autoencoder

    workspace = Workspace(root)
    with workspace.lock():
        if shipped:
            install_shipped_weights(root, run=run)
        chosen = pick_device(device)
        model, card = load_autoencoder(workspace.model(run), device=chosen)
        model.use_slabs(slabs)
        cache = open_cache(workspace.cache(model.preset.spacing_mm, model.preset.view))
        encode_scans(
            cache,
            model,
            card,
            workspace.codes(run),
            stochastic_keys=cache.keys if every_scan else None,
            steps=model.preset.sampling_steps if sampling_steps is None else sampling_steps,
            device=chosen,
            progress=progress,
        )
    return workspace.codes(run)


def install_shipped_weights(root: Path, *, run: str = SHIPPED_RUN) -> Path:
    """Copy the weights of the package into the workspace."""
    return install_weights(root, SHIPPED_WEIGHTS, run=run)


def install_weights(root: Path, weights: Path, *, run: str) -> Path:
    """Copy trained weights into the workspace, so that the workspace holds all its findings rest on.

    They replace weights that were put there before, but none that were trained there.
    """
    from neurolatent.model.weights import WORK_FOLDER, read_card

    read_card(weights)
    folder = Workspace(root).model(run)
    if (folder / WORK_FOLDER).is_dir() and weights.resolve() != folder.resolve():
        got = "expected a place for weights from elsewhere, got a model trained there"
        msg = f"{folder}: {got}. `encode --shipped --run OTHER_NAME` leaves it as it is; so does another workspace."
        raise SettingsError(msg)
    for source in sorted(path for path in weights.iterdir() if path.is_file()):
        with whole_file(folder / source.name) as temporary:
            shutil.copyfile(source, temporary)
    return folder


def import_ldae(
    root: Path,
    files: PublishedFiles,
    *,
    run: str = PUBLISHED_RUN,
    latent_scale: float = PUBLISHED_SCALE,
    accept_affine: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Read the published checkpoints into the workspace as a model; return its folder."""
    workspace = Workspace(root)
    with workspace.lock(make=True):
        import_published(
            files,
            workspace.model(run),
            preset=find_preset(PUBLISHED_RUN),
            latent_scale=latent_scale,
            accept_affine=accept_affine,
            progress=progress,
        )
    return workspace.model(run)


def count_cost(preset: str, *, steps: int | None = None) -> Cost:
    """Count what a preset costs, at its own number of sampling steps where none is given."""
    return cost.count_cost(find_preset(preset), steps=steps)


def compare_costs() -> str:
    """Return the README's table: every preset, each at its own number of sampling steps."""
    return cost.markdown_table(map(cost.count_cost, PRESETS.values()))


def draw_cost(counted: Cost) -> Table:
    """Lay out a preset's cost for the terminal: a row per pass, then a row per stage of training."""
    grid = "×".join(map(str, counted.grid))
    table = Table(title=f"{counted.preset}: {grid} voxels, one scan, single precision", title_justify="left")
    table.add_column("what")
    for name in ("parameters", "operations", "memory"):
        table.add_column(name, justify="right")
    memory = counted.memory_bytes
    for name, (label, network) in PASSES.items():
        parameters = quantity(counted.parameters[network], "").strip()
        size = quantity(memory["activations"][name], "B")
        table.add_row(label, parameters, quantity(counted.flops[name], "FLOP"), size)
    total = quantity(counted.flops["reconstruction"], "FLOP")
    table.add_row(f"reconstruction, {counted.steps} steps each way", "", total, "", end_section=True)
    for stage, size in memory["training_state"].items():
        table.add_row(f"training state: {stage}", "", "", quantity(size, "B"))
    table.caption = "Memory: activations at once; training state: weights, gradients, average, Adam's moments."
    return table


def _augmentation(preset: Preset) -> "Augmentation":
    from neurolatent.volume.augment import Augmentation  # torchio loads only where it is asked for

    return Augmentation(preset.spacing_mm)


def _persons(workspace: Workspace) -> dict[str, Person]:
    """Return who the participants of a pooled workspace are in the workspaces that they came from."""
    return {visit.participant_id: visit.person for visit in read_visits(workspace.visits_tsv)}


def _training_rows(workspace: Workspace, preset: Preset) -> tuple[VolumeCache, list[int], list[int]]:
    """Return the cache and its rows of training and validation people."""
    cache = open_cache(workspace.cache(preset.spacing_mm, preset.view))
    split = read_split(workspace.split_json, visits=read_visits(workspace.visits_tsv))
    return cache, cache.rows_of(split.training_subjects()), cache.rows_of(split.validation_subjects())
