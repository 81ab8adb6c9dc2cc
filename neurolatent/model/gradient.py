"""The gradient estimator: what the code adds to the frozen denoiser."""

from math import prod

from torch import nn

from neurolatent.model.blocks import TimeEmbedding, convolution, full_precision, zero
from neurolatent.model.denoiser import DownPath, UpPath
from neurolatent.model.noise import gather_signal
from neurolatent.shapes import Code, Latent, Timestep


class GradientEstimator(nn.Module):
    """G_ψ(z_t, y, t) = √ᾱ_t · H_ψ: a second middle, way up and head over the frozen denoiser's skips.

    With ε̂ = ε_θ − √(1 − ᾱ_t) G the predicted z_0 moves by (1 − ᾱ_t) H: H is what the code knows about the
    anatomy, in the latent's own units, and counts the less the more the noisy latent itself shows.

    Scaling and shifting channels tells a network *what* a code says but hardly *where*. So the code is also laid out
    as a field over the latent, the linear part of E[z_0 | y], which the way up reads and which H starts from.
    """

    def __init__(
        self, *, widths: tuple[int, ...], latent_channels: int, code_size: int, latent_shape: tuple[int, int, int]
    ) -> None:
        super().__init__()
        hidden = 2 * widths[0]
        self.time = TimeEmbedding(widths[0])
        self.code = nn.Sequential(nn.Linear(code_size, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.field = nn.Linear(code_size, latent_channels * prod(latent_shape))
        self.field_shape = (latent_channels, *latent_shape)
        self.reader = zero(convolution(latent_channels, widths[0]))
        self.gate = nn.Linear(hidden, latent_channels)
        self.up = UpPath(widths=widths, outputs=latent_channels, code_size=hidden)
        for layer in (self.field, self.gate):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, down: DownPath, timestep: Timestep, code: Code) -> Latent:
        """Return G from what the frozen way down left."""
        time = self.time(timestep)
        field = self.field(code).unflatten(1, self.field_shape)
        skips = (down.skips[0] + self.reader(field), *down.skips[1:])
        direct = (1 + self.gate(time))[..., None, None, None] * field
        moved = full_precision(direct) + self.up(DownPath(skips, time), self.code(code))
        return gather_signal(timestep).sqrt() * moved
