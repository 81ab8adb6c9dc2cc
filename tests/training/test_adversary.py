"""VAE and discriminator learn at once, each from its own loss alone, by however many processes and in one go or cut."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import PRESETS
from neurolatent.training.adversary import Adversary, build_adversary, count_layers, patch_voxels, ramp
from neurolatent.training.draws import Draws
from neurolatent.training.engine import Engine
from neurolatent.training.modules import CompressionStage
from tests.training.conftest import train_tiny
from tests.training.test_engine import SHORT, Interruption, free_port, interrupt_at

WEIGHT = 0.5
"""So large that what the adversary does cannot hide in rounding."""
ONE = replace(SHORT.denoiser, steps=1)
OPPOSED = replace(SHORT, adversary_weight=WEIGHT, denoiser=ONE, autoencoder=ONE)
TINY = PRESETS["tiny"]
PROCESS = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from neurolatent.model.presets import PRESETS
from neurolatent.training.engine import Engine
from neurolatent.training.stages import train
from neurolatent.volume.cache import open_cache

torch.set_num_threads(1)
tiny = PRESETS["tiny"]
one = replace(tiny.denoiser, steps=1, batch=4)
vae = replace(tiny.vae, steps=6, batch=4)
preset = replace(tiny, adversary_weight=0.5, vae=vae, denoiser=one, autoencoder=one)
train(open_cache(Path(sys.argv[1])), Path(sys.argv[2]), preset=preset, training_rows=range(10),
      validation_rows=[10, 11], cohort="ellipsoids", seed=1, device=torch.device("cpu"),
      engine=Engine(precision="fp64"))
"""


@pytest.fixture
def stage():
    torch.manual_seed(0)
    model = LatentDiffusionAutoencoder(OPPOSED)
    return CompressionStage(model, length=OPPOSED.vae, steps=8, seed=1, name_scans=list)


@pytest.fixture
def batch():
    volume = torch.rand(2, 1, *TINY.grid_shape, generator=torch.Generator().manual_seed(5))
    return {"step": 8, "rows": [0, 1], "volume": volume}


def vae_difference(one, other):
    """Return the relative difference of all weights of two VAEs."""
    first, second = (
        torch.cat([value.flatten() for _, value in sorted(load_file(folder / "vae.safetensors").items())])
        for folder in (one, other)
    )
    return float((first - second).norm() / second.norm())


def draws():
    return Draws(seed=1, step=0, places=[0, 1])


def test_neither_side_pushes_the_other(stage, batch):
    attempt = stage.attempt(batch["volume"], draws())
    persuasion = stage.adversary.persuade(attempt.reconstruction).mean()
    discerning = stage.adversary.discern(attempt.volume, attempt.reconstruction).mean()
    sides = {name: list(getattr(stage, name).parameters()) for name in ("vae", "adversary")}

    def pushes(loss, side):
        return [
            value is not None and bool(value.any())
            for value in torch.autograd.grad(loss, sides[side], retain_graph=True, allow_unused=True)
        ]

    assert any(pushes(persuasion, "vae"))
    assert all(pushes(discerning, "adversary"))
    assert not any(pushes(discerning, "vae"))
    assert not any(pushes(persuasion, "adversary"))


