"""``crossmae reconstruct | attention | psnr | info | bench | export``."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossmae.errors import UserError, one_line
from crossmae.files import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from crossmae.analysis.speed import Speed
    from crossmae.model.autoencoder import MaskedAutoencoder
    from crossmae.train.config import FitExecution

Source = Annotated[str, typer.Argument(help="RUN/checkpoint, a released .pth or .safetensors, or a ViTMAE folder.")]
Data = Annotated[Path, typer.Option(help="Image folder (its val folder, if it has one) or list of files.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--set", help="What released weights do not say, as in --set num_heads=12; may be repeated."),
]
Images = Annotated[int, typer.Option(help="Number of images, spread evenly over the data.", min=1)]
Seed = Annotated[int, typer.Option(help="Decides the masks.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to ``app``."""
    app.command(epilog="Example: crossmae reconstruct runs/demo/checkpoint --data data/demo/pretrain --out r.png")(
        reconstruct
    )
    app.command(epilog="Example: crossmae attention mae.pth --data /datasets/imagenet --set num_heads=12")(attention)
    app.command(epilog="Example: crossmae psnr runs/b16/checkpoint --data /datasets/imagenet --images 5000")(psnr)
    app.command(epilog="Examples: crossmae info vit_b16 decoder=self · crossmae info vit_h14 prediction_ratio=0.75")(
        info
    )
    app.command(
        epilog="Examples: crossmae bench crossmae25_vit_b16 global_batch=512 · "
        "crossmae bench demo_crossmae compile=true · "
        "torchrun --nproc-per-node 8 -m crossmae bench crossmae25_vit_b16"
    )(bench)
    app.command(epilog="Example: crossmae export runs/b16/checkpoint hf-vit exported/b16")(export)


def reconstruct(
    source: Source,
    data: Data,
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("reconstructions.png"),
    images: Images = 8,
    seed: Seed = 0,
    options: Options = None,
) -> None:
    """Draws images, what the encoder sees of them, and their reconstructions."""
    from crossmae.analysis.reconstruct import reconstruction_grid

    model = _load(source, options)
    pixels, noise = next(_batches(model, data, images, seed, batch=images))
    out.parent.mkdir(parents=True, exist_ok=True)
    reconstruction_grid(model, pixels, noise).save(out)
    print(f"{len(pixels)} reconstructions in {out}")


def attention(
    source: Source,
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Folder for the figures.")] = None,
    images: Images = 256,
    seed: Seed = 0,
    options: Options = None,
) -> None:
    """Prints how much masked tokens attend to visible and to masked tokens in each decoder block (Table 6)."""
    from crossmae.analysis.attention import mask_token_attention, total
    from crossmae.analysis.figures import attention_figure, attention_map_figure, mixing_figure

    model = _load(source, options)
    blocks = mask_token_attention(model, _batches(model, data, images, seed))
    print("decoder block  to visible  to masked")
    for index, block in enumerate(blocks, start=1):
        print(f"{index:13}  {block.to_visible:10.3f}  {block.to_masked:9.3f}")
    print(f"          sum  {total(blocks).to_visible:10.3f}  {total(blocks).to_masked:9.3f}")
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    attention_figure(blocks, out / "attention.svg")
    attention_map_figure(model, *next(_batches(model, data, 4, seed)), out / "attention_maps.png")
    if model.decoder.mixing is not None:
        mixing_figure(model, out / "inter_block_weights.svg")
    print(f"figures in {out}")


def psnr(source: Source, data: Data, images: Images = 256, seed: Seed = 0, options: Options = None) -> None:
    """Prints the mean PSNR of the masked patches (Table 13)."""
    from crossmae.analysis.psnr import psnr_of

    model = _load(source, options)
    values = psnr_of(model, _batches(model, data, images, seed))
    print(f"PSNR of masked patches: {values.mean():.2f} dB over {len(values)} images")


def info(
    model: Annotated[str, typer.Argument(help="A preset (vit_s16, vit_b16, vit_l16, vit_h14, vit_demo) or a source.")],
    options: Annotated[list[str] | None, typer.Argument(help="Values of the model to change, as key=value.")] = None,
) -> None:
    """Prints tokens, parameters and forward GFLOPs per image of a model, by part; of a backbone, what it is."""
    from crossmae.analysis.cost import cost_of
    from crossmae.model.presets import preset_config
    from crossmae.weights.options import split_source

    if model.startswith(("timm:", "random:", "hf:")) or Path(split_source(model)[0]).exists():
        try:
            config = _load(model, options).config
        except UserError:
            _print_backbone(model, options)
            return
    else:
        config = preset_config(model, **_values(options))
    cost = cost_of(config)
    print(f"patches: {config.num_patches}, visible {config.num_visible}, predicted {config.num_predicted}")
    for name, part in (("encoder", cost.encoder), ("decoder", cost.decoder)):
        print(f"{name} parameters: {part.trainable:,} trainable, {part.fixed:,} fixed")
    for name, flops in cost.flops.items():
        print(f"{name} GFLOPs: {flops / 1e9:.3f}")
    print(f"total GFLOPs: {sum(cost.flops.values()) / 1e9:.3f}")


