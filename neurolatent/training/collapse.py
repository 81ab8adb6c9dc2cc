"""Latent channels that tell nothing of anybody: posterior collapse (Dang et al. 2023, arXiv:2306.05023)."""

import logging
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.device import autocast
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.vae import Compressed
from neurolatent.shapes import Latent, Volume
from neurolatent.training.batches import Scans, read_batch

ACTIVE_SHARE = 0.01
"""Burda et al. 2016, appendix C (arXiv:1509.00519)."""
USED_SHARE = 1e-4
"""A hundredth in amplitude of what all channels do together."""
PROBED_SCANS = 8

PerChannel = Float[Tensor, " channel"]
Typical = Float[Tensor, "1 channel coarse_i coarse_j coarse_k"]


@dataclass(frozen=True)
class ChannelUse:
    """What each channel of the latents is worth.

    Burda et al. call a unit active where the variance of its posterior mean over people exceeds 0.01, the prior's
    variance being 1. A VAE with a small KL weight keeps to no such scale. So the variance of the mean is compared with
    the variance of the whole, itself plus the mean posterior variance; where the prior is met, that is 1, and the rule
    is theirs. It is taken place by place, and a channel's best place counts: most places are background, and constant.
    """

    told: PerChannel
    """Share of the variance, at the best place, by which people differ."""
    used: PerChannel
    """Squared change of reconstructions where the channel is everybody's mean, against that where all channels are."""

    @property
    def collapsed(self) -> tuple[int, ...]:
        """Channels of which the encoder tells nothing, or the decoder makes nothing."""
        idle = (self.told <= ACTIVE_SHARE) | (self.used <= USED_SHARE)
        return tuple(torch.nonzero(idle)[:, 0].tolist())


@torch.no_grad()
def measure_channels(model: LatentDiffusionAutoencoder, scans: Scans, places: list[int]) -> ChannelUse:
    """Encode one scan a person, at these places of the list; decode the first eight without each channel."""
    means, noise = _encode(model, scans, places)
    signal = means.double().var(0)
    told = (signal / (signal + noise)).nan_to_num(0).flatten(1).amax(1)
    typical = means.mean(0, keepdim=True)
    probed, channels = means[:PROBED_SCANS], range(means.shape[1])
    decoded = _decode(model, probed)
    change = [_change(model, probed, typical, [channel], decoded) for channel in channels]
    everything = _change(model, probed, typical, list(channels), decoded)
    used = torch.stack(change) / everything.clamp(min=torch.finfo(everything.dtype).tiny)
    return ChannelUse(told.float().cpu(), used.float().cpu())


def count_active(model: LatentDiffusionAutoencoder, scans: Scans, places: list[int]) -> dict[str, float]:
    """Return the number of active channels, and say where it is not all; nothing where people cannot be compared."""
    firsts = {scans.cache.keys[scans.rows[place]].participant_id: place for place in reversed(places)}
    if len(firsts) < 2:
        return {}
    collapsed, preset = measure_channels(model, scans, sorted(firsts.values())).collapsed, model.preset
    if collapsed:
        # A logger and no warning: the command line silences those of libraries.
        logging.getLogger(__name__).warning(
            "VAE: expected every one of %d latent channels to tell people apart, got nothing from %s (counted from 0). "
            "Train longer, or lower latent_channels or kl_weight (now %g) in preset %r.",
            preset.latent_channels,
            ", ".join(map(str, collapsed)),
            preset.kl_weight,
            preset.name,
        )
    return {"active_channels": float(preset.latent_channels - len(collapsed))}


def _encode(model: LatentDiffusionAutoencoder, scans: Scans, places: list[int]) -> tuple[Latent, Tensor]:
    """Return the posterior mean of each scan, and the posterior variance averaged over scans."""
    means: list[Tensor] = []
    variance = torch.zeros((), dtype=torch.float64, device=model.device)
    for place in places:
        volume = read_batch(scans, [place], [0], want_volumes=True, want_latents=False)["volume"]
        with autocast(model.device, enabled=model.preset.mixed_precision):
            mean, log_variance = model.vae.encode(volume.to(model.device))
        means.append(mean)
        variance = variance + log_variance.double().exp().sum(0) / len(places)
    return torch.cat(means), variance


def _decode(model: LatentDiffusionAutoencoder, latent: Compressed) -> Volume:
    with autocast(model.device, enabled=model.preset.mixed_precision):
        return torch.cat([model.vae.decode(one) for one in latent.split(1)])


def _change(
    model: LatentDiffusionAutoencoder, latent: Compressed, typical: Typical, channels: list[int], decoded: Volume
) -> Tensor:
    """Return the mean squared change of reconstructions, these channels being everybody's mean."""
    changed = latent.clone()
    changed[:, channels] = typical[:, channels].expand_as(latent[:, channels])
    return ((_decode(model, changed) - decoded).double() ** 2).mean()
