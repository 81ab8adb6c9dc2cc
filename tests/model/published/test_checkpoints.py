"""Published networks are found in a file however a training left them there, or it is refused with the reason."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neurolatent.errors import WeightsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.published.checkpoints import read_network
from neurolatent.model.published.importing import PublishedFiles, import_published
from neurolatent.model.published.layout import State
from neurolatent.model.weights import load_autoencoder
from tests.model.published.small import CPU, SMALL, STEM, Save, States, Write, assert_same, other, prefixed

pytestmark = pytest.mark.usefixtures("small_paper")
HEAD = "shift_out.2.bias"


def as_checkpoint(state: State) -> dict[str, object]:
    """What lightning leaves: the networks, what the loss needs, the optimiser and counters."""
    everything = {**prefixed(state, "model."), "perceptual.conv.weight": torch.ones(2)}
    optimiser = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 2.5e-5}]}
    return {"state_dict": everything, "epoch": 3, "optimizer_states": [optimiser], "hyper_parameters": {"lr": 2.5e-5}}


def with_average(state: State) -> State:
    return {**prefixed(other(state), "model."), **prefixed(state, "ema_model.")}


def with_average_by_itself(state: State) -> State:
    return {**other(state), **prefixed(state, "ema_")}


def with_average_elsewhere(state: State) -> State:
    return {**prefixed(other(state), "net."), **prefixed(state, "ema_model.module."), "ema_model.step": torch.ones(1)}


def in_half_precision(state: State) -> State:
    return {key: value.half() for key, value in state.items()}


@pytest.mark.parametrize(
    "layout",
    [
        dict,
        as_checkpoint,
        lambda state: prefixed(state, "autoencoder.network."),
        with_average,
        with_average_by_itself,
        with_average_elsewhere,
        lambda state: {"state_dict": with_average(state)},
    ],
    ids=[
        "bare", "lightning", "prefix", "average", "bare average", "average elsewhere", "lightning average",
    ],
)  # fmt: skip
def test_every_layout_gives_the_same_networks(
    states: States, write: Write, folder: Path, model: LatentDiffusionAutoencoder, layout: Callable[[State], object]
):
    files = write({name: layout(state) for name, state in states.items()})
    card = import_published(files, folder, preset=SMALL)
    loaded, read = load_autoencoder(folder, device=CPU)
    assert_same(loaded, model)
    assert read == card
    assert [path.name for path in folder.parent.iterdir()] == ["paper"]


def test_one_checkpoint_may_hold_all_networks(
    states: States, write: Write, folder: Path, model: LatentDiffusionAutoencoder
):
    """As a training of the whole leaves it: the frozen denoiser and its average lie beside the decoder's."""
    denoiser = {key: states["decoder"][key] for key in model.denoiser.state_dict()}
    everything = {
        **prefixed(states["vae"], "vae."),
        **prefixed(other(denoiser), "denoiser."),
        **prefixed(other(denoiser), "ema_denoiser."),
        **with_average({f"decoder.{key}": value for key, value in states["decoder"].items()}),
        **prefixed(other(states["semantic_encoder"]), "encoder."),
        **prefixed(states["semantic_encoder"], "ema_encoder."),
    }
    path = write({"vae": {"state_dict": everything}}, suffix=".ckpt").vae
    import_published(PublishedFiles(path, path, path), folder, preset=SMALL)
    assert_same(load_autoencoder(folder, device=CPU)[0], model)


def save_oldest(state: State, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("save", "suffix"), [(save_file, ".safetensors"), (save_oldest, ".pth")], ids=["safetensors", "oldest PyTorch"]
)
def test_every_format_gives_the_same_networks(
    states: States, write: Write, folder: Path, model: LatentDiffusionAutoencoder, save: Save, suffix: str
):
    import_published(write(states, save, suffix), folder, preset=SMALL)
    assert_same(load_autoencoder(folder, device=CPU)[0], model)


def test_half_precision_is_turned_into_single(
    states: States, write: Write, folder: Path, model: LatentDiffusionAutoencoder
):
    import_published(write({name: in_half_precision(state) for name, state in states.items()}), folder, preset=SMALL)
    loaded, _ = load_autoencoder(folder, device=CPU)
    assert_same(loaded, model, rtol=1e-3, atol=1e-4)
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


def test_todays_names_of_the_vae_are_known(
    states: States, write: Write, folder: Path, model: LatentDiffusionAutoencoder
):
    today = {
        f"decoder.blocks.{block}.postconv.conv.{part}": states["vae"].pop(f"decoder.blocks.{block}.conv.conv.{part}")
        for block in (3, 6)
        for part in ("weight", "bias")
    }
    import_published(write({**states, "vae": {**states["vae"], **today}}), folder, preset=SMALL)
    assert_same(load_autoencoder(folder, device=CPU)[0], model)


