"""The gradient estimator: what the code adds to the frozen denoiser."""

from torch import nn

from neurolatent.model.blocks import TimeEmbedding
from neurolatent.model.denoiser import DownPath, UpPath
from neurolatent.model.noise import gather_signal
from neurolatent.shapes import Code, Latent, Timestep


class GradientEstimator(nn.Module):
    """G_ψ(z_t, y, t) = √ᾱ_t · H_ψ: a second middle, way up and head over the frozen denoiser's skips.

    With ε̂ = ε_θ − √(1 − ᾱ_t) G the predicted z_0 moves by (1 − ᾱ_t) H: H is what the code knows about the
    anatomy, in the latent's own units, and counts the less the more the noisy latent itself shows.
    """

    def __init__(self, *, widths: tuple[int, ...], latent_channels: int, code_size: int) -> None:
        super().__init__()
        hidden = 2 * widths[0]
        self.time = TimeEmbedding(widths[0])
        self.code = nn.Sequential(nn.Linear(code_size, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.up = UpPath(widths=widths, outputs=latent_channels, code_size=hidden)

    def forward(self, down: DownPath, timestep: Timestep, code: Code) -> Latent:
        """Return G from what the frozen way down left."""
        own_time = DownPath(down.skips, self.time(timestep))
        return gather_signal(timestep).sqrt() * self.up(own_time, self.code(code))
