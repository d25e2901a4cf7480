"""The table of sources in docs/your_checkpoint.md: what makes each, and how far its features are from the original's.

``python -m tests.support.sources`` writes the table anew, from what it measures.
"""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import Tensor
from torch.nn import functional as F

from crossmae.backbone import Backbone, BackboneSpec, WrappedSpec
from tests.support.families import FAMILIES, backbone_of, model_of
from tests.support.hf_folders import FOLDERS
from tests.support.vit_files import FILES, IMAGES, drawn, timm_vit

PAGE = Path(__file__).parents[2] / "docs/your_checkpoint.md"
MARK = "<!-- sources -->"
HEAD = ("| Source | Write | Difference at most | Taken |", "|---|---|---|---|")
BOUNDS = (1e-6, 1e-5, 1e-4)


@dataclass(frozen=True)
class Measured:
    """A backbone, and the greatest difference between its features and the original's on the same images."""

    backbone: Backbone
    difference: float


WRITE = {
    "FSDP, torchtitan: a folder of `.distcp`": "`FOLDER`",
    "MAE with its decoder": "`mine.pth`; the decoder is left out",
    "MAE, fine-tuned (`fc_norm`)": "`mine.pth`; head and `fc_norm` are left out",
    "DINO, iBOT `?key=teacher`": "`mine.pth?key=teacher`, for ViT-S `&heads=6`",
    "DINO, iBOT `?key=student`": "`mine.pth?key=student`",
    "DINOv2, original": "`mine.pth`, for ViT-S `mine.pth?heads=6`",
    "DINOv2 with registers, original": "the same",
    "DINOv2, training checkpoint": "the same",
    "MoCo v3 `?prefix=base_encoder.`": "`mine.pth?prefix=base_encoder.`, for ViT-S `&heads=12`",
    "I-JEPA `?key=target_encoder`": "`mine.pth?key=target_encoder`",
    "Lightning `model.backbone.`": "`mine.ckpt`",
    "timm's EMA `?key=state_dict_ema`": "`mine.pth?key=state_dict_ema`",
    "DeiT's EMA `?key=model_ema`": "`mine.pth?key=model_ema`",
    "DeiT, distilled": "`mine.pth`; the second token becomes a register",
    "OpenCLIP `visual.trunk.`": "`mine.pt`; the text tower is left out",
}

ORIGINALS = {
    "OpenAI, OpenCLIP `visual.conv1`": "vit_xsmall_patch16_clip_224",
    "DINOv3, original": "vit_small_patch16_dinov3_qkvb",
}
"""Names that timm converts, and the model of timm that is given."""


def write(source: str) -> str:
    """What a user writes for a source of the table."""
    if source.startswith("transformers"):
        return "`hf:FOLDER`"
    if source.startswith("timm's "):
        return WRITE.get(source) or ("`mine.pth`" if source in FILES else f"`timm:{FAMILIES[_family(source)][0]}`")
    if source in ORIGINALS:
        return f"`timm:{ORIGINALS[source]}@mine.pth`"
    return WRITE.get(source, "`mine.pth`")


def _of_file(source: str) -> Callable[[Path], Measured]:
    @torch.no_grad()
    def measure(folder: Path) -> Measured:
        name, original = FILES[source](folder)
        backbone, expected = Backbone.load(name), original()
        model, spec, weights = backbone.to_timm(0).eval(), backbone.spec, backbone.state_dict()
        found: Tensor = model.forward_features(IMAGES)
        if spec.final_norm:
            found = F.layer_norm(found, (spec.embed_dim,), weights["norm.weight"], weights["norm.bias"], spec.norm_eps)
        if "fine-tuned" in source:  # the original's norm stands behind the pooling
            found = timm_vit().norm(found)
        return Measured(backbone, _difference((found, expected)))

    return measure


def _of_folder(source: str) -> Callable[[Path], Measured]:
    @torch.no_grad()
    def measure(folder: Path) -> Measured:
        original = FOLDERS[source](folder)
        backbone = Backbone.load(f"hf:{folder}")
        features = backbone.features().eval()
        tokens, pooled = features.body.forward_features(IMAGES), features(IMAGES).pooled
        return Measured(backbone, _difference((tokens, original.tokens), (pooled, original.pooled)))

    return measure


def _of_family(source: str) -> Callable[[Path], Measured]:
    @torch.no_grad()
    def measure(_folder: Path) -> Measured:
        model, backbone = model_of(_family(source)), backbone_of(_family(source))
        side = backbone.about.image_size
        images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
        return Measured(backbone, _difference((backbone.features().eval()(images).pooled, model(images))))

    return measure