def test_tensors_that_share_memory_are_each_written(
    states: States, write: Write, folder: Path, model: LatentDiffusionAutoencoder
):
    for name, state in states.items():
        everything = torch.cat([value.flatten() for value in state.values()])
        pieces = everything.split([value.numel() for value in state.values()])
        states[name] = {key: piece.view(state[key].shape) for key, piece in zip(state, pieces, strict=True)}
    import_published(write(states), folder, preset=SMALL)
    assert_same(load_autoencoder(folder, device=CPU)[0], model)


def test_numbers_stay_in_the_file_until_they_are_asked_for(
    states: States, write: Write, model: LatentDiffusionAutoencoder, monkeypatch: pytest.MonkeyPatch
):
    """A mapped tensor's memory is not the program's own: of 3.7 GB, none is copied before it is written."""
    mapped: list[bool] = []
    load = torch.load

    def watch(*args: object, **options: object) -> object:
        mapped.append(bool(options["mmap"] and options["weights_only"]))
        return load(*args, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(torch, "load", watch)
    read_network(write(states).decoder, model.denoiser.state_dict())
    assert mapped == [True]


def without(key: str) -> Callable[[State], object]:
    return lambda state: {name: value for name, value in state.items() if name != key}


def given(key: str, value: object) -> Callable[[State], object]:
    return lambda state: {**state, key: value}


REFUSED = {
    "a tensor missing": ("decoder", without(HEAD), r"at 'shift_out.2.bias' expected \(3,\), got none"),
    "a tensor too many": ("vae", given("a.b", torch.ones(2)), r"at 'a.b' expected no such tensor, got \(2,\)"),
    "another shape": ("decoder", given(STEM, torch.ones(7)), r"at '.*0.0.bias' expected \(32,\), got \(7,\)"),
    "not a number": ("vae", given("post_quant_conv.conv.bias", torch.full((3,), torch.nan)), "expected finite numbers"),
    "no denoiser inside": (
        "decoder",
        lambda state: {key: value for key, value in state.items() if key.startswith(("shift_", "label_"))},
        r"at 'input_blocks.0.0.bias' expected \(32,\), got none",
    ),
    "another network": ("decoder", lambda _: {"conv1.weight": torch.ones(2)}, r"at 'conv1.weight' expected no such"),
    "no network": ("vae", lambda _: {}, r"at 'decoder.blocks.0.conv.bias' expected \(32,\), got none"),
    "two copies": (
        "decoder",
        lambda state: {**prefixed(state, "one."), **prefixed(state, "two.")},
        r"expected one copy of the network, got one.\*, two.\*. Save the one",
    ),
    "half an average": (
        "vae",
        lambda state: {**prefixed(state, "net."), **prefixed(dict(list(state.items())[3:]), "ema_net.")},
        r"expected \(.*\), got none",
    ),
    "twins that differ": (
        "semantic_encoder",
        lambda state: {**state, "slice_distributed.module.backbone.classifier.0.bias": torch.ones(16)},
        r"at 'slice_distributed.module.backbone.classifier.0.bias' expected what 'backbone.backbone.classifier.0.bias'",
    ),
    "half a twin": (
        "semantic_encoder",
        without("slice_distributed.module.backbone.classifier.0.bias"),
        r"at 'slice_distributed.module.backbone.classifier.0.bias' expected \(16,\), got none",
    ),
    "something else": ("vae", given("epoch", 3), r"expected a tensor as 'epoch', got int"),
    "a list": ("vae", lambda state: list(state.values()), r"expected names and tensors, got list"),
    "code": ("vae", given("place", Path()), r"expected names and tensors, got UnpicklingError"),
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_what_does_not_fit_is_refused_and_nothing_written(states: States, write: Write, folder: Path, reason: str):
    name, spoil, words = REFUSED[reason]
    files = write({**states, name: spoil(states[name])})
    with pytest.raises(WeightsError, match=rf"{name}.ckpt: .*{words}") as refusal:
        import_published(files, folder, preset=SMALL)
    assert "\n" not in str(refusal.value)
    assert not folder.parent.exists()


BROKEN: dict[str, Callable[[Path], object]] = {
    "none.ckpt": lambda path: None,
    "text.ckpt": lambda path: path.write_text("<html>404</html>"),
    "empty.ckpt": lambda path: path.touch(),
    "text.safetensors": lambda path: path.write_text("<html>404</html>"),
    "folder.ckpt": lambda path: path.mkdir(),
}


@pytest.mark.parametrize(("name", "make"), BROKEN.items())
def test_what_is_no_checkpoint_is_refused_in_one_line(
    states: States, write: Write, folder: Path, tmp_path: Path, name: str, make: Callable[[Path], object]
):
    make(tmp_path / name)
    with pytest.raises(WeightsError, match=f"{name}: expected names and tensors, got") as refusal:
        import_published(replace(write(states), vae=tmp_path / name), folder, preset=SMALL)
    assert "\n" not in str(refusal.value)


def test_a_truncated_checkpoint_is_refused(states: States, write: Write, folder: Path):
    files = write(states)
    files.decoder.write_bytes(files.decoder.read_bytes()[:-4000])
    with pytest.raises(WeightsError, match=r"decoder.ckpt: expected names and tensors, got"):
        import_published(files, folder, preset=SMALL)
