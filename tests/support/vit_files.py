"""Small vision transformers of other libraries, in the files that people have; each with its own features."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict_saver import save

from crossmae.weights.layouts.names import LAYOUTS

SIDE = 32
IMAGES = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
SIZE: dict[str, Any] = {"img_size": SIDE, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 4}

Features = Callable[[], Tensor]
"""All tokens (2, tokens, 64) after the original's final norm."""

State = dict[str, Any]


def drawn(model: Any, seed: int = 0) -> Any:
    """``model`` with every weight drawn at random: biases and norms count only if they are not zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.1 if parameter.ndim > 1 else 0.3))
    return model.eval()


def timm_vit(seed: int = 0, **options: Any) -> Any:
    """timm's own plain ViT, without head."""
    norm = partial(nn.LayerNorm, eps=1e-6)
    return drawn(VisionTransformer(**{**SIZE, "num_classes": 0, "norm_layer": norm, **options}), seed)


def prefixed(state: Mapping[str, Any], prefix: str) -> State:
    """The same weights with ``prefix`` before each name."""
    return {prefix + name: tensor for name, tensor in state.items()}


def of_timm(write: Callable[[State], Any], option: str = "", seed: int = 0, **options: Any) -> Any:
    """A source: a file that holds what ``write`` makes of a state of timm's; ``seed`` decides whose features count."""

    def make(folder: Path) -> tuple[str, Features]:
        torch.save(write(timm_vit(0, **options).state_dict()), folder / "w.pth")
        wanted = timm_vit(seed, **options)
        return f"{folder / 'w.pth'}?heads=4{option}", lambda: wanted.forward_features(IMAGES)

    return make


def other() -> State:
    """The weights of another ViT, the teacher or the moving average: those of seed 1."""
    state: State = timm_vit(1).state_dict()
    return state


def fsdp(state: State) -> State:
    """As FSDP and activation checkpointing name the weights of blocks."""
    inside = "_fsdp_wrapped_module._checkpoint_wrapped_module."
    return {"_fsdp_wrapped_module." + n.replace(".attn.", f".{inside}attn."): t for n, t in state.items()}


def openclip(state: State) -> State:
    """An OpenCLIP model over timm, with its text tower."""
    text = {"transformer.resblocks.0.ln_1.weight": torch.ones(8), "logit_scale": torch.ones(())}
    return {**prefixed(state, "visual.trunk."), "visual.head.proj.weight": torch.ones(8, 64), **text}


def ijepa(state: State) -> State:
    """Encoder, moving average and predictor, each under a key of its own."""
    predictor = {"module.predictor_embed.weight": torch.ones(4, 64)}
    content = {
        "encoder": state,
        "target_encoder": timm_vit(1, class_token=False, global_pool="avg", fc_norm=False).state_dict(),
    }
    return {name: prefixed(part, "module.") for name, part in content.items()} | {"predictor": predictor, "epoch": 3}


def finetuned(state: State) -> State:
    """A classifier of MAE's code: the norm stands behind the pooling."""
    kept = {name: tensor for name, tensor in state.items() if not name.startswith("norm.")}
    head = {"fc_norm.weight": torch.ones(64), "fc_norm.bias": torch.ones(64), "head.weight": torch.ones(5, 64)}
    return {"model": {**kept, **head, "head.bias": torch.ones(5)}, "epoch": 99}


def mae(state: State) -> State:
    """An encoder with the decoder of MAE's code."""
    decoder = {"mask_token": torch.ones(1, 1, 32), "decoder_blocks.0.norm1.weight": torch.ones(32)}
    return {"model": {**state, **decoder, "decoder_pos_embed": torch.ones(1, 17, 32)}}


