"""Imported weights are the published ones, say what they have seen, and are whole or absent."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neurolatent import LDAE
from neurolatent.cli import main
from neurolatent.cohort.sidecar import Sidecar
from neurolatent.errors import SettingsError, WeightsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.published import importing
from neurolatent.model.published.importing import PublishedFiles, import_published
from neurolatent.model.weights import load_autoencoder, read_card
from neurolatent.provenance import hash_file
from neurolatent.sharing.terms import refuse_against_terms
from neurolatent.training.stages import train
from neurolatent.volume.space import Grid
from neurolatent.workspace import Workspace
from tests.model.published.small import CPU, SMALL, STEM, States, Write, assert_same
from tests.training.conftest import write_brains

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


def test_the_same_files_again_mend_a_damaged_model(states: States, write: Write, folder: Path):
    files = write(states)
    import_published(files, folder, preset=SMALL)
    before = {path.name: hash_file(path) for path in folder.iterdir()}
    (folder / "vae.safetensors").write_bytes(b"half")
    (folder / "denoiser.safetensors").unlink()
    import_published(files, folder, preset=SMALL)
    assert {path.name: hash_file(path) for path in folder.iterdir()} == before


def test_a_decoders_denoiser_that_differs_by_rounding_is_the_same(
    states: States, write: Write, folder: Path, model: LatentDiffusionAutoencoder
):
    """As the moving average of something frozen does."""
    denoiser = {key: states["decoder"][key] for key in model.denoiser.state_dict()}
    rounded = {key: value * (1 + 1e-5) for key, value in denoiser.items()}
    import_published(write({**states, "denoiser": rounded}), folder, preset=SMALL)
    assert_same(load_autoencoder(folder, device=CPU)[0], model, rtol=1e-4, atol=1e-6)


def test_python_refuses_them_too_until_the_user_accepts_affine_brains(states: States, write: Write, folder: Path):
    files = write(states)
    import_published(files, folder, preset=SMALL)
    with pytest.raises(WeightsError, match=r"one affine, got weights that learnt from a non-linear warp \(SyN\)"):
        LDAE.load(folder, device="cpu")
    assert LDAE.load(folder, device="cpu", accept_affine=True).card.as_imported
    import_published(files, folder, preset=SMALL, accept_affine=True)
    assert LDAE.load(folder, device="cpu").card.as_imported


def test_weights_that_are_trained_on_stay_under_their_licence(
    states: States, write: Write, folder: Path, tmp_path: Path
):
    imported = import_published(write(states), folder, preset=SMALL)
    brains = write_brains(tmp_path / "brains", count=4, grid=Grid(6.0, "paper"))
    lengths = dict.fromkeys(("vae", "denoiser", "autoencoder"), replace(SMALL.vae, steps=1))
    card = train(
        brains, tmp_path / "tuned", preset=replace(SMALL, **lengths), training_rows=[0, 1, 2], validation_rows=[3],
        cohort="ellipsoids", seed=1, device=CPU, initial=folder,
    )  # fmt: skip
    assert (card.licence, card.imported, card.registration) == (
        imported.licence,
        imported.imported,
        imported.registration,
    )
    assert card.preprocessing == "ellipsoids"
    assert not card.as_imported
    with pytest.raises(SettingsError, match="got one that came from elsewhere"):
        refuse_against_terms("weights", Sidecar.__new__(Sidecar), card)
