"""Keep the published networks' checkpoints as our weights, with a card that says what they have seen."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree

import torch
from torch import Tensor

from neurolatent.errors import SettingsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder, LatentScaling
from neurolatent.model.presets import Preset
from neurolatent.model.published.checkpoints import REMEDY, read_network, refuse_other_values
from neurolatent.model.published.layout import (
    BACKBONE,
    SAME_BACKBONE,
    State,
    double_backbone,
    join_decoder,
    single_backbone,
    split_decoder,
)
from neurolatent.model.weights import (
    CARD_NAME,
    PARTS,
    UNDISCLOSED,
    Card,
    Person,
    StageRecord,
    fingerprint,
    hash_weights,
    read_card,
    refuse_difference,
    write_card,
    write_part,
)
from neurolatent.provenance import hash_file, hash_settings, versions

PUBLISHED_SCALE = 0.8730
"""What the paper's run multiplied latents by."""
REGISTRATION = "a non-linear warp (SyN)"
LICENCE = "non-commercial, as the published LDAE (arXiv:2504.08635); and as the terms of ADNI, whose scans it saw, say"
SUBJECTS: tuple[Person, ...] = (("adni", UNDISCLOSED),)
"""The cohort is published, its people are not: any of them may have been seen."""
Progress = Callable[[str, int, int], None]
"""Called as (what, done, total)."""


@dataclass(frozen=True)
class PublishedFiles:
    """Checkpoints as published: PyTorch files or safetensors."""

    vae: Path
    """The VAE, as MONAI Generative or MONAI names its tensors."""
    semantic_encoder: Path
    """The semantic encoder."""
    decoder: Path
    """The decoder: the gradient estimator, and the frozen denoiser with it."""
    denoiser: Path | None = None
    """The denoiser by itself; needed only where the decoder's file leaves it out."""

    def given(self) -> dict[str, Path]:
        """Return the files there are, by network."""
        return {name: path for name, path in vars(self).items() if path is not None}


def import_published(
    files: PublishedFiles,
    folder: Path,
    *,
    preset: Preset,
    latent_scale: float = PUBLISHED_SCALE,
    accept_affine: bool = False,
    progress: Progress | None = None,
) -> Card:
    """Write weights and card into a new folder, which is whole or absent; return the card.

    Tensors stay on the disk until they are checked or written: in memory are, of one part at a time, those that the
    file has in another precision.

    Args:
        files: Where the networks are.
        folder: Where the model goes; one that was imported from the same files stays, its card brought up to date.
        preset: Whose networks these are.
        latent_scale: What latents are multiplied by.
        accept_affine: Let these weights see brains that were not warped as those they learnt from.
        progress: Called as (what, done, total).
    """
    if not (math.isfinite(latent_scale) and latent_scale > 0):
        msg = f"--latent-scale: expected a number above 0, got {latent_scale:g}. The paper's is {PUBLISHED_SCALE}."
        raise SettingsError(msg)
    if progress:
        progress("Import", 0, len(PARTS))
    states = _read_all(files, preset)
    states["scaling"] = _scaling(preset, latent_scale)
    card = _describe(files, preset, latent_scale=latent_scale, accept_affine=accept_affine)
    if folder.is_dir() and any(folder.iterdir()):
        return _update(folder, states, card)
    return _write(folder, states, card, progress)


def _read_all(files: PublishedFiles, preset: Preset) -> dict[str, State]:
    """Map every network's tensors, and refuse what is wrong before anything is written."""
    with torch.device("meta"):
        model = LatentDiffusionAutoencoder(preset)
    vae = read_network(files.vae, model.vae.state_dict())
    refuse_difference(files.vae, model.vae.state_dict(), vae, remedy=REMEDY)
    semantic = _read_semantic(files.semantic_encoder, model.semantic.state_dict())
    denoiser, gradient = _read_decoder(files, model.denoiser.state_dict(), model.gradient.state_dict())
    return {"vae": vae, "denoiser": denoiser, "gradient": gradient, "semantic": semantic}


def _read_semantic(path: Path, expected: Mapping[str, Tensor]) -> State:
    """Return the semantic encoder's tensors; where the backbone is there under both its names, they agree."""
    found = read_network(path, double_backbone(expected))
    single = single_backbone(found)
    refuse_difference(path, expected, single, remedy=REMEDY)
    twins = {key: value for key, value in double_backbone(expected).items() if key not in single}
    given = {key: value for key, value in found.items() if key not in single}
    if given:
        refuse_difference(path, twins, given, remedy=REMEDY)
    for key, value in given.items():
        name = BACKBONE + key.removeprefix(SAME_BACKBONE)
        refuse_other_values(path, key, value, repr(name), single[name])
    return single


