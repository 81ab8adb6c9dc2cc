"""How many steps each stage takes, what they cost here, and what to leave out where time is short."""

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from neurolatent.errors import SettingsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import Preset, StageLength
from neurolatent.model.weights import part_state
from neurolatent.training.batches import Augment
from neurolatent.training.draws import Draws
from neurolatent.training.engine import DEFAULT_ENGINE, Engine, portion
from neurolatent.training.memory import advise_on_memory
from neurolatent.training.modules import CompressionStage, PretrainingStage, RepresentationStage, StageModule
from neurolatent.training.variants import draw_variant, move

STAGES: Mapping[str, type[StageModule]] = {
    "vae": CompressionStage,
    "denoiser": PretrainingStage,
    "autoencoder": RepresentationStage,
}
"""In the order in which they train; each is also the name of its file of weights."""
OWN_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "vae": (
        "construction",
        "grid_shape",
        "latent_channels",
        "vae_widths",
        "kl_weight",
        "edge_weight",
        "latent_variants",
        "mixed_precision",
        "adversary_weight",
        "perceptual_weight",
        "structure_weight",
        "frequency_weight",
    ),
    "denoiser": ("denoiser_widths", "attention"),
    "autoencoder": ("semantic_widths", "code_size"),
}
"""What of the preset each stage adds to what the stages before it depend on."""
TRIAL_STEPS = 3
NUMBER_BYTES, MORE_COPIES = 4, 3
"""What a training holds of every learnt number beside its value and gradient: its average and Adam's two moments."""
OVERHEAD = 1.1
"""Optimiser, average, reading: measured at 5 to 10 % of a step's forward and backward pass."""


@dataclass(frozen=True)
class Estimate:
    """What a training will take, as measured by trial steps."""

    minutes: float
    memory_gb: float
    disk_mb: float


def stage_length(preset: Preset, stage: str) -> StageLength:
    """Return what the preset says of a stage."""
    return {"vae": preset.vae, "denoiser": preset.denoiser, "autoencoder": preset.autoencoder}[stage]


def stage_settings(preset: Preset, stage: str) -> dict[str, object]:
    """Return what, when changed, makes the stage train again."""
    length = [field.name for field in fields(StageLength)]
    return _changed(preset, OWN_SETTINGS[stage]) | _changed(stage_length(preset, stage), length)


def estimate(
    preset: Preset,
    n_scans: int,
    device: torch.device,
    *,
    augment: Augment | None = None,
    engine: Engine = DEFAULT_ENGINE,
    processes: int = 1,
    perceptual: Path | None = None,
) -> Estimate:
    """Measure a few steps of each stage on noise, and count what will be written."""
    seconds = trial_seconds(
        preset, n_scans, device, augment=augment, engine=engine, processes=processes, perceptual=perceptual
    )
    model = LatentDiffusionAutoencoder(preset)
    learnt = max(sum(value.numel() for value in part_state(model, part).values()) for part in STAGES)
    weights_bytes = NUMBER_BYTES * sum(tensor.numel() for tensor in model.state_dict().values())
    i, j, k = preset.latent_shape
    latents_bytes = 2 * n_scans * preset.latent_variants * preset.latent_channels * i * j * k
    checkpoint_bytes = 4 * weights_bytes  # weights, their average and Adam's two moments, of one stage at a time
    return Estimate(
        minutes=sum(seconds.values()) / 60,
        memory_gb=_memory_gb(device) + NUMBER_BYTES * MORE_COPIES * learnt / 1e9,
        disk_mb=(weights_bytes + latents_bytes + checkpoint_bytes) / 1e6,
    )


