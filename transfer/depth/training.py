"""What the training engine runs of a depth probe: augmented pairs, the loss of a batch, and the evaluation."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms.functional import InterpolationMode, rotate

from crossmae.backbone import Backbone
from crossmae.data.keyed import SampleKey, seed_libraries
from crossmae.errors import UserError
from crossmae.train.optim import adamw
from crossmae.train.workload import KeyedDataset, Workload
from transfer.classification.linear import share_statistics
from transfer.depth.nyu import Pair, read_depth, read_image
from transfer.depth.probe import METRICS, DepthProbe, score, silog
from transfer.depth.recipe import DepthProtocol, Span, scaled


class DepthWorkload(Workload):
    """Trains the head of a ``DepthProbe`` on NYU Depth v2."""

    def __init__(
        self,
        backbone: Backbone,
        protocol: DepthProtocol,
        pairs: dict[str, list[Pair]],
        seed: int,
        data: str,
    ) -> None:
        """``pairs`` by split, ``data`` their fingerprint; UserError for features that the backbone does not have."""
        self.backbone, self.protocol = backbone, protocol
        self.pairs, self.seed = pairs, seed
        self.per_image: NDArray[np.float64] | None = None
        """``METRICS`` of each test image, (N, 3), of the newest evaluation."""
        if protocol.point == "norm" and not backbone.about.final_norm:
            what = f"{backbone.about.source} has no final norm, and this probe reads the features after it"
            raise UserError(what, "take nyu_depth_linear@dinov2, which reads those before it")
        self.identity = {
            "values": asdict(protocol),
            "backbone": backbone.digest,
            "function": backbone.about.function,
            "data": data,
            "seed": seed,
        }

    def model(self) -> nn.Module:
        """The frozen backbone with its head."""
        return DepthProbe(self.backbone, self.protocol)

    def dataset(self) -> KeyedDataset:
        """Augmented training images and their depth."""
        return _TrainingPairs(self.pairs["train"], self.protocol, self.seed)

    def prepare(self, batch: Any) -> Any:
        """Images (N, 3, H, W), normalised on the device, and depth (N, H, W)."""
        images, depth = batch
        return self._normalised(images), depth

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The mean of the losses of ``images_per_loss`` images each."""
        images, depth = batch
        prediction: Tensor = model(images)
        probe: Any = getattr(model, "module", model)
        processes = dist.get_world_size() if dist.is_initialized() else 1
        first = self.protocol.mean_only_steps * self.protocol.global_batch
        with_variance = (probe.images * processes >= first).to(prediction.dtype)
        with torch.no_grad():
            probe.images += len(images)
        parts = zip(
            prediction.split(self.protocol.images_per_loss), depth.split(self.protocol.images_per_loss), strict=True
        )
        return torch.stack([silog(*part, with_variance) for part in parts]).mean()

    def optimizer(self, model: nn.Module, lr: float) -> torch.optim.Optimizer:
        """AdamW over the head."""
        protocol = self.protocol
        group = {"params": list(model.parameters()), "weight_decay": protocol.weight_decay}
        return adamw([group], lr, protocol.betas)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """The means over the test images of each one's ``METRICS``; predictions of image and mirror image averaged."""
        share_statistics(model)
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        tests = self.pairs["test"]
        device = next(model.parameters()).device
        found = torch.zeros(len(tests), len(METRICS), dtype=torch.float64, device=device)
        for index in range(rank, len(tests), world):
            image = torch.from_numpy(np.array(read_image(tests[index]))).permute(2, 0, 1)[None].float().to(device)
            image = self._normalised(image)
            prediction = (model(image) + model(image.flip(3)).flip(2)) / 2
            depth = torch.from_numpy(read_depth(tests[index])).to(device)
            found[index] = score(prediction[0], depth, self.protocol)
            if not bool(found[index].isfinite().all()):
                raise UserError(f"{tests[index].depth} has no depth where it is scored", "copy it again")
        if dist.is_initialized():
            dist.all_reduce(found)
        self.per_image = found.cpu().numpy()
        return dict(zip(METRICS, self.per_image.mean(axis=0).tolist(), strict=True))

    def _normalised(self, images: Tensor) -> Tensor:
        about = self.backbone.about
        mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (about.mean, about.std))
        return (images / 255 - mean) / std


class _TrainingPairs:
    """Augmented samples; each a function of the seed and its key alone."""

    def __init__(self, pairs: list[Pair], protocol: DepthProtocol, seed: int) -> None:
        self.pairs, self.protocol, self.seed = pairs, protocol, seed

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, Tensor]:
        pair = self.pairs[key.index]
        image, depth = torch.from_numpy(np.array(read_image(pair))).permute(2, 0, 1), torch.from_numpy(read_depth(pair))
        seed_libraries(self.seed, key.epoch, key.index)
        rows, columns = scaled(self.protocol.train_box, *depth.shape)
        try:
            return augmented(image[:, rows, columns].float(), depth[rows, columns], self.protocol)
        except UserError as error:
            raise UserError(f"{pair.image}: {error.what}", error.remedy) from error

    def name(self, index: int) -> str:
        """Path of a sample, as logs name it."""
        return str(self.pairs[index].image)


def augmented(image: Tensor, depth: Tensor, protocol: DepthProtocol) -> tuple[Tensor, Tensor]:
    """Turned, mirrored, cropped, recoloured: image (3, H, W) of 0 to 255 and depth (H, W) in metres.

    Source: the training pipeline of DINOv2's depth configurations, and DINOv3's ``transforms.py``.

    Raises:
        UserError: the image is smaller than the crop.
    """
    height, width = protocol.crop
    if depth.shape[0] < height or depth.shape[1] < width:
        size = " x ".join(map(str, depth.shape))
        raise UserError(f"{size} pixels are left of it for a crop of {height} x {width}", "set a smaller crop")
    if _happens():
        angle = _between((-protocol.rotation, protocol.rotation))
        image, depth = rotate(image, angle, InterpolationMode.BILINEAR), rotate(depth[None], angle)[0]
    if _happens():
        image, depth = image.flip(2), depth.flip(1)
    top, left = (int(torch.randint(have - want + 1, ())) for have, want in zip(depth.shape, protocol.crop, strict=True))
    image, depth = image[:, top : top + height, left : left + width], depth[top : top + height, left : left + width]
    if _happens():
        colours = torch.tensor([_between(protocol.colour) for _ in range(3)])[:, None, None]
        image = (image ** _between(protocol.gamma) * _between(protocol.brightness) * colours).clamp(0, 255)
    return image, depth.contiguous()


def _happens() -> bool:
    return bool(torch.rand(()) < 0.5)


def _between(span: Span) -> float:
    return float(torch.empty(()).uniform_(*span))
