"""A channel that tells nothing of anybody is found, whichever half of the VAE is to blame, and said in one line."""

import logging
from dataclasses import replace

import pytest
import torch

from neurolatent.model.weights import load_autoencoder
from neurolatent.training import collapse
from neurolatent.training.batches import Scans
from neurolatent.training.collapse import ChannelUse, count_active, measure_channels
from neurolatent.training.validation import validate
from tests.training.conftest import CPU

SPENT = ChannelUse(torch.zeros(4), torch.zeros(4))


@pytest.fixture
def model(trained):
    return load_autoencoder(trained, device=CPU)[0]


@pytest.fixture
def scans(brains):
    return Scans(brains, range(12), 1)


@torch.no_grad()
def make_constant(model, channel):
    """Let the encoder give everybody the same mean."""
    last = model.vae.encoder[-1]
    last.weight[channel], last.bias[channel] = 0, 0.7


@torch.no_grad()
def drown(model, channel):
    """Let the encoder be sure of nothing: the variance of a posterior is e²⁰."""
    model.vae.encoder[-1].bias[model.preset.latent_channels + channel] = 20


@torch.no_grad()
def ignore(model, channel):
    """Let the decoder make nothing of it."""
    model.vae.bottom[0].weight[:, channel] = 0


def test_a_trained_vae_uses_its_channels(model, scans):
    use = measure_channels(model, scans, list(range(12)))
    assert use.collapsed == ()
    assert ((use.told > 0.01) & (use.told <= 1)).all()


@pytest.mark.parametrize("spoil", [make_constant, drown, ignore])
def test_a_channel_that_says_nothing_is_reported(model, scans, spoil, caplog):
    spoil(model, 2)
    with caplog.at_level(logging.WARNING):
        found = count_active(model, scans, list(range(12)))
    assert found == {"active_channels": 3}
    assert "got nothing from 2 (counted from 0)" in caplog.text
    assert "lower latent_channels or kl_weight (now 1e-06) in preset 'tiny'" in caplog.text
    assert len(caplog.records) == 1


def test_a_channel_spoilt_in_the_encoder_is_told_from_one_ignored_by_the_decoder(model, scans):
    make_constant(model, 1)
    ignore(model, 3)
    use = measure_channels(model, scans, list(range(12)))
    assert use.collapsed == (1, 3)
    assert use.told[1] == 0 < use.told[3]
    assert use.used[3] == 0 < use.used[2]


def test_the_share_told_is_that_of_burda_where_the_prior_is_met(model, scans):
    """A mean of ±0.2 for two people beside a variance of 0.96: Var μ / (Var μ + E σ²) with n − 1 is 0.08 / 1.04."""
    from neurolatent.model.vae import Posterior

    sign = iter([0.2, -0.2])
    shape = (1, model.preset.latent_channels, *model.preset.latent_shape)
    log_variance = torch.tensor(0.96).log().expand(shape)
    model.vae.encode = lambda volume: Posterior(torch.full(shape, next(sign)), log_variance)
    use = measure_channels(model, scans, [0, 1])
    assert use.told.tolist() == pytest.approx([0.08 / 1.04] * 4, rel=1e-5)


def test_a_persons_scans_are_not_people(model, scans, brains, monkeypatch):
    seen = []
    monkeypatch.setattr(collapse, "measure_channels", lambda _, __, places: seen.append(places) or SPENT)
    keys = tuple(key._replace(participant_id=f"sub-{number // 3}") for number, key in enumerate(brains.keys))
    count_active(model, Scans(replace(brains, keys=keys), range(12), 1), [1, 2, 5, 9, 11])
    assert seen == [[1, 5, 9]]
    assert count_active(model, Scans(replace(brains, keys=keys), range(12), 1), [0, 1, 2]) == {}


def test_the_card_of_a_vae_counts_its_channels(model, scans, brains):
    assert validate(model, "vae", scans, device=CPU)["active_channels"] == 4
    assert "active_channels" not in validate(model, "denoiser", scans, device=CPU)
    assert "active_channels" not in validate(model, "vae", Scans(brains, [3], 1), device=CPU)
