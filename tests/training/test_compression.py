"""What the VAE minimises is what its preset weighs; scans do not meddle with each other's; old stages stay old."""

import math
from dataclasses import fields, replace

import pytest
import torch

from neurolatent.model.presets import PRESETS, Preset
from neurolatent.model.published.convnext import ConvNeXt
from neurolatent.model.published.sizes import SemanticSizes
from neurolatent.model.vae import Posterior
from neurolatent.training.adversary import build_adversary
from neurolatent.training.compression import STAND_INS, TERMS, Attempt, compression_loss
from neurolatent.training.draws import Draws
from neurolatent.training.losses import absolute_error, divergence, edge_error
from neurolatent.training.perceptual import Perceptual
from neurolatent.training.plan import stage_settings
from neurolatent.training.sharpness import frequency_error, structure_error

TINY = PRESETS["tiny"]
BARE = replace(TINY, kl_weight=0.0, edge_weight=0.0, structure_weight=0.0, frequency_weight=0.0)
"""L1 alone."""
SCANS = 3


def draw_attempt(places=range(SCANS)):
    """Return the attempt at these of three scans, in double precision."""
    generator = torch.Generator().manual_seed(4)
    volume, noise = torch.rand(2, SCANS, 1, *TINY.grid_shape, generator=generator, dtype=torch.float64)
    latent = torch.randn(2, SCANS, 4, *TINY.latent_shape, generator=generator, dtype=torch.float64)
    chosen = list(places)
    posterior = Posterior(latent[0, chosen], latent[1, chosen])
    return Attempt(volume[chosen], (volume + 0.3 * noise)[chosen], posterior, Draws(seed=1, step=2, places=chosen))


@pytest.fixture(scope="module")
def perceptual():
    torch.manual_seed(0)
    return Perceptual(ConvNeXt(SemanticSizes(widths=(4, 6, 8, 16), blocks=(1, 1, 2, 1))))


@pytest.fixture(scope="module")
def losses(perceptual):
    """Every loss that a scan of the VAE stage may have."""
    adversary = build_adversary(TINY, seed=1).double()
    return {
        **TERMS,
        "absolute": lambda attempt: absolute_error(attempt.volume, attempt.reconstruction),
        "perceptual": lambda attempt: perceptual(attempt.volume, attempt.reconstruction, attempt.draws),
        "persuade": lambda attempt: adversary.persuade(attempt.reconstruction),
        "discern": lambda attempt: adversary.discern(attempt.volume, attempt.reconstruction),
    }


@pytest.mark.parametrize("name", [*TERMS, "absolute", "perceptual", "persuade", "discern"])
def test_a_scans_loss_does_not_depend_on_the_others(losses, name):
    whole = losses[name](draw_attempt())
    alone = torch.cat([losses[name](draw_attempt([place])) for place in range(SCANS)])
    assert whole.shape == (SCANS,)
    assert (whole > 0).all()
    torch.testing.assert_close(alone, whole, rtol=1e-10, atol=1e-14)


def test_ours_learn_from_structure_and_frequencies():
    attempt = draw_attempt()
    a, b = attempt.volume, attempt.reconstruction
    expected = absolute_error(a, b) + 1e-6 * divergence(attempt.posterior)
    expected = expected + 0.1 * structure_error(a, b) + 4.0 * frequency_error(a, b)
    for name in ("tiny", "demo", "base"):
        torch.testing.assert_close(compression_loss(PRESETS[name])(attempt), expected)


def test_edges_still_count_where_asked_for():
    attempt = draw_attempt()
    a, b = attempt.volume, attempt.reconstruction
    asked = compression_loss(replace(BARE, edge_weight=0.5))(attempt)
    torch.testing.assert_close(asked, absolute_error(a, b) + 0.5 * edge_error(a, b))


def test_every_weight_of_a_preset_counts(perceptual):
    attempt = draw_attempt()
    base = compression_loss(BARE)(attempt)
    for name, term in TERMS.items():
        loss = compression_loss(replace(BARE, **{name: 0.25}))(attempt)
        torch.testing.assert_close(loss - base, 0.25 * term(attempt))
    loss = compression_loss(replace(BARE, perceptual_weight=2.0), perceptual)(draw_attempt())
    torch.testing.assert_close(
        loss - base, 2 * perceptual(attempt.volume, attempt.reconstruction, draw_attempt().draws)
    )


@pytest.mark.parametrize(("structure", "expected"), [(0.0, STAND_INS["structure_weight"]), (2.0, 2.0)])
def test_structure_and_frequencies_stand_in_for_a_perceptual_loss_without_a_file(perceptual, structure, expected):
    preset = replace(BARE, perceptual_weight=0.001, structure_weight=structure)
    attempt = draw_attempt()
    standing_in, given = compression_loss(preset), compression_loss(preset, perceptual)
    wanted = replace(preset, **{**STAND_INS, "structure_weight": expected})
    torch.testing.assert_close(standing_in(attempt), compression_loss(wanted)(attempt))
    assert len(given.terms) == (2 if structure else 1)


def test_terms_are_fields_of_the_preset():
    assert {*TERMS, "perceptual_weight", "adversary_weight"} <= {field.name for field in fields(Preset)}


@pytest.mark.parametrize("name", ["adversary_weight", "perceptual_weight", "structure_weight", "frequency_weight"])
def test_a_weight_left_as_it_is_leaves_a_stage_what_it_was(name):
    settings = stage_settings(TINY, "vae")
    assert settings.keys() == {
        "grid_shape", "latent_channels", "vae_widths", "kl_weight", "edge_weight", "latent_variants",
        "mixed_precision", "structure_weight", "frequency_weight", "steps", "batch", "learning_rate", "ema_decay",
    }  # fmt: skip
    changed = replace(TINY, **{name: 0.75})
    assert "attention" not in stage_settings(TINY, "denoiser")
    assert stage_settings(replace(TINY, attention=(4,)), "denoiser")["attention"] == (4,)
    assert stage_settings(changed, "vae") == {**settings, name: 0.75}
    assert stage_settings(changed, "denoiser") == stage_settings(TINY, "denoiser")


def test_the_paper_learns_as_published():
    """1e-7 of the KL summed over a latent, which ours averages; Adam, and a rate that stays."""
    paper = PRESETS["paper"]
    values = paper.latent_channels * math.prod(paper.latent_shape)
    assert paper.kl_weight == pytest.approx(1e-7 * values)
    assert (paper.perceptual_weight, paper.adversary_weight) == (0.001, 0.025)
    for stage in (paper.vae, paper.denoiser, paper.autoencoder):
        assert (stage.learning_rate, stage.optimiser, stage.schedule) == (2.5e-5, "adam", "constant")