def _print_backbone(source: str, options: list[str] | None) -> None:
    from crossmae.backbone import Backbone

    values = _values(options)
    if unknown := sorted(values.keys() - {"num_heads"}):
        raise UserError(f"no option {unknown[0]!r} of the backbone {source}", "num_heads is the only one")
    backbone = Backbone.load(source, **values)
    count = sum(weight.numel() for weight in backbone.state_dict().values())
    print(f"backbone: {count:,} parameters, digest {backbone.digest}")
    for name, value in asdict(backbone.about).items():
        if value not in (None, (), {}, ""):
            print(f"{name}: {value}")


def bench(
    recipe: Annotated[str, typer.Argument(help="A pretraining recipe's name, or the path of a YAML file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Values of the recipe to change, as key=value.")] = None,
    steps: Annotated[int, typer.Option(help="Updates that are timed.", min=1)] = 20,
    warmup: Annotated[int, typer.Option(help="Updates before them.", min=1)] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Times real training steps on images that lie on the device already: what the model and the optimizer take."""
    from crossmae.analysis.speed import measure
    from crossmae.pretraining.recipe import read_recipe
    from crossmae.pretraining.run import load_pretraining_recipe

    resolved = load_pretraining_recipe(recipe, tuple(overrides or ()))
    values = read_recipe(resolved, seed=0)
    speed = measure(values, steps, warmup, device)
    if not speed.is_main:
        return
    for line in _speed_lines(speed, values.execution):
        print(line)
    if out is not None:
        write_json({"recipe": resolved.name, **speed.to_dict()}, out)


def export(
    source: Annotated[str, typer.Argument(help="What load_pretrained or Backbone.load takes.")],
    form: Annotated[str, typer.Argument(help="official, timm, hf-vitmae, hf-vit, backbone or onnx.")],
    destination: Annotated[Path, typer.Argument(help="File (official, timm, onnx) or folder to write.")],
) -> None:
    """Writes weights under the released names, for timm, as a Hugging Face folder, or as an ONNX graph of features."""
    from crossmae.onnx import export_onnx
    from crossmae.weights.export import export as export_weights

    if form == "onnx":
        export_onnx(source, destination)
    else:
        export_weights(source, destination, form)
    print(f"{form} weights in {destination}")


def _speed_lines(speed: "Speed", execution: "FitExecution") -> list[str]:
    lines = [
        f"{speed.device}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads; {speed.precision}, "
        f"matmul precision {execution.matmul_precision}, compile {str(speed.compiled).lower()}",
        f"batch: {speed.processes} processes x {speed.accumulation} micro-batches x {speed.micro_batch} images",
        f"ms per step: {speed.ms_per_step:.1f}",
        f"images/s: {speed.images_per_second:.1f}",
        f"minutes per ImageNet epoch: {speed.minutes_per_epoch:.2f}",
        f"peak memory: {speed.memory_bytes / 2**20:.0f} MB",
        f"achieved per process: {speed.flops_per_second / 1e12:.3f} TFLOP/s",
        f"large matrix products: {speed.matmul_flops_per_second / 1e12:.3f} TFLOP/s; share {speed.matmul_share:.1%}",
    ]
    if speed.mfu is not None:
        lines.append(f"MFU (of the data sheet's bf16 peak): {speed.mfu:.1%}")
    return lines


def _load(source: str, options: list[str] | None) -> "MaskedAutoencoder":
    from crossmae.weights.sources import load_pretrained

    return load_pretrained(source, **_values(options)).to(_device())


def _batches(
    model: "MaskedAutoencoder", data: Path, count: int, seed: int, batch: int = 32
) -> "Iterator[tuple[Tensor, Tensor]]":
    from crossmae.analysis.views import batches, open_validation, pick

    images = open_validation(data)
    return batches(images, pick(images, count), model.config, batch, seed, _device())


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _values(options: list[str] | None) -> dict[str, Any]:
    import yaml

    pairs = [option.partition("=") for option in options or ()]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise UserError(f"option {wrong[0]!r} is not of the form key=value")
    try:
        return {key: yaml.safe_load(text) for key, _, text in pairs}
    except yaml.YAMLError as error:
        raise UserError(f"a value among the options cannot be read ({one_line(error)})") from error