def mmpretrain(state: State) -> State:
    """mmpretrain's names, by its source: LayerScale within attention and MLP."""
    names = {
        "patch_embed.proj.": "patch_embed.projection.",
        "blocks.": "layers.",
        ".norm1.": ".ln1.",
        ".norm2.": ".ln2.",
        ".mlp.fc1.": ".ffn.layers.0.0.",
        ".mlp.fc2.": ".ffn.layers.1.",
        ".ls1.gamma": ".attn.gamma1.weight",
        ".ls2.gamma": ".ffn.gamma2.weight",
    }
    renamed = {}
    for name, tensor in state.items():
        new = "ln1." + name.removeprefix("norm.") if name.startswith("norm.") else name
        for ours, theirs in names.items():
            new = new.replace(ours, theirs)
        renamed[f"backbone.{new}"] = tensor
    return {"state_dict": {**renamed, "head.fc.weight": torch.ones(5, 64)}, "meta": {"epoch": 300}}


def dinov2(state: State) -> State:
    """The original's names and positions, from timm's: a position for the class token, none for registers."""
    positions = torch.cat([torch.full((1, 1, 64), 0.25), state["pos_embed"]], dim=1)
    names = {"reg_token": "register_tokens"}
    renamed = {names.get(name, name): tensor for name, tensor in state.items()}
    changed = {"pos_embed": positions, "cls_token": state["cls_token"] - 0.25, "mask_token": torch.zeros(1, 64)}
    return {**renamed, **changed}


def in_chunks(state: State) -> State:
    """DINOv2's training checkpoint: two chunks of blocks, a head, and the teacher's name before all of it."""
    chunked = {name.replace("blocks.", f"blocks.{name[7:8]}.", 1): tensor for name, tensor in dinov2(state).items()}
    return {"teacher": {**prefixed(chunked, "backbone."), "dino_head.mlp.0.weight": torch.ones(4, 64)}}


def torchvision_vit(folder: Path) -> tuple[str, Features]:
    """torchvision's own model."""
    from torchvision.models.vision_transformer import VisionTransformer as Theirs

    model = drawn(Theirs(SIDE, 8, 2, 4, 64, 256))
    torch.save(model.state_dict(), folder / "w.pth")

    def features() -> Tensor:
        tokens = model._process_input(IMAGES)
        found: Tensor = model.encoder(torch.cat([model.class_token.expand(2, -1, -1), tokens], dim=1))
        return found

    return f"{folder / 'w.pth'}?heads=4", features


def distilled_deit(folder: Path) -> tuple[str, Features]:
    """timm's DeiT with a distillation token and two heads."""
    norm = partial(nn.LayerNorm, eps=1e-6)
    model = drawn(VisionTransformerDistilled(**SIZE, num_classes=3, norm_layer=norm))
    torch.save({"model": model.state_dict()}, folder / "w.pth")
    return f"{folder / 'w.pth'}?heads=4", lambda: model.forward_features(IMAGES)


def of_transformers(model_name: str, shards: bool = False, memory: bool = False, **options: Any) -> Any:
    """A source: the folder that a model of transformers writes; ``memory``: the names that it has in memory."""

    def make(folder: Path) -> tuple[str, Features]:
        kind = getattr(transformers, model_name)
        values = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
        config = kind.config_class(**values, image_size=SIDE, patch_size=8, **options)
        model = drawn(kind(config))
        model.save_pretrained(folder, **({"max_shard_size": "100KB"} if shards else {}))
        if memory:
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
            (folder / "model.safetensors").unlink()
        given = {"noise": torch.arange(16.0).expand(2, -1)} if "MAE" in model_name else {}
        body = getattr(model, "vit", model)
        return f"hf:{folder}", lambda: body(IMAGES, **given).last_hidden_state

    return make


def distributed(folder: Path) -> tuple[str, Features]:
    """A folder of torch.distributed.checkpoint, as FSDP's users and torchtitan write it, with an optimizer."""
    model = timm_vit()
    state = {
        "model": model.state_dict(),
        "optimizer": {"state": {"norm.weight": {"exp_avg": torch.ones(64)}}},
        "step": 3,
    }
    with warnings.catch_warnings(action="ignore"):  # that no process group is there
        save(state, checkpoint_id=folder, no_dist=True)
    return f"{folder}?heads=4", lambda: model.forward_features(IMAGES)