def _read_decoder(
    files: PublishedFiles, expected: Mapping[str, Tensor], added: Mapping[str, Tensor]
) -> tuple[State, State]:
    """Return the denoiser's tensors and the gradient estimator's; where two files hold the denoiser, they agree."""
    whole = join_decoder(expected, added)
    found = read_network(files.decoder, whole)
    denoiser, gradient = split_decoder(found)
    if files.denoiser is None:
        refuse_difference(files.decoder, whole, found, remedy=REMEDY)
        return denoiser, gradient
    refuse_difference(files.decoder, whole if denoiser else added, found, remedy=REMEDY)
    alone = read_network(files.denoiser, expected)
    refuse_difference(files.denoiser, expected, alone, remedy=REMEDY)
    for key, value in denoiser.items():
        refuse_other_values(files.denoiser, key, alone[key], files.decoder, value)
    return alone, gradient


def _scaling(preset: Preset, scale: float) -> State:
    """The published latents have one scale, and neither centre nor support."""
    scaling = LatentScaling(latent_channels=preset.latent_channels, shape=preset.latent_shape)
    return {**scaling.state_dict(), "scale": torch.tensor(scale)}


def _describe(files: PublishedFiles, preset: Preset, *, latent_scale: float, accept_affine: bool) -> Card:
    """Return the card of weights that are not written yet."""
    stage = StageRecord(
        subjects=SUBJECTS,
        subjects_hash=hash_settings([list(person) for person in SUBJECTS]),
        validation_subjects=(),
        supervised=False,
        steps=0,
        planned_steps=0,
        seconds=0.0,
        metrics={},
    )
    return Card(
        preset=preset.name,
        settings=preset.describe(),
        architecture=fingerprint(preset),
        preprocessing=hash_settings({"grid": preset.grid_shape, "registration": REGISTRATION}),
        latent_scale=latent_scale,
        stages=dict.fromkeys(PARTS, stage),
        files={},
        weights_hash="",
        versions=versions(),
        licence=LICENCE,
        seed=0,
        imported={name: hash_file(path) for name, path in files.given().items()},
        registration=REGISTRATION,
        accepts_affine=accept_affine,
    )


def _update(folder: Path, states: Mapping[str, State], wanted: Card) -> Card:
    """Keep a model that was imported from the same files, mend what is damaged of it; another is never replaced."""
    present = read_card(folder) if (folder / CARD_NAME).is_file() else None
    if present is None or (present.imported, present.latent_scale) != (wanted.imported, wanted.latent_scale):
        msg = f"{folder}: expected no model, or one imported from these files, got another. Choose another --run."
        raise SettingsError(msg)
    for part in PARTS:
        path = folder / f"{part}.safetensors"
        if not path.is_file() or hash_file(path) != present.files[path.name]:
            write_part(folder, part, _part(states, part))
    write_card(folder, replace(present, accepts_affine=wanted.accepts_affine))
    return read_card(folder)


def _write(folder: Path, states: Mapping[str, State], card: Card, progress: Progress | None) -> Card:
    """Write beside the folder, card last, then rename: a process killed while it writes leaves no model."""
    partial = folder.with_name(f".partial-{folder.name}")
    rmtree(partial, ignore_errors=True)
    written: dict[str, str] = {}
    try:
        for done, part in enumerate(PARTS, start=1):
            written[f"{part}.safetensors"] = write_part(partial, part, _part(states, part))
            if progress:
                progress("Import", done, len(PARTS))
        write_card(partial, replace(card, files=written, weights_hash=hash_weights(written)))
        partial.rename(folder)
    finally:
        rmtree(partial, ignore_errors=True)
    return read_card(folder)


def _part(states: Mapping[str, State], part: str) -> State:
    """Return the tensors of one of our files, each in memory of its own, as the format asks."""
    tensors: State = {}
    places: set[int] = set()
    for name in PARTS[part]:
        for key, value in states[name].items():
            single = value.to(torch.float32).contiguous()
            place = single.untyped_storage().data_ptr()
            tensors[f"{name}.{key}"] = single.clone() if place in places else single
            places.add(place)
    return tensors
