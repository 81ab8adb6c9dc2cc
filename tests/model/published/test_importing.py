"""Imported weights are the published ones, say what they have seen, and are whole or absent."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neurolatent.cli import main
from neurolatent.errors import SettingsError, WeightsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.published import importing
from neurolatent.model.published.importing import PublishedFiles, import_published
from neurolatent.model.weights import load_autoencoder, read_card
from neurolatent.provenance import hash_file
from neurolatent.workspace import Workspace
from tests.model.published.small import CPU, SMALL, STEM, States, Write, assert_same

pytestmark = pytest.mark.usefixtures("small_paper")


def test_a_denoiser_by_itself_stands_in_for_the_decoders(
    states: States, write: Write, folder: Path, model: LatentDiffusionAutoencoder
):
    denoiser = {key: states["decoder"].pop(key) for key in model.denoiser.state_dict()}
    import_published(write({**states, "denoiser": denoiser}), folder, preset=SMALL)
    assert_same(load_autoencoder(folder, device=CPU)[0], model)


def test_a_denoiser_beside_the_decoder_agrees_with_its_own(
    states: States, write: Write, folder: Path, model: LatentDiffusionAutoencoder
):
    denoiser = {key: states["decoder"][key] for key in model.denoiser.state_dict()}
    import_published(write({**states, "denoiser": denoiser}), folder, preset=SMALL)
    files = write({**states, "denoiser": {**denoiser, STEM: denoiser[STEM] + 1}})
    with pytest.raises(WeightsError, match=r"denoiser.ckpt: at 'input_blocks.0.0.bias' expected what .*decoder.ckpt"):
        import_published(files, folder.with_name("again"), preset=SMALL)


def test_the_card_says_what_the_weights_have_seen(states: States, write: Write, folder: Path):
    files = write(states)
    card = import_published(files, folder, preset=SMALL, latent_scale=0.5)
    assert card == read_card(folder)
    assert (card.preset, card.settings["construction"], card.latent_scale) == ("paper", "published", 0.5)
    assert {stage.subjects for stage in card.stages.values()} == {(("adni", "n/a"),)}
    assert not any(stage.supervised for stage in card.stages.values())
    assert "non-commercial" in card.licence
    assert card.registration == "a non-linear warp (SyN)"
    assert not card.accepts_affine
    assert card.imported == {name: hash_file(path) for name, path in vars(files).items() if path}


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(str(ended.value.code))


def command(root: Path, files: PublishedFiles, *options: str) -> list[str]:
    given = {name: str(path) for name, path in vars(files).items() if path}
    return ["import-ldae", str(root), *(w for n, p in given.items() for w in (f"--{n.replace('_', '-')}", p)), *options]


@torch.no_grad()
def test_the_command_makes_a_model_that_encodes(
    states: States, write: Write, tmp_path: Path, model: LatentDiffusionAutoencoder
):
    assert run(command(tmp_path / "space", write(states))) == 0
    loaded, card = load_autoencoder(Workspace(tmp_path / "space").model("paper"), device=CPU)
    assert card.latent_scale == 0.8730
    volume = torch.rand(1, 1, *SMALL.grid_shape, generator=torch.Generator().manual_seed(1))
    latent, code = loaded.compress(volume), loaded.encode_semantic(volume)
    torch.testing.assert_close(latent, 0.8730 * model.vae.encode(volume).mean)
    torch.testing.assert_close(code, model.encode_semantic(volume))
    noise = loaded.encode_stochastic(latent, code, steps=2)
    torch.testing.assert_close(noise, model.encode_stochastic(latent, code, steps=2))


def test_the_command_refuses_in_one_line(
    states: States, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    files = write({**states, "decoder": states["vae"]})
    assert run(command(tmp_path / "space", files)) == 1
    told = capsys.readouterr().err
    reason = (
        "at 'decoder.blocks.0.conv.bias' expected no such tensor, got (32,). Give that network's published file, whole."
    )
    assert told.splitlines()[-1] == f"neurolatent: {files.decoder}: {reason}"
    assert not Workspace(tmp_path / "space").model("paper").parent.exists()


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_scale_that_is_none_is_refused(states: States, write: Write, folder: Path, scale: float):
    with pytest.raises(SettingsError, match=rf"--latent-scale: expected a number above 0, got {scale:g}. The paper's"):
        import_published(write(states), folder, preset=SMALL, latent_scale=scale)


def test_another_model_is_never_replaced(states: States, write: Write, folder: Path):
    import_published(write(states), folder, preset=SMALL)
    before = {path.name: hash_file(path) for path in folder.iterdir()}
    states["decoder"][STEM] += 1
    with pytest.raises(SettingsError, match=r"paper: expected no model, or one .*, got another. Choose another --run"):
        import_published(write(states), folder, preset=SMALL)
    assert {path.name: hash_file(path) for path in folder.iterdir()} == before


def test_the_same_files_again_change_the_users_word_alone(states: States, write: Write, folder: Path):
    files = write(states)
    first = import_published(files, folder, preset=SMALL)
    written = (folder / "vae.safetensors").stat().st_mtime_ns
    second = import_published(files, folder, preset=SMALL, accept_affine=True)
    assert second == replace(first, accepts_affine=True) == read_card(folder)
    assert (folder / "vae.safetensors").stat().st_mtime_ns == written


def test_a_write_that_fails_leaves_nothing(states: States, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(importing, "write_card", fail)
    with pytest.raises(OSError, match="No space left"):
        import_published(write(states), folder, preset=SMALL)
    assert not list(folder.parent.iterdir())


def test_what_a_killed_import_left_is_cleared_away(states: States, write: Write, folder: Path):
    partial = folder.with_name(".partial-paper")
    partial.mkdir(parents=True)
    (partial / "vae.safetensors").write_text("half")
    import_published(write(states), folder, preset=SMALL)
    assert [path.name for path in folder.parent.iterdir()] == ["paper"]
    assert len(list(folder.iterdir())) == 4