def test_one_backward_pass_gives_each_its_own_gradient(stage, batch):
    stage.losses(batch, draws()).mean().backward()
    both = {name: parameter.grad.clone() for name, parameter in stage.named_parameters()}
    attempt = stage.attempt(batch["volume"], draws())
    apart = (
        (stage.vae, stage.loss(attempt) + WEIGHT * stage.adversary.persuade(attempt.reconstruction), "vae"),
        (stage.adversary, stage.adversary.discern(attempt.volume, attempt.reconstruction.detach()), "adversary"),
    )
    for network, losses, prefix in apart:
        stage.zero_grad()
        losses.mean().backward()
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(both[f"{prefix}.{name}"], parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("step", [0, 1, 8])
def test_every_parameter_has_a_gradient_at_every_step(stage, batch, step):
    stage.losses({**batch, "step": step}, draws()).mean().backward()
    assert all(parameter.grad is not None for parameter in stage.parameters())


def test_a_steep_gradient_of_one_is_not_clipped_out_of_the_other(stage):
    for name, parameter in stage.named_parameters():
        parameter.grad = torch.full_like(parameter, 1e6 if name.startswith("adversary") else 1e-6)
    stage.configure_gradient_clipping(stage.configure_optimizers()["optimizer"], 1.0, "norm")
    assert all((parameter.grad == 1e-6).all() for parameter in stage.vae.parameters())
    norm = torch.cat([parameter.grad.flatten() for parameter in stage.adversary.parameters()]).norm()
    assert norm.item() == pytest.approx(1, rel=1e-3)


def test_checks_compare_without_the_adversary(stage, batch):
    plain = CompressionStage(stage.model, length=TINY.vae, steps=8, seed=1, name_scans=list)
    plain.adversary = None
    assert torch.equal(stage.validation_losses(batch, draws()), plain.losses(batch, draws()))
    assert not torch.equal(stage.losses(batch, draws()), plain.losses(batch, draws()))


def test_its_weight_grows_from_nothing():
    assert [ramp(step, 80) for step in (0, 5, 10, 20, 79)] == pytest.approx([0, 0.25, 0.5, 1, 1])


def test_no_weight_means_no_discriminator():
    model = LatentDiffusionAutoencoder(TINY)
    stage = CompressionStage(model, length=TINY.vae, steps=8, seed=1, name_scans=list)
    assert stage.adversary is None
    assert all(name.startswith("vae.") for name, _ in stage.named_parameters())


def test_a_patch_is_smaller_than_the_grid():
    assert [patch_voxels(layers) for layers in (1, 2, 3)] == [16, 34, 70]
    assert [count_layers(PRESETS[name].grid_shape) for name in ("tiny", "demo", "base", "paper")] == [1, 2, 3, 3]
    seen = torch.zeros(1, 1, 80, 40, 40, requires_grad=True)
    judgement = build_adversary(PRESETS["demo"], seed=0).network
    # without its normalisation, which sees the whole scan, a value depends on its patch alone
    for module in judgement.modules():
        for name, child in module.named_children():
            if isinstance(child, torch.nn.InstanceNorm3d):
                setattr(module, name, torch.nn.Identity())
    value = judgement(seen)[-1]
    value[0, 0, value.shape[2] // 2, 4, 4].backward()
    assert int(seen.grad.abs().sum((0, 1, 3, 4)).count_nonzero()) == patch_voxels(2)


def test_seed_decides_the_first_weights_and_nothing_else_is_drawn():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, same, other = (build_adversary(TINY, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_it_learns_to_tell_a_blur_from_a_scan():
    torch.manual_seed(0)
    adversary = Adversary(width=8, layers=1)
    optimiser = torch.optim.Adam(adversary.parameters(), 2e-3)
    for _ in range(40):
        scan = torch.rand(2, 1, 24, 24, 24)
        blur = torch.nn.functional.avg_pool3d(scan, 3, 1, 1)
        loss = adversary.discern(scan, blur).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    assert adversary.persuade(blur).mean() > 5 * adversary.persuade(scan).mean()


def test_two_processes_learn_what_one_does(brains, tmp_path):
    group = {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    command = [sys.executable, "-c", PROCESS, str(Path(brains.volumes.filename).parent), str(tmp_path / "two")]
    both = [
        subprocess.Popen(command, env={**os.environ, **group, "RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")
    ]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    train_tiny(brains, tmp_path / "one", preset=OPPOSED, engine=Engine(precision="fp64"))
    assert vae_difference(tmp_path / "two", tmp_path / "one") < 1e-9


def test_a_batch_in_pieces_teaches_what_a_whole_one_does(brains, tmp_path):
    folders = [tmp_path / "whole", tmp_path / "pieces"]
    for folder, at_once in zip(folders, (None, 1), strict=True):
        train_tiny(brains, folder, preset=OPPOSED, engine=Engine(precision="fp64", scans_at_once=at_once))
    assert vae_difference(*folders) < 1e-9


def test_a_training_cut_twice_ends_bit_by_bit_as_a_whole_one(brains, tmp_path):
    options = {"preset": OPPOSED, "checkpoint_seconds": 0.0}
    whole = train_tiny(brains, tmp_path / "whole", **options)
    for step in (2, 4):
        with pytest.raises(Interruption):
            train_tiny(brains, tmp_path / "cut", progress=interrupt_at("vae", step), **options)
        states = torch.load(next(tmp_path.rglob("vae-*.ckpt")), weights_only=True)["current_model_state"]
        assert any(name.startswith("adversary.") for name in states)
    cut = train_tiny(brains, tmp_path / "cut", **options)
    assert cut.weights_hash == whole.weights_hash
    assert all(name.startswith("vae.") for name in load_file(tmp_path / "cut" / "vae.safetensors"))


def test_it_changes_what_the_vae_learns(brains, tmp_path):
    opposed, plain = tmp_path / "opposed", tmp_path / "plain"
    for folder, preset in ((opposed, OPPOSED), (plain, replace(OPPOSED, adversary_weight=0.0))):
        train_tiny(brains, folder, preset=preset)
    assert vae_difference(opposed, plain) > 1e-3
