"""The published denoiser and gradient estimator side by side, as the decoder's file holds them."""

from typing import NamedTuple

import torch
from torch import Tensor

from neurolatent.model.noise import gather_signal, shift_noise
from neurolatent.model.published.layout import split_decoder
from neurolatent.model.published.sizes import UNetSizes
from neurolatent.model.published.unet import Denoiser, GradientEstimator
from neurolatent.shapes import Code, Latent, Timestep


class Pair(NamedTuple):
    denoiser: Denoiser
    gradient: GradientEstimator

    def parts(self, noisy: Latent, timestep: Timestep, code: Code) -> tuple[Latent, Latent]:
        down = self.denoiser.descend(noisy, timestep)
        return self.denoiser.ascend(noisy, timestep, down), self.gradient(down, timestep, code)

    def predictor(self, code: Code):
        def predict(noisy: Latent, timestep: int) -> Latent:
            timesteps = torch.full((len(noisy),), timestep)
            return shift_noise(*self.parts(noisy, timesteps, code), gather_signal(timesteps))

        return predict


def untrained(sizes: UNetSizes) -> Pair:
    return Pair(Denoiser(sizes), GradientEstimator(sizes))


def read_pair(sizes: UNetSizes, state: dict[str, Tensor]) -> Pair:
    pair = untrained(sizes)
    for network, own in zip(pair, split_decoder(state), strict=True):
        network.load_state_dict(own)
        network.eval()
    return pair
