"""What is counted is what a pass does, and what the README says is what is counted."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import nn

from neurolatent.cli import main
from neurolatent.errors import SettingsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.cost import Cost, count_cost, markdown_table, measure, quantity
from neurolatent.model.noise import signal_fractions
from neurolatent.model.presets import PRESETS
from neurolatent.model.sampler import decode_from_noise, encode_to_noise, trajectory

README = Path(__file__).parents[2] / "README.md"
NETWORKS = {"vae", "denoiser", "decoder", "semantic_encoder"}
PASSES = {"vae_encode", "vae_decode", "denoiser_step", "decoder_step", "semantic_encode"}


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    return {name: count_cost(preset) for name, preset in PRESETS.items()}


@pytest.mark.parametrize(
    ("name", "tera_operations"),
    [
        ("vae_encode", 3.62),
        ("vae_decode", 6.92),
        ("denoiser_step", 0.944),
        ("decoder_step", 1.681),
        ("reconstruction", 347),
    ],
)
def test_the_papers_operations(costs: dict[str, Cost], name: str, tera_operations: float):
    assert costs["paper"].flops[name] / 1e12 == pytest.approx(tera_operations, rel=0.02)


def test_the_papers_parameters(costs: dict[str, Cost]):
    millions = {name: count / 1e6 for name, count in costs["paper"].parameters.items()}
    expected = {"vae": 13.766, "denoiser": 486.93, "decoder": 865.34, "semantic_encoder": 53.59}
    assert millions == pytest.approx(expected, abs=0.005)


def test_base_reconstructs_for_a_fiftieth_of_the_papers_operations(costs: dict[str, Cost]):
    assert costs["base"].flops["reconstruction"] <= costs["paper"].flops["reconstruction"] / 50


def test_operations_are_those_counted_by_hand(costs: dict[str, Cost]):
    """Tiny's semantic encoder: latents 4×6×8×6, then 16 channels, then 32 at 3×4×3, then 64; codes of 16."""
    fine, coarse = 6 * 8 * 6, 3 * 4 * 3
    convolutions = 27 * (4 * 16 * fine + 2 * 16 * 16 * fine + 16 * 32 * coarse + 2 * 32 * 32 * coarse)
    narrowed, readout, linear = 32 * 64 * coarse, coarse * 64 * 16, 4 * fine * 16
    assert costs["tiny"].flops["semantic_encode"] == 2 * (convolutions + narrowed + readout + linear)


def test_activations_are_those_that_live_at_once():
    layers = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.SiLU(), nn.Conv3d(2, 5, 1), nn.Flatten()).to("meta")
    _, peak = measure(lambda: layers(torch.empty(1, 1, 4, 4, 4, device="meta")))
    input_stays = 1  # the caller holds it to the end
    assert peak == 4 * 64 * (input_stays + 2 + 5)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_reconstruction_is_the_sum_of_its_parts(costs: dict[str, Cost], name: str):
    flops, steps = costs[name].flops, PRESETS[name].sampling_steps
    parts = flops["vae_encode"] + flops["semantic_encode"] + flops["vae_decode"] + 2 * steps * flops["decoder_step"]
    assert flops["reconstruction"] == parts
    assert costs[name].steps == steps


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("way", [encode_to_noise, decode_from_noise])
def test_a_sampling_step_asks_the_decoder_once(name: str, way):
    preset, asked = PRESETS[name], []

    def predict(latent: torch.Tensor, timestep: int) -> torch.Tensor:
        asked.append(timestep)
        return latent

    path = trajectory(preset.sampling_steps, spacing=preset.spacing)
    way(torch.ones(1, 1, 1, 1, 1), predict, steps=path, solver=preset.solver)
    assert len(asked) == preset.sampling_steps


def test_memory_is_that_of_single_precision(costs: dict[str, Cost]):
    cost = costs["tiny"]
    whole = sum(parameter.numel() for parameter in LatentDiffusionAutoencoder(PRESETS["tiny"]).parameters())
    assert cost.memory_bytes["weights"]["whole"] == 4 * whole
    assert cost.memory_bytes["training_state"] == {
        "vae": 20 * cost.parameters["vae"],
        "denoiser": 20 * cost.parameters["denoiser"],
        "autoencoder": 20 * (whole - cost.parameters["vae"] - cost.parameters["denoiser"]),
    }


def test_counting_leaves_the_schedule_as_it_was(costs: dict[str, Cost]):
    assert signal_fractions().device.type == "cpu"


def test_json_is_what_a_program_may_read(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="0"):
        main(["cost", "--preset", "tiny", "--steps", "3", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"preset", "grid", "steps", "parameters", "flops", "memory_bytes"}
    assert (found["preset"], found["grid"], found["steps"]) == ("tiny", [24, 32, 24], 3)
    assert set(found["parameters"]) == NETWORKS
    assert set(found["flops"]) == {*PASSES, "reconstruction"}
    memory = {name: set(sizes) for name, sizes in found["memory_bytes"].items()}
    assert memory == {
        "weights": {*NETWORKS, "whole"},
        "training_state": {"vae", "denoiser", "autoencoder"},
        "activations": PASSES,
    }
    assert found == json.loads(json.dumps(asdict(count_cost(PRESETS["tiny"], steps=3))))


def test_a_person_reads_units(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="0"):
        main(["cost", "--preset", "tiny"])
    told = capsys.readouterr().err
    for words in ("24×32×24 voxels", "VAE, encode", "62.1 k", "35.8 MFLOP", "10 steps each way", "training state: vae"):
        assert words in told


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--preset", "huge"], "Unknown preset 'huge'; choose from"),
        (["--steps", "0"], "Expected 1 to 1000 sampling steps, got 0."),
    ],
)
def test_what_cannot_be_counted_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], reason: str
):
    with pytest.raises(SystemExit, match="1"):
        main(["cost", *options])
    told = capsys.readouterr().err
    assert reason in told
    assert told.count("\n") == 1


def test_fewer_steps_than_one_are_refused():
    with pytest.raises(SettingsError, match="sampling steps, got -2"):
        count_cost(PRESETS["tiny"], steps=-2)


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0 B"), (999, "999 B"), (999_600, "1 MB"), (3_624_823_869_440, "3.62 TB")]
)
def test_quantities_have_three_digits(value: int, words: str):
    assert quantity(value, "B") == words


@pytest.mark.skipif(not README.is_file(), reason="the README is part of the checkout")
def test_the_readmes_table_is_what_is_counted(costs: dict[str, Cost]):
    table = markdown_table(costs.values())
    assert table in README.read_text(encoding="utf-8"), f"Put into README.md:\n{table}"