def plan_steps(
    preset: Preset, *, max_minutes: float | None, trial: Callable[[], Mapping[str, float]]
) -> dict[str, int]:
    """Return the steps of each stage: the preset's, or the share of each that fits the time by a trial."""
    steps = {stage: stage_length(preset, stage).steps for stage in STAGES}
    if max_minutes is None:
        return steps
    seconds = trial()
    left = 60 * max_minutes - seconds["latents"]
    if left <= 0:
        least = f"more than the {seconds['latents'] / 60:.2g} minutes in which latents are written"
        msg = f"--max-minutes: expected {least}, got {max_minutes:g}. Give it more, or choose a smaller preset."
        raise SettingsError(msg)
    share = left / (sum(seconds.values()) - seconds["latents"])
    return {stage: max(1, round(count * min(1.0, share))) for stage, count in steps.items()}


def trial_seconds(
    preset: Preset,
    n_scans: int,
    device: torch.device,
    *,
    augment: Augment | None = None,
    engine: Engine = DEFAULT_ENGINE,
    processes: int = 1,
    perceptual: Path | None = None,
) -> dict[str, float]:
    """Return the seconds each stage would take, the caching of latents and what is done to volumes included."""
    model = LatentDiffusionAutoencoder(preset).to(device)
    readers = engine.readers(device)
    alone = _seconds_to_move(preset, at_once=1)
    together = alone if readers else _seconds_to_move(preset, at_once=preset.vae.batch)
    seconds: dict[str, float] = {}
    for stage, module_type in STAGES.items():
        length = stage_length(preset, stage)
        module = module_type(
            model,
            length=length,
            steps=length.steps,
            seed=0,
            name_scans=lambda rows: list(map(str, rows)),
            perceptual=perceptual,
        )
        share = portion(length.batch, rank=0, size=processes, at_once=engine.scans_at_once)
        with advise_on_memory(
            f"A trial of {stage}", engine, device, at_once=share.at_once, mixed=preset.mixed_precision
        ):
            a_step = share.pieces * _seconds_a_step(module, share.at_once, device, engine)
        augmenting = _seconds_to_augment(augment, preset) if augment and module.want_augmented else 0.0
        reading = share.pieces * share.at_once * (augmenting + (together if module.want_volumes else 0.0))
        a_step = max(a_step, reading / readers) if readers else a_step + reading
        seconds[stage] = OVERHEAD * length.steps * a_step
    volume = torch.rand(1, 1, *preset.grid_shape, device=device)
    each = _shortest(lambda: model.compress(volume)) + alone
    return {**seconds, "latents": each * n_scans * preset.latent_variants}


def _changed(record: Preset | StageLength, names: Sequence[str]) -> dict[str, object]:
    """Return these fields but for those at their default: what came later and is as it always was changes nothing."""
    defaults = {field.name: field.default for field in fields(record)}
    values = {name: getattr(record, name) for name in names}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _seconds_a_step(module: StageModule, batch_size: int, device: torch.device, engine: Engine) -> float:
    preset = module.model.preset
    batch = {
        "step": 0,
        "rows": list(range(batch_size)),
        "volume": torch.rand(batch_size, 1, *preset.grid_shape, device=device),
        "latent": torch.randn(batch_size, preset.latent_channels, *preset.latent_shape, device=device),
    }

    def step() -> None:
        with engine.arithmetic(device, mixed=preset.mixed_precision):
            loss = module.losses(batch, Draws(seed=0, step=0, places=range(batch_size))).mean()
        loss.backward()
        module.zero_grad()

    return _shortest(step)


def _seconds_to_move(preset: Preset, *, at_once: int) -> float:
    """Return the seconds of a scan on average, one variant of which is the scan itself; a reader has but one thread."""
    if preset.latent_variants == 1:
        return 0.0
    volumes, variants = torch.rand(at_once, 1, *preset.grid_shape), [draw_variant(row, 1) for row in range(at_once)]
    share_moved = (preset.latent_variants - 1) / preset.latent_variants
    return share_moved * _shortest(lambda: move(volumes, variants)) / at_once


def _seconds_to_augment(augment: Augment, preset: Preset) -> float:
    volume = torch.rand(1, *preset.grid_shape)
    return _shortest(lambda: augment(volume, (0, 0, 0)))


def _shortest(action: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(TRIAL_STEPS):
        started = time.perf_counter()
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times)


def _memory_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
