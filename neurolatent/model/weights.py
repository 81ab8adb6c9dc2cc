"""Weights as safetensors beside a card that says what they are; refused where they do not fit."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from neurolatent.errors import WeightsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import PRESETS, Preset
from neurolatent.provenance import hash_file, hash_settings, read_json, whole_file, write_json

FORMAT_VERSION = 1
CARD_NAME = "card.json"
WORK_FOLDER = "training"
"""Beside the weights of a model that was trained in its folder: losses, checkpoints, pictures."""
PARTS: Mapping[str, tuple[str, ...]] = {
    "vae": ("vae",),
    "denoiser": ("scaling", "denoiser"),
    "autoencoder": ("semantic", "gradient"),
}
"""Which networks lie in which file: one file per stage of training."""

Person = tuple[str, str]
"""Cohort and participant_id."""
UNDISCLOSED = "n/a"
"""The participant_id of people whom nobody named: anybody of their cohort."""


@dataclass(frozen=True)
class StageRecord:
    """What one stage of training saw, and how it ended."""

    subjects: tuple[Person, ...]
    subjects_hash: str
    validation_subjects: tuple[Person, ...]
    supervised: bool
    steps: int
    planned_steps: int
    """Steps that the preset asks for; more than `steps` where time was limited."""
    seconds: float
    metrics: Mapping[str, float]
    waiting_share: float = 0.0
    """Of the seconds, for the reader of scans."""
    undisclosed: Mapping[str, int] = field(default_factory=dict[str, int])
    """Cohort → how many people, validation people among them, an exported card no longer names."""


@dataclass(frozen=True)
class Card:
    """What a folder of weights says about itself."""

    preset: str
    settings: Mapping[str, Any]
    """The whole preset, as it was."""
    architecture: str
    """Fingerprint: sizes, keys and shapes."""
    preprocessing: str
    """Fingerprint of the settings that made the volumes."""
    latent_scale: float
    stages: Mapping[str, StageRecord]
    files: Mapping[str, str]
    """File name to SHA-256."""
    weights_hash: str
    versions: Mapping[str, str]
    licence: str
    seed: int
    augmentation: Mapping[str, float] | None = None
    """How the volumes were changed that this training's VAE learnt from; a card without it means not at all."""
    perceptual: str | None = None
    """SHA-256 of the ImageNet weights by whose eyes this training's VAE learnt; a card without it means by none."""
    imagenet: str | None = None
    """SHA-256 of the ImageNet weights from which the slices' network started; a card without it means from noise."""
    imported: Mapping[str, str] | None = None
    """Network to SHA-256 of the file that weights from elsewhere were read from; a card without it means made here.

    It stays when they are trained on, and so do their licence and registration."""
    registration: str | None = None
    """How the brains of weights from elsewhere came to the template; a card without it means as neurolatent does it."""
    accepts_affine: bool = False
    """Whether the user lets weights from elsewhere see brains as neurolatent lays them: by one affine at most."""
    format_version: int = FORMAT_VERSION

    @property
    def as_imported(self) -> bool:
        """Whether the weights came from elsewhere, and nothing was trained since."""
        return self.imported is not None and not any(stage.steps for stage in self.stages.values())


def part_state(model: LatentDiffusionAutoencoder, part: str) -> dict[str, Tensor]:
    """Return the tensors of one file by name."""
    state: dict[str, Tensor] = {}
    for name in PARTS[part]:
        network: nn.Module = getattr(model, name)
        state |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
    return state


def save_part(folder: Path, model: LatentDiffusionAutoencoder, part: str, *, half: bool = False) -> str:
    """Write one file of weights, whole or not at all; return its hash. `half` rounds to 16 bits, half the size."""
    dtype = torch.float16 if half else torch.float32
    state = {key: value.detach().to("cpu", dtype).contiguous() for key, value in part_state(model, part).items()}
    return write_part(folder, part, state)


def write_part(folder: Path, part: str, state: Mapping[str, Tensor]) -> str:
    """Write the tensors of one file, whole or not at all; return its hash."""
    path = folder / f"{part}.safetensors"
    with whole_file(path) as temporary:
        save_file(dict(state), temporary, metadata={"part": part})
    return hash_file(path)


def load_part(folder: Path, model: LatentDiffusionAutoencoder, part: str) -> None:
    """Read one file of weights into the model; the first key or shape that differs is named."""
    path = folder / f"{part}.safetensors"
    expected = part_state(model, part)
    found = _read_tensors(path)
    refuse_difference(path, expected, found)
    for name in PARTS[part]:
        own = {key.removeprefix(f"{name}."): value for key, value in found.items() if key.startswith(f"{name}.")}
        network: nn.Module = getattr(model, name)
        network.load_state_dict({key: value.float() for key, value in own.items()})


