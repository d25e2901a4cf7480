"""Our weights in timm and in transformers, and theirs here."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from torch import Tensor

from crossmae import Backbone, MaskedAutoencoder, UserError, load_pretrained
from crossmae.model.presets import preset_config
from crossmae.weights.checkpoint import save_checkpoint
from crossmae.weights.export import export

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
NOISE = torch.rand(2, 64, generator=torch.Generator().manual_seed(1))
TIMM = {"img_size": 64, "patch_size": 8, "embed_dim": 128, "depth": 4, "num_heads": 2}


@pytest.fixture(params=["self", "cross"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, MaskedAutoencoder]:
    torch.manual_seed(0)
    model = MaskedAutoencoder(preset_config("vit_demo", decoder=request.param)).eval()
    perturb(model)
    save_checkpoint(model, tmp_path / "ours", {"recipe": "r"})
    return tmp_path / "ours", model


def perturb(model: torch.nn.Module) -> None:
    """Biases and norms count only if they are not zeros and ones."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


def features(model: MaskedAutoencoder) -> Tensor:
    """Returns the last block's output, normalised if the model has a final norm: (2, 65, 128)."""
    return model.encoder(IMAGES, torch.arange(64).expand(2, -1))[-1]


def test_features_in_timm_equal_ours(saved: tuple[Path, MaskedAutoencoder], tmp_path: Path) -> None:
    folder, model = saved
    export(str(folder), tmp_path / "timm.safetensors", "timm")
    theirs = timm.create_model(
        "vit_small_patch16_224", num_classes=0, checkpoint_path=str(tmp_path / "timm.safetensors"), **TIMM
    ).eval()
    if model.encoder.norm is None:
        theirs.norm = torch.nn.Identity()
    torch.testing.assert_close(theirs.forward_features(IMAGES), features(model), atol=1e-5, rtol=0)
    assert Backbone.load(tmp_path / "timm.safetensors").digest == Backbone.load(folder).digest


def test_features_in_transformers_equal_ours(saved: tuple[Path, MaskedAutoencoder], tmp_path: Path) -> None:
    folder, model = saved
    export(str(folder), tmp_path / "vit", "hf-vit")
    loaded_with_report: Any = transformers.ViTModel.from_pretrained(
        tmp_path / "vit", add_pooling_layer=False, output_loading_info=True
    )
    theirs, report = loaded_with_report
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    output = theirs.eval()(IMAGES, output_hidden_states=True)
    # transformers always adds a final norm; CrossMAE's features are those before it.
    found = output.hidden_states[-1] if model.encoder.norm is None else output.last_hidden_state
    torch.testing.assert_close(found, features(model), atol=1e-5, rtol=0)
    loaded = Backbone.load(f"hf:{tmp_path / 'vit'}")
    assert loaded.digest == Backbone.load(folder).digest
    assert loaded.spec.missing == Backbone.load(folder).spec.missing


def vitmae(**options: Any) -> Any:
    config = transformers.ViTMAEConfig(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=192,
        image_size=64,
        patch_size=8,
        decoder_hidden_size=32,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=128,
        layer_norm_eps=1e-6,
        **options,
    )
    torch.manual_seed(0)
    model = transformers.ViTMAEForPreTraining(config)
    perturb(model)
    return model


@pytest.mark.parametrize("norm_pix_loss", [True, False])
def test_vitmae_of_transformers_is_our_mae(norm_pix_loss: bool, tmp_path: Path) -> None:
    theirs = vitmae(norm_pix_loss=norm_pix_loss)
    theirs.save_pretrained(tmp_path)
    ours = load_pretrained(tmp_path)
    expected, found = theirs(IMAGES, noise=NOISE), ours(IMAGES, noise=NOISE)
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-6)
    ids = found.ids_predicted[..., None].expand(-1, -1, 192)
    torch.testing.assert_close(found.prediction, expected.logits.gather(1, ids), rtol=0, atol=1e-5)
    expected.loss.backward()
    found.loss.backward()
    gradients = in_our_names(theirs, tmp_path / "gradients")
    for name, parameter in ours.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None
            difference = (parameter.grad - gradients[name]).norm().item()
            assert difference <= max(1e-5 * gradients[name].norm().item(), 1e-7), name


def in_our_names(model: Any, folder: Path) -> dict[str, Tensor]:
    """The gradients of a ViTMAE, by way of a file: inside transformers the parameters have yet other names."""
    for parameter in model.parameters():
        parameter.data = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    model.save_pretrained(folder)
    return load_pretrained(folder).state_dict()


def test_our_mae_in_transformers_and_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MaskedAutoencoder(preset_config("vit_demo", decoder="self")).eval()
    perturb(model)
    save_checkpoint(model, tmp_path / "ours")
    export(str(tmp_path / "ours"), tmp_path / "vitmae", "hf-vitmae")
    loaded_with_report: Any = transformers.ViTMAEForPreTraining.from_pretrained(
        tmp_path / "vitmae", output_loading_info=True
    )
    theirs, report = loaded_with_report
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    loss = model(IMAGES, noise=NOISE).loss.item()
    assert theirs(IMAGES, noise=NOISE).loss.item() == pytest.approx(loss, rel=1e-6)
    back = load_pretrained(f"hf:{tmp_path / 'vitmae'}")
    assert back.config == model.config
    assert all(torch.equal(back.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert Backbone.load(f"hf:{tmp_path / 'vitmae'}").digest == Backbone.load(tmp_path / "ours").digest


def test_vitmae_cannot_hold_crossmae(tmp_path: Path) -> None:
    save_checkpoint(MaskedAutoencoder(preset_config("vit_demo")), tmp_path)
    with pytest.raises(UserError, match="hf-vit"):
        export(str(tmp_path), tmp_path / "out", "hf-vitmae")


@pytest.mark.parametrize(
    ("name", "size", "registers", "layer_scale"),
    [("vit_small_patch16_224", 32, 0, False), ("vit_small_patch14_reg4_dinov2", 28, 4, True)],
)
def test_weights_of_timm_come_in_by_file(
    name: str, size: int, registers: int, layer_scale: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model(name, img_size=size, num_classes=3, depth=2).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    backbone = Backbone.load(f"timm:{name}@{tmp_path / 'weights.pth'}")
    assert (backbone.spec.num_registers, backbone.spec.layer_scale) == (registers, layer_scale)
    images = torch.randn(1, 3, size, size)
    back = backbone.to_timm(0, global_pool="token").eval()
    torch.testing.assert_close(back.forward_features(images), theirs.forward_features(images))


def test_a_hugging_face_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "swin"}))
    torch.save({}, tmp_path / "pytorch_model.bin")
    for load in (load_pretrained, lambda folder: Backbone.load(f"hf:{folder}")):
        with pytest.raises(UserError, match="swin"):
            load(tmp_path)
