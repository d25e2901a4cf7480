"""The tasks of linear depth, such as ``nyu_depth_linear@dinov2``."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pandas as pd
import torch

from crossmae.backbone import Backbone
from crossmae.data.demo.scenes import SceneSource
from crossmae.data.images import FileDigest, digest_of_bytes
from crossmae.recipe import Recipe
from crossmae.train.config import FitExecution, Precision, split_batch
from crossmae.train.fit import fit
from transfer.depth.nyu import COUNTS, departures, fingerprint_of_nyu, pairs_of, problems, write_demo
from transfer.depth.probe import METRICS
from transfer.depth.recipe import DepthProtocol, read_recipe
from transfer.depth.training import DepthWorkload
from transfer.task import Context, Problem, Task


class DepthTask(Task):
    """A linear probe of depth on NYU Depth v2."""

    def check(self, data_root: Path) -> Iterable[Problem]:
        """Everything wrong with lists, images and depth maps."""
        return problems(data_root)

    def describe(self, data_root: Path) -> Iterable[str]:
        """How the numbers of images differ from the published ones."""
        return departures(data_root)

    def fingerprint(self, data_root: Path, digest: FileDigest = digest_of_bytes) -> str:
        """Both lists, and names and sizes of the files that they name."""
        return fingerprint_of_nyu(data_root)

    def demo(self, data_root: Path, scenes: SceneSource) -> None:
        """Writes scenes whose depth is the order of pasting."""
        write_demo(data_root, scenes)

    def check_recipe(self, recipe: Recipe) -> None:
        """Reads every value of ``recipe`` into its type.

        Raises:
            UserError: an unknown, missing or wrong value, named in one line.
        """
        read_recipe(recipe)

    def run(self, backbone: "Backbone | None", recipe: Recipe, context: Context) -> dict[str, float]:
        """Trains the head on the frozen backbone and returns ``METRICS`` of the test images after the last update.

        Raises:
            UserError: the data is unusable, or the backbone lacks the features.
        """
        backbone, data_root = self.given(backbone, context)
        values = read_recipe(recipe)
        pairs = {split: pairs_of(data_root, split) for split in COUNTS}
        for text in departures(data_root):
            context.deviation(text)
        execution = replace(values.execution, precision=cast(Precision, context.precision))
        data = fingerprint_of_nyu(data_root)
        workload = DepthWorkload(backbone, values.protocol, pairs, context.seed, data)
        _note_batches(values.protocol, execution, context)
        if values.protocol.class_token and not backbone.about.class_token:
            context.deviation("the mean of the patches stands in for a class token")
        fitted = fit(workload, values.protocol.plan(context.seed), context.folder, context.progress, execution)
        context.throughput = fitted.images_per_second
        if fitted.is_main and workload.per_image is not None:
            names = [pair.name for pair in pairs["test"]]
            context.per_sample(pd.DataFrame(workload.per_image, columns=list(METRICS)).assign(sample=names))
        return fitted.metrics


def _note_batches(protocol: DepthProtocol, execution: FitExecution, context: Context) -> None:
    split = split_batch(protocol.global_batch, context.devices, execution.per_device_batch)
    if split.micro_batch % protocol.images_per_loss:
        context.deviation(f"the loss of {split.micro_batch} images together, not of {protocol.images_per_loss}")
    together = split.micro_batch * (split.processes if torch.cuda.is_available() else 1)
    if protocol.batch_norm and together != protocol.global_batch:
        context.deviation(f"batch norm over {together} images, not over {protocol.global_batch}")
