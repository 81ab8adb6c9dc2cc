"""The sizes of the networks and the length of their training, one row per preset."""

from dataclasses import asdict, dataclass
from typing import Literal

from neurolatent.errors import SettingsError
from neurolatent.model.sampler import Spacing
from neurolatent.model.solvers import Solver
from neurolatent.workspace import View

Widths = tuple[int, ...]
Construction = Literal["compact", "published"]
"""Ours, or that of the paper (arXiv:2504.08635)."""
PUBLISHED_ATTENTION = (2, 4)


@dataclass(frozen=True)
class StageLength:
    """How long one stage trains, and how fast it learns."""

    steps: int
    batch: int
    """Scans an optimiser step."""
    learning_rate: float
    ema_decay: float
    schedule: Literal["cosine", "constant"] = "cosine"
    """Of the learning rate, after a warm-up."""
    patience: int = 0
    """Checks of the validation people's loss without a lower one before the stage stops; 0 trains to the end."""
    check_every: int = 100
    """Steps between such checks."""
    optimiser: Literal["adamw", "adam"] = "adamw"
    """Ours, which forgets gradients faster and shrinks weights a little; or Adam as published."""


@dataclass(frozen=True)
class Preset:
    """One size of the whole model, and of its training."""

    name: str
    spacing_mm: float
    grid_shape: tuple[int, int, int]
    latent_channels: int
    code_size: int
    vae_widths: Widths
    """Channels at each level: at a half and a quarter of the grid's resolution; as published from the whole down.

    None at all, as published: nothing is compressed, and diffusion works on voxels.
    """
    denoiser_widths: Widths
    """Channels at each level, from the latent's own resolution downwards."""
    semantic_widths: Widths
    """Channels at each level of the semantic encoder, from the latent downwards; as published from slices."""
    kl_weight: float
    edge_weight: float
    latent_variants: int
    """Moved or mirrored copies of each scan, the scan itself first; they keep small cohorts from being memorised."""
    mixed_precision: bool
    """Whether matrix work runs in bfloat16, where that is native."""
    vae: StageLength
    denoiser: StageLength
    autoencoder: StageLength
    construction: Construction = "compact"
    view: View = "standard"
    sampling_steps: int = 10
    """From z_0 to z_T, and back."""
    for_gpu: bool = False
    """Whether training it on a CPU would take weeks."""
    solver: Solver = "adams-bashforth"
    spacing: Spacing = "angle"
    """Of the timesteps that sampling visits."""
    attention: tuple[int, ...] = PUBLISHED_ATTENTION
    """As published: down-samplings of the latent at which its places attend to each other."""
    adversary_weight: float = 0.0
    """Of the patch discriminator against which the VAE learns; 0 builds none."""
    perceptual_weight: float = 0.0
    """Of features of an ImageNet network, where its file is given; without a file structure and frequencies do."""
    structure_weight: float = 0.0
    """Of multi-scale SSIM."""
    frequency_weight: float = 0.0
    """Of the focal frequency loss."""

    @property
    def reduction(self) -> int:
        """How many times smaller a latent is along each axis."""
        return 4 if self.construction == "compact" else 2 ** max(0, len(self.vae_widths) - 1)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Extents of a latent."""
        i, j, k = (extent // self.reduction for extent in self.grid_shape)
        return i, j, k

    def describe(self) -> dict[str, object]:
        """Return what fingerprints and the card record: everything, as JSON-like values."""
        return asdict(self)

    def architecture(self) -> dict[str, object]:
        """Return what decides the networks' shapes: not the length of training."""
        names = ("grid_shape", "latent_channels", "code_size", "vae_widths", "denoiser_widths", "semantic_widths")
        sizes: dict[str, object] = {name: getattr(self, name) for name in names}
        if self.construction == "compact":
            return sizes
        attention = {} if self.attention == PUBLISHED_ATTENTION else {"attention": self.attention}
        return {**sizes, "construction": self.construction, **attention}


def _published_length(*, batch: int) -> StageLength:
    return StageLength(50_000, batch, learning_rate=2.5e-5, ema_decay=0.999, schedule="constant", optimiser="adam")


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="tiny", spacing_mm=8.0, grid_shape=(24, 32, 24), latent_channels=4, code_size=16,
            vae_widths=(8, 16), denoiser_widths=(16, 32), semantic_widths=(16, 32),
            kl_weight=1e-6, edge_weight=0.0, structure_weight=0.1, frequency_weight=4.0,
            latent_variants=2, mixed_precision=False,
            vae=StageLength(steps=60, batch=4, learning_rate=3e-3, ema_decay=0.9),
            denoiser=StageLength(steps=60, batch=8, learning_rate=2e-3, ema_decay=0.9),
            autoencoder=StageLength(steps=60, batch=8, learning_rate=2e-3, ema_decay=0.9),
        ),
        Preset(
            name="demo", spacing_mm=4.0, grid_shape=(48, 60, 48), latent_channels=4, code_size=64,
            vae_widths=(16, 64), denoiser_widths=(48, 96, 128), semantic_widths=(48, 64, 128),
            kl_weight=1e-6, edge_weight=0.0, structure_weight=0.1, frequency_weight=4.0,
            latent_variants=4, mixed_precision=True, sampling_steps=5,
            vae=StageLength(steps=1600, batch=8, learning_rate=4e-3, ema_decay=0.995),
            denoiser=StageLength(steps=1000, batch=16, learning_rate=1e-3, ema_decay=0.995),
            autoencoder=StageLength(steps=2000, batch=16, learning_rate=1e-3, ema_decay=0.995),
        ),
        # Its lengths of training are yet to be measured on a GPU.
        Preset(
            name="base", spacing_mm=1.5, grid_shape=(128, 160, 128), latent_channels=4, code_size=256,
            vae_widths=(32, 128), denoiser_widths=(64, 128, 256), semantic_widths=(64, 128, 256),
            kl_weight=1e-6, edge_weight=0.0, structure_weight=0.1, frequency_weight=4.0,
            latent_variants=4, mixed_precision=True,
            vae=StageLength(steps=4000, batch=8, learning_rate=1e-3, ema_decay=0.998),
            denoiser=StageLength(steps=8000, batch=16, learning_rate=5e-4, ema_decay=0.998, patience=10),
            autoencoder=StageLength(steps=8000, batch=16, learning_rate=5e-4, ema_decay=0.998, patience=10),
            perceptual_weight=0.001, for_gpu=True,
        ),
        Preset(
            name="paper", spacing_mm=1.5, grid_shape=(128, 160, 128), latent_channels=3, code_size=768,
            vae_widths=(64, 128, 128, 128), denoiser_widths=(256, 512, 768), semantic_widths=(96, 192, 384, 768),
            # 1e-7 of the KL summed over the 3×16×20×16 values of a latent; ours is weighed by the mean.
            kl_weight=1e-7 * 3 * 16 * 20 * 16, edge_weight=0.0, latent_variants=1, mixed_precision=True,
            vae=_published_length(batch=2), denoiser=_published_length(batch=64),
            autoencoder=_published_length(batch=16),
            construction="published", view="paper", sampling_steps=100, solver="ddim", spacing="published",
            adversary_weight=0.025, perceptual_weight=0.001,
            for_gpu=True,
        ),
    )
}  # fmt: skip


def find_preset(name: str) -> Preset:
    """Return the preset of that name; an unknown name is refused by naming the known."""
    if name not in PRESETS:
        msg = f"Unknown preset {name!r}; choose from {sorted(PRESETS)}."
        raise SettingsError(msg)
    return PRESETS[name]
