"""The sizes of the networks and the length of their training, one row per preset."""

from dataclasses import asdict, dataclass

from neurolatent.errors import SettingsError

Widths = tuple[int, ...]


@dataclass(frozen=True)
class StageLength:
    """How long one stage trains, and how fast it learns."""

    steps: int
    batch: int
    learning_rate: float
    ema_decay: float


@dataclass(frozen=True)
class Preset:
    """One size of the whole model, and of its training."""

    name: str
    spacing_mm: float
    grid_shape: tuple[int, int, int]
    latent_channels: int
    code_size: int
    vae_widths: Widths
    """Channels at a half and at a quarter of the grid's resolution."""
    denoiser_widths: Widths
    """Channels at each level, from the latent's own resolution downwards."""
    semantic_widths: Widths
    """Channels at each level of the semantic encoder, from the latent's own resolution downwards."""
    kl_weight: float
    edge_weight: float
    latent_variants: int
    """Moved or mirrored copies of each scan, the scan itself first; they keep small cohorts from being memorised."""
    mixed_precision: bool
    """Whether matrix work runs in bfloat16, where that is native."""
    vae: StageLength
    denoiser: StageLength
    autoencoder: StageLength

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Extents of a latent: a quarter of the grid's."""
        i, j, k = self.grid_shape
        return i // 4, j // 4, k // 4

    def describe(self) -> dict[str, object]:
        """Return what fingerprints and the card record: everything, as JSON-like values."""
        return asdict(self)

    def architecture(self) -> dict[str, object]:
        """Return what decides the networks' shapes: not the length of training."""
        names = ("grid_shape", "latent_channels", "code_size", "vae_widths", "denoiser_widths", "semantic_widths")
        return {name: getattr(self, name) for name in names}


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="tiny", spacing_mm=8.0, grid_shape=(24, 32, 24), latent_channels=4, code_size=16,
            vae_widths=(8, 16), denoiser_widths=(16, 32), semantic_widths=(16, 32),
            kl_weight=1e-6, edge_weight=0.5, latent_variants=2, mixed_precision=False,
            vae=StageLength(steps=60, batch=4, learning_rate=3e-3, ema_decay=0.9),
            denoiser=StageLength(steps=60, batch=8, learning_rate=2e-3, ema_decay=0.9),
            autoencoder=StageLength(steps=60, batch=8, learning_rate=2e-3, ema_decay=0.9),
        ),
        Preset(
            name="demo", spacing_mm=4.0, grid_shape=(48, 60, 48), latent_channels=4, code_size=64,
            vae_widths=(16, 64), denoiser_widths=(48, 96, 128), semantic_widths=(48, 64, 128),
            kl_weight=1e-6, edge_weight=0.5, latent_variants=4, mixed_precision=True,
            vae=StageLength(steps=1200, batch=8, learning_rate=2e-3, ema_decay=0.995),
            denoiser=StageLength(steps=1000, batch=16, learning_rate=1e-3, ema_decay=0.995),
            autoencoder=StageLength(steps=2000, batch=16, learning_rate=1e-3, ema_decay=0.995),
        ),
    )
}  # fmt: skip


def find_preset(name: str) -> Preset:
    """Return the preset of that name; an unknown name is refused by naming the known."""
    if name not in PRESETS:
        msg = f"Unknown preset {name!r}; choose from {sorted(PRESETS)}."
        raise SettingsError(msg)
    return PRESETS[name]
