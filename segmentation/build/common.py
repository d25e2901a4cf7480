"""What the configs of all segmenters share: data, sizes, normalisation and length, over the native UperNet's file."""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from crossmae.backbone import BackboneSpec, WrappedSpec
from crossmae.weights.options import IMAGENET_MEAN, IMAGENET_STD
from segmentation.recipe import SegmentationProtocol

Values = dict[str, Any]

NATIVE = Path(__file__).parents[1] / "configs" / "upernet_vit_b16.py"


def fit_config(
    config: Config,
    values: SegmentationProtocol,
    about: BackboneSpec | WrappedSpec,
    training: Values,
    validation: Values,
    keep_zero: bool,
) -> None:
    """Sets in ``config`` what a recipe says of images, batches and length, and where the data lies.

    Args:
        config: the native one, perhaps with another model.
        values: a recipe's protocol.
        about: what the backbone is.
        training: what mmsegmentation's data set of the training images is given, over the native file's.
        validation: the same of the validation images.
        keep_zero: label 0 is the first class, and not ignored.
    """
    crop = (values.crop, values.crop)
    model = {
        "pretrained": None,
        "data_preprocessor": {"size": crop, **_normalisation(about)},
        "test_cfg": {"crop_size": crop, "stride": (values.stride, values.stride)},
    }
    config.merge_from_dict({"model": model})
    config.train_cfg.max_iters = values.steps
    config.train_dataloader.batch_size = values.global_batch
    config.train_dataloader.dataset.pipeline = _training_pipeline(config.train_pipeline, values)
    config.val_dataloader.dataset.pipeline[1].scale = values.image_scale
    for loader, dataset in ((config.train_dataloader, training), (config.val_dataloader, validation)):
        loader.dataset.update(dataset)
        if keep_zero:
            for step in loader.dataset.pipeline:
                if step["type"] == "LoadAnnotations":
                    step["reduce_zero_label"] = False
    config.test_dataloader = config.val_dataloader


def _normalisation(spec: BackboneSpec | WrappedSpec) -> Values:
    if (spec.mean, spec.std) == (IMAGENET_MEAN, IMAGENET_STD):  # which stand in the file, on the same scale
        return {}
    return {"mean": [255 * value for value in spec.mean], "std": [255 * value for value in spec.std]}


def _training_pipeline(published: list[Values], values: SegmentationProtocol) -> list[Values]:
    """The native pipeline, every step in its place, with the recipe's sizes."""
    changes: dict[str, Values] = {
        "RandomResize": {"scale": values.image_scale, "ratio_range": values.ratio_range},
        "RandomCrop": {"crop_size": (values.crop, values.crop)},
    }
    return [{**step, **changes.get(step["type"], {})} for step in published]