def _of_original(model: str, write: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Callable[[Path], Measured]:
    """A file with the names of the code that first had timm's ``model``, which timm itself converts."""

    @torch.no_grad()
    def measure(folder: Path) -> Measured:
        theirs = drawn(timm.create_model(model, num_classes=0))
        torch.save(write(theirs.state_dict()), folder / "w.pth")
        backbone = Backbone.load(f"timm:{model}@{folder / 'w.pth'}")
        images = torch.randn(1, 3, *theirs.pretrained_cfg["input_size"][1:], generator=torch.Generator().manual_seed(0))
        return Measured(backbone, _difference((backbone.features().eval()(images).pooled, theirs(images))))

    return measure


def _openai(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's names, which OpenCLIP has, too, with a text tower."""
    rules = {
        r"^pos_embed$": "positional_embedding",
        r"^cls_token$": "class_embedding",
        r"^patch_embed\.proj\.": "conv1.",
        r"^norm_pre\.": "ln_pre.",
        r"^norm\.": "ln_post.",
        r"^blocks\.": "transformer.resblocks.",
        r"\.norm([12])\.": r".ln_\1.",
        r"\.attn\.qkv\.": ".attn.in_proj_",
        r"\.attn\.proj\.": ".attn.out_proj.",
        r"\.mlp\.fc1\.": ".mlp.c_fc.",
        r"\.mlp\.fc2\.": ".mlp.c_proj.",
    }
    theirs = {}
    for name, tensor in state.items():
        renamed = name
        for pattern, replacement in rules.items():
            renamed = re.sub(pattern, replacement, renamed)
        theirs[f"visual.{renamed}"] = tensor
    for name in ("visual.positional_embedding", "visual.class_embedding"):
        theirs[name] = theirs[name].flatten(0, -2).squeeze(0)
    text = {"transformer.resblocks.0.ln_1.weight": torch.ones(8), "positional_embedding": torch.ones(77, 8)}
    return {**theirs, **text, "visual.proj": torch.ones(256, 8), "logit_scale": torch.ones(())}


def _dinov3(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of DINOv3's own code: biases of queries and values in one, with a mask over those of the keys."""
    theirs = {}
    for name, tensor in state.items():
        if name.endswith("q_bias"):
            values = state[name.replace("q_bias", "v_bias")]
            theirs[name.replace("q_bias", "qkv.bias")] = torch.cat([tensor, torch.zeros_like(tensor), values])
        elif not name.endswith("v_bias"):
            renamed = re.sub(r"\.gamma_([12])$", r".ls\1.gamma", name)
            theirs[renamed.replace("reg_token", "storage_tokens")] = tensor
    width = state["cls_token"].shape[-1]
    return {**theirs, "mask_token": torch.zeros(1, width), "rope_embed.periods": torch.ones(16)}


def _family(source: str) -> str:
    return source.removeprefix("timm's ")


def _difference(*pairs: tuple[Tensor, Tensor]) -> float:
    for ours, theirs in pairs:
        assert ours.shape == theirs.shape
        assert theirs.std() > 0.02  # else everything would be equal
    return max(float((ours - theirs).abs().max()) for ours, theirs in pairs)


SOURCES: dict[str, Callable[[Path], Measured]] = {
    **{source: _of_file(source) for source in FILES},
    **{source: _of_folder(source) for source in FOLDERS},
    "OpenAI, OpenCLIP `visual.conv1`": _of_original(ORIGINALS["OpenAI, OpenCLIP `visual.conv1`"], _openai),
    "DINOv3, original": _of_original(ORIGINALS["DINOv3, original"], _dinov3),
    # timm has no name for a ViT with eight class tokens.
    **{f"timm's {family}": _of_family(f"timm's {family}") for family in FAMILIES if family != "eight class tokens"},
}
"""Every source of the table."""


def line(source: str, bound: str, about: BackboneSpec | WrappedSpec) -> str:
    """The source's line in the table."""
    taken = "wrapped" if isinstance(about, WrappedSpec) else "by its weights"
    return f"| {source} | {write(source)} | {bound} | {taken} |"


def lines_of_page() -> list[str]:
    """The table in the page, from its head on."""
    return [line for line in PAGE.read_text().split(MARK)[1].splitlines() if line]


def bound_of(difference: float) -> str:
    """The least bound that ``difference`` keeps also on processors that round in another order."""
    return next(f"{bound:.0e}" for bound in BOUNDS if 3 * difference <= bound)


def main() -> None:
    """Writes the table into the page."""
    lines = list(HEAD)
    for source, measure in SOURCES.items():
        with tempfile.TemporaryDirectory() as folder:
            measured = measure(Path(folder))
        lines.append(line(source, bound_of(measured.difference), measured.backbone.about))
        print(f"{measured.difference:.1e} {source}")
    before, _, after = re.split(f"({MARK}.*{MARK})", PAGE.read_text(), flags=re.DOTALL)
    PAGE.write_text(before + "\n".join([MARK, *lines, MARK]) + after)


if __name__ == "__main__":
    main()
