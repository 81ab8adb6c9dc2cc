"""Claims about the VAE in slabs."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from neurolatent.errors import SettingsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import find_preset
from neurolatent.model.published import vae as published
from neurolatent.model.published.sizes import VAESizes
from neurolatent.model.slabs import Slabs
from neurolatent.model.uncompressed import Uncompressed
from neurolatent.model.vae import VAE

SHAPE = (40, 24, 32)


@pytest.fixture(scope="module", params=["compact", "published"])
def vae(request):
    torch.manual_seed(0)
    preset = find_preset("tiny")
    network = (
        VAE(widths=preset.vae_widths, latent_channels=preset.latent_channels)
        if request.param == "compact"
        else published.VAE(VAESizes(widths=(32, 32, 64, 64), blocks=1))
    )
    for parameter in network.parameters():  # away from zero, or residual blocks add nothing
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network.eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 40])
def test_slabs_give_what_the_plain_pass_gives(vae, count):
    volume = torch.rand(2, 1, *SHAPE, generator=torch.Generator().manual_seed(1))
    mean, log_variance = vae.encode(volume)
    decoded = vae.decode(mean)
    with Slabs(count):
        slab_mean, slab_log_variance = vae.encode(volume)
        slab_decoded = vae.decode(mean)
    for one, other in ((slab_mean, mean), (slab_log_variance, log_variance), (slab_decoded, decoded)):
        assert float((one - other).norm() / other.norm()) < 1e-5


class Convolutions(TorchDispatchMode):
    """Watch how long the volumes are that are really convolved."""

    def __init__(self):
        super().__init__()
        self.extents = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.extents.append(args[0].shape[2])
        return func(*args, **kwargs or {})


def test_no_layer_sees_more_than_a_slab_and_its_halo(vae):
    latent = vae.encode(torch.zeros(1, 1, *SHAPE)).mean
    with Convolutions() as plain:
        vae.decode(latent)
    with Convolutions() as cut, Slabs(4):
        vae.decode(latent)
    assert max(cut.extents) <= max(plain.extents) // 4 + 2
    assert len(cut.extents) > 3 * len(plain.extents)


def test_no_slabs_are_refused():
    with pytest.raises(SettingsError, match="at least 1 slab, got 0"):
        Slabs(0)


@pytest.fixture(scope="module", params=["compact", "published"])
def model(request):
    torch.manual_seed(0)
    tiny = find_preset("tiny")
    paper = replace(find_preset("paper"), grid_shape=SHAPE, vae_widths=(32, 32, 64, 64), denoiser_widths=(32, 64))
    made = LatentDiffusionAutoencoder(
        replace(tiny if request.param == "compact" else paper, grid_shape=SHAPE, mixed_precision=True)
    )
    for parameter in made.vae.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    made.scaling.mean.normal_()
    return made.eval()


def there_and_back(model, volume):
    latent = model.compress(volume)
    return latent, model.decompress(latent)


@pytest.mark.parametrize(("bfloat16", "bound"), [(False, 1e-4), (True, 0.03)])
def test_a_model_in_slabs_gives_what_it_gives_without(model, monkeypatch, bfloat16, bound):
    monkeypatch.setattr("neurolatent.device.has_fast_bfloat16", lambda _device: bfloat16)
    volume = torch.rand(1, 1, *SHAPE, generator=torch.Generator().manual_seed(1))
    model.use_slabs(None)
    with Convolutions() as plain:
        expected = there_and_back(model, volume)
    model.use_slabs(4)
    with Convolutions() as cut:
        got = there_and_back(model, volume)
    assert len(cut.extents) > 3 * len(plain.extents)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).norm() / other.norm()) < bound


def test_a_model_refuses_no_slabs_and_can_leave_them_again(model):
    with pytest.raises(SettingsError, match="at least 1 slab, got 0"):
        model.use_slabs(0)
    model.use_slabs(3)
    assert model.slabs == 3
    model.use_slabs(None)
    assert model.slabs is None


def test_a_model_without_layers_to_cut_needs_no_slabs():
    model = LatentDiffusionAutoencoder(find_preset("tiny"))
    model.vae = Uncompressed()
    model.use_slabs(4)
    assert model.slabs is None
