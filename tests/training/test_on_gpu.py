"""What only a GPU can show of training; skipped where there is none."""

import math
from pathlib import Path

import pytest
import torch

from neurolatent.model.weights import load_autoencoder, read_card
from neurolatent.training.engine import Engine
from tests.training.conftest import CPU, train_tiny
from tests.training.test_engine import SHORT, STAGES, Interruption, interrupt_at, largest_difference, train_by_two

GPU = torch.device("cuda")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
ROUNDING = {"fp32": 1e-3, "bf16": 3e-2, "fp16": 1e-2}
"""Six steps of kernels that add in any order."""


@pytest.mark.parametrize("precision", ROUNDING)
def test_every_arithmetic_learns_what_the_cpu_does_and_goes_on_after_a_cut(brains, tmp_path, precision):
    engine, options = Engine(precision=precision), {"preset": SHORT, "checkpoint_seconds": 0.0}
    train_tiny(brains, tmp_path / "cpu", engine=Engine(precision="fp32"), **options)
    whole = train_tiny(brains, tmp_path / "whole", device=GPU, engine=engine, **options)
    assert all(math.isfinite(value) for stage in whole.stages.values() for value in stage.metrics.values())
    for stage in STAGES:
        with pytest.raises(Interruption):
            train_tiny(brains, tmp_path / "cut", device=GPU, engine=engine, progress=interrupt_at(stage, 4), **options)
    train_tiny(brains, tmp_path / "cut", device=GPU, engine=engine, **options)
    assert largest_difference(tmp_path / "cut", tmp_path / "whole") < ROUNDING[precision]
    assert largest_difference(tmp_path / "whole", tmp_path / "cpu") < 10 * ROUNDING[precision]


def test_readers_of_their_own_change_nothing_but_rounding(brains, tmp_path):
    for readers in (0, 2):
        train_tiny(brains, tmp_path / str(readers), device=GPU, preset=SHORT, engine=Engine("fp32", workers=readers))
    assert largest_difference(tmp_path / "0", tmp_path / "2") < ROUNDING["fp32"]


def test_slabs_change_no_latent(trained, brains):
    model, _ = load_autoencoder(trained, device=GPU)
    volume = torch.from_numpy(brains.volumes[:1].astype("float32"))[:, None].to(GPU)
    whole = model.compress(volume)
    model.use_slabs(3)
    torch.testing.assert_close(model.compress(volume).to(GPU), whole, rtol=1e-4, atol=1e-4)


def test_latents_of_a_gpu_are_those_of_a_cpu(trained, brains):
    volume = torch.from_numpy(brains.volumes[:2].astype("float32"))[:, None]
    on_gpu, on_cpu = (load_autoencoder(trained, device=device)[0].compress(volume.to(device)) for device in (GPU, CPU))
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=1e-2, atol=1e-2)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_learn_what_one_does(brains, tmp_path):
    train_tiny(brains, tmp_path / "one", device=GPU, preset=SHORT, engine=Engine(precision="fp32"))
    train_by_two(Path(brains.volumes.filename).parent, tmp_path / "two", "fp32", device="cuda")
    assert largest_difference(tmp_path / "two", tmp_path / "one") < ROUNDING["fp32"]
    assert read_card(tmp_path / "two").stages["vae"].steps == SHORT.vae.steps
