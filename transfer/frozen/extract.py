"""The features of a labelled data set, each image's once: from the cache, or computed into it."""

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from crossmae.backbone import Backbone
from crossmae.data.staging.cache import StagedImages
from crossmae.features import Features
from crossmae.train.runtime.distributed import World
from crossmae.wrapped.attention import use_fastest_attention
from transfer.classification.images import DecodedImages
from transfer.classification.transforms import Transform, evaluation_transform
from transfer.datasets.labelled import LabelledImages
from transfer.frozen.cache import Array, FeatureCache, Views
from transfer.frozen.recipe import FrozenExecution, FrozenProtocol

_STAT_THREADS = 16
"""Network file systems answer many questions at once as fast as one."""


def view_names(backbone: Backbone) -> tuple[str, ...]:
    """All views of a backbone: those after a final norm only if it has one."""
    tokens = ("token", "avg") if backbone.about.class_token else ("avg",)
    points = ("raw", "norm") if backbone.about.final_norm else ("raw",)
    return tuple(f"{point} {kind}" for point in points for kind in tokens)


class Extractor:
    """Reads and computes features of one backbone under one protocol, as one of the processes of ``world``."""

    def __init__(
        self,
        backbone: Backbone,
        protocol: FrozenProtocol,
        execution: FrozenExecution,
        precision: str,
        folder: Path,
        world: World,
    ) -> None:
        """Raises UserError if the backbone's patches do not cover the protocol's images."""
        self.backbone, self.protocol, self.execution = backbone, protocol, execution
        self.bf16, self.folder, self.world = precision == "bf16", folder, world
        self.names = view_names(backbone)
        self.features: Features = backbone.features(protocol.image_size).requires_grad_(False).eval()
        use_fastest_attention(self.features, (protocol.image_size // self.features.patch_size) ** 2)
        self.images_per_second: float | None = None
        self._computed, self._seconds = 0, 0.0

    def cache_of(self, images: LabelledImages) -> FeatureCache:
        """Where the features of ``images`` are kept: other weights, images or values are another cache."""
        about, protocol = self.backbone.about, self.protocol
        key = {
            "backbone": [self.backbone.digest, *about.function],
            "images": content_of(images),
            "transform": [protocol.image_size, protocol.crop_pct, *about.mean, *about.std],
            "views": list(self.names),
            "arithmetic": ["bf16" if self.bf16 else "fp32", self.world.device.type],
            "dtype": protocol.dtype,
        }
        dtype = "float16" if protocol.dtype == "fp16" else "float32"
        return FeatureCache(self.folder, key, len(images), (len(self.names), about.embed_dim), dtype)

    def extract(self, images: LabelledImages, report: Callable[[int], None]) -> Views:
        """The features of ``images`` in their order; to be called by all processes together.

        Args:
            report: is called with the number of images that are done, of this process's, since it was called last.
        """
        cache = self.cache_of(images)
        chunk = self.execution.chunk
        if not cache.path.is_dir():
            cache.require_space()
            self.features.to(self.world.device)
            transform = evaluation_transform(
                self.protocol.image_size,
                self.protocol.crop_pct,
                self.features.mean,
                self.features.std,
                self.features.interpolation,
            )
            pixels = Pixels(images, transform)
            compute = lambda start, stop: self._compute(pixels, range(start, stop))  # noqa: E731
            cache.fill(compute, chunk, self.world.rank, self.world.size, report)
            self.world.gather(None)  # all chunks are there
            if self.world.is_main:
                cache.finish(chunk)
            self.world.gather(None)
        else:
            report(len(images))
        return Views(cache.open(), self.names)

    @torch.inference_mode()
    def _compute(self, pixels: "Pixels", indices: Sequence[int]) -> Array:
        start = time.monotonic()
        loader = DataLoader(
            Subset(pixels, indices), self.execution.per_device_batch, num_workers=self.execution.workers
        )
        features = torch.cat([self._views(batch.to(self.world.device)).cpu() for batch in loader]).numpy()
        self._computed += len(indices)
        self._seconds += time.monotonic() - start
        self.images_per_second = self.world.size * self._computed / self._seconds
        return features

    def _views(self, images: Tensor) -> Tensor:
        """(N, views, C) in fp32."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            prefix, patches = self.features.tokens(images)
        raw = {"raw token": prefix, "raw avg": patches}
        norm = {f"norm{name[3:]}": self.features.final_norm(tokens.float()) for name, tokens in raw.items()}
        tokens = {**raw, **norm}
        return torch.stack([_pooled(name, tokens[name].float()) for name in self.names], dim=1)


def _pooled(name: str, tokens: Tensor) -> Tensor:
    return tokens[:, 0] if name.endswith("token") else tokens.mean(dim=1)


class Pixels(Dataset[Tensor]):
    """The transformed images."""

    def __init__(self, images: LabelledImages, transform: Transform) -> None:
        self.pictures = DecodedImages(images, keep=False)
        self.transform = transform

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(self.pictures[index])


def content_of(images: LabelledImages) -> str:
    """A digest of the images' names, and of what they hold: sizes and times of change of files, digests of a cache.

    Labels do not matter to features.
    """
    digest = hashlib.sha256(images.images.fingerprint.encode())
    if isinstance(images.images, StagedImages):
        digest.update(images.images.digest.encode())
        return digest.hexdigest()
    with ThreadPoolExecutor(_STAT_THREADS) as threads:
        for stamp in threads.map(lambda file: _stamp(images.root / file), images.files, chunksize=256):
            digest.update(stamp.encode())
    return digest.hexdigest()


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return f"{path.name} "
    return f"{path.name} {status.st_size} {status.st_mtime_ns} "