def refuse_difference(
    path: Path,
    expected: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
    *,
    remedy: str = "Train again, or use the version that wrote it.",
) -> None:
    """Refuse tensors whose names, shapes or values do not fit."""
    for key in sorted({*expected, *found}):
        wanted = tuple(expected[key].shape) if key in expected else "no such tensor"
        came = tuple(found[key].shape) if key in found else "none"
        if wanted != came:
            msg = f"{path}: at {key!r} expected {wanted}, got {came}. {remedy}"
            raise WeightsError(msg)
        if not torch.isfinite(found[key]).all():
            msg = f"{path}: at {key!r} expected finite numbers, got NaN or infinity. {remedy}"
            raise WeightsError(msg)


def fingerprint(preset: Preset) -> str:
    """Hash what decides whether weights fit: sizes, keys and shapes."""
    with torch.device("meta"):
        model = LatentDiffusionAutoencoder(preset)
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    return hash_settings([preset.architecture(), shapes])


def hash_weights(files: Mapping[str, str]) -> str:
    """Return one hash for all files of weights."""
    return hash_settings(dict(files))


def write_card(folder: Path, card: Card) -> None:
    """Write the card; it comes last, so that weights without one are unfinished."""
    write_json(folder / CARD_NAME, asdict(card))


def read_card(folder: Path) -> Card:
    """Read the card of a folder of weights."""
    path = folder / CARD_NAME
    if not path.is_file():
        msg = f"{folder}: expected weights with a {CARD_NAME}, found none. Run `neurolatent train`, or let it finish."
        raise WeightsError(msg)
    content = read_json(path)
    if content.get("format_version") != FORMAT_VERSION:
        msg = f"{path}: expected format {FORMAT_VERSION}, got {content.get('format_version')}. Update neurolatent."
        raise WeightsError(msg)
    try:
        stages = {name: read_record(record) for name, record in content.pop("stages").items()}
        return Card(**content, stages=stages)
    except (KeyError, TypeError) as error:
        msg = f"{path}: expected the fields of a card, got {error}. Train again, or restore the file."
        raise WeightsError(msg) from error


def read_record(record: Mapping[str, Any]) -> StageRecord:
    """Turn a stage's JSON object into its record."""
    fields: dict[str, Any] = dict(record)
    for name in ("subjects", "validation_subjects"):
        fields[name] = tuple((str(cohort), str(person)) for cohort, person in record[name])
    return StageRecord(**fields)


def load_autoencoder(folder: Path, *, device: torch.device) -> tuple[LatentDiffusionAutoencoder, Card]:
    """Return the model in evaluation mode and its card, every hash, name and shape checked."""
    card = read_card(folder)
    if card.preset not in PRESETS:
        msg = f"{folder / CARD_NAME}: expected a preset of {sorted(PRESETS)}, got {card.preset!r}. Update neurolatent."
        raise WeightsError(msg)
    preset = PRESETS[card.preset]
    model = LatentDiffusionAutoencoder(preset)
    for part in PARTS:
        _refuse_tampering(folder / f"{part}.safetensors", card)
        load_part(folder, model, part)
    if card.architecture != fingerprint(preset):
        msg = f"{folder / CARD_NAME}: its architecture is not that of preset {card.preset!r} here. Train again."
        raise WeightsError(msg)
    return model.to(device).eval().requires_grad_(requires_grad=False), card


def export_weights(source: Path, target: Path, *, half: bool = True, disclose: bool = True) -> Card:
    """Copy a finished model, rounded to 16 bits unless told otherwise, with a card that fits the copy.

    Where the card is not to `disclose` whom the model saw, it keeps each cohort and how many people they were.
    """
    model, card = load_autoencoder(source, device=torch.device("cpu"))
    files = {f"{part}.safetensors": save_part(target, model, part, half=half) for part in PARTS}
    stages = card.stages if disclose else {name: _undisclosed(stage) for name, stage in card.stages.items()}
    copy = replace(card, files=files, weights_hash=hash_weights(files), stages=stages)
    write_card(target, copy)
    return copy


def _undisclosed(stage: StageRecord) -> StageRecord:
    """Return the record with cohorts and counts for people; a hash of their names could be tried out, and goes too."""
    named = {person for person in (*stage.subjects, *stage.validation_subjects) if person[1] != UNDISCLOSED}
    counts = Counter(cohort for cohort, _ in named) + Counter(dict(stage.undisclosed))
    cohorts = {
        part: sorted({cohort for cohort, _ in getattr(stage, part)}) for part in ("subjects", "validation_subjects")
    }
    nobody = {part: tuple((cohort, UNDISCLOSED) for cohort in found) for part, found in cohorts.items()}
    subjects_hash = hash_settings([list(person) for person in nobody["subjects"]])
    return replace(stage, **nobody, subjects_hash=subjects_hash, undisclosed=dict(sorted(counts.items())))


def _refuse_tampering(path: Path, card: Card) -> None:
    if not path.is_file():
        msg = f"{path}: expected weights, found no file. Run `neurolatent train` again."
        raise WeightsError(msg)
    expected, found = card.files.get(path.name), hash_file(path)
    if expected != found:
        msg = f"{path}: expected SHA-256 {expected}, got {found}. The file is not the card's: copy or train it again."
        raise WeightsError(msg)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        msg = f"{path}: expected safetensors, got a file that does not read as such ({error}). Train or copy it again."
        raise WeightsError(msg) from error