FILES: dict[str, Any] = {
    "timm's names": of_timm(dict),
    "timm, no class token": of_timm(dict, class_token=False, global_pool="avg", fc_norm=False),
    "DDP `module.`": of_timm(partial(prefixed, prefix="module.")),
    "compile `_orig_mod.`": of_timm(partial(prefixed, prefix="module._orig_mod.")),
    "FSDP `_fsdp_wrapped_module.`": of_timm(fsdp),
    "FSDP, torchtitan: a folder of `.distcp`": distributed,
    "MAE with its decoder": of_timm(mae),
    "MAE, fine-tuned (`fc_norm`)": of_timm(finetuned),
    "SimMIM `encoder.`": of_timm(lambda s: {"model": prefixed({**s, "mask_token": torch.ones(1, 1, 64)}, "encoder.")}),
    "DINO, iBOT `?key=teacher`": of_timm(
        lambda s: {"student": prefixed(s, "module.backbone."), "teacher": prefixed(other(), "backbone.")},
        "&key=teacher",
        seed=1,
    ),
    "DINO, iBOT `?key=student`": of_timm(
        lambda s: {"student": prefixed(s, "module.backbone."), "teacher": prefixed(other(), "backbone.")},
        "&key=student",
    ),
    "DINOv2, original": of_timm(dinov2, init_values=0.5, no_embed_class=True),
    "DINOv2 with registers, original": of_timm(dinov2, init_values=0.5, reg_tokens=4, no_embed_class=True),
    "DINOv2, training checkpoint": of_timm(in_chunks, init_values=0.5, reg_tokens=4, no_embed_class=True),
    "MoCo v3 `?prefix=base_encoder.`": of_timm(
        lambda s: {
            "state_dict": prefixed(s, "module.base_encoder.")
            | prefixed(other(), "module.momentum_encoder.")
            | {"module.predictor.0.weight": torch.ones(4, 64)}
        },
        "&prefix=base_encoder.",
    ),
    "I-JEPA `?key=target_encoder`": of_timm(
        ijepa, "&key=target_encoder", seed=1, class_token=False, global_pool="avg", fc_norm=False
    ),
    "Lightning `model.backbone.`": of_timm(
        lambda s: {"state_dict": prefixed(s, "model.backbone."), "pytorch-lightning_version": "2.5.0"}
    ),
    "timm's EMA `?key=state_dict_ema`": of_timm(
        lambda s: {"state_dict": s, "state_dict_ema": other()}, "&key=state_dict_ema", seed=1
    ),
    "DeiT's EMA `?key=model_ema`": of_timm(lambda s: {"model": s, "model_ema": other()}, "&key=model_ema", seed=1),
    "DeiT, distilled": distilled_deit,
    "OpenCLIP `visual.trunk.`": of_timm(openclip),
    "mmpretrain, mmsegmentation": of_timm(mmpretrain, init_values=0.5),
    "torchvision": torchvision_vit,
    "transformers ViT": of_transformers("ViTModel"),
    "transformers ViT, classifier": of_transformers("ViTForImageClassification"),
    "transformers ViT, tanh GELU": of_transformers("ViTModel", hidden_act="gelu_new", layer_norm_eps=0.1),
    "transformers ViT, QuickGELU": of_transformers("ViTModel", hidden_act="quick_gelu"),
    "transformers ViT, several files": of_transformers("ViTModel", shards=True),
    "transformers ViT, version 5 in memory": of_transformers("ViTModel", memory=True),
    "transformers ViTMAE": of_transformers("ViTMAEModel", mask_ratio=0.0),
    "transformers ViT-MSN": of_transformers("ViTMSNModel"),
    "transformers I-JEPA": of_transformers("IJepaModel"),
    "transformers DeiT": of_transformers("DeiTModel"),
    "transformers DINOv2": of_transformers("Dinov2Model"),
    "transformers DINOv2 with registers": of_transformers("Dinov2WithRegistersModel"),
}
"""Every layout of the table in docs/your_checkpoint.md: what makes a source and its original's features."""

assert {layout.name for layout in LAYOUTS} == {"timm", "mmpretrain", "torchvision", "transformers"}
