"""What the engine trains in pretraining."""

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crossmae.data.images import Images
from crossmae.data.samples import BoxSamples, ImageSamples, MemorySamples, Views, make_views
from crossmae.errors import UserError, printable
from crossmae.files import open_to_append, read_regular
from crossmae.model.attention import check_backend
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.pretraining.recipe import PretrainRecipe
from crossmae.train.optim import adamw, decay_groups
from crossmae.train.workload import KeyedDataset, Learner, Workload

log = logging.getLogger("crossmae")

# ImageNet's statistics, as in the released code; on the 0-255 scale.
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


class Autoencoding(Learner):
    """A masked autoencoder, whatever images it is shown."""

    def __init__(self, recipe: PretrainRecipe) -> None:
        self.recipe = recipe

    def model(self) -> nn.Module:
        """The autoencoder."""
        return MaskedAutoencoder(self.recipe.model, check_backend(self.recipe.execution.attention))

    def optimizer(self, model: nn.Module, lr: float) -> torch.optim.Optimizer:
        """AdamW, without weight decay on 1-D parameters."""
        return adamw(decay_groups(model, self.recipe.protocol.weight_decay), lr, self.recipe.protocol.betas)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Mean squared error of the predicted patches of ``image`` (N, 3, S, S), masked after ``noise`` (N, L)."""
        loss: Tensor = model(normalize(batch["image"]), noise=batch["noise"]).loss
        return loss


class Pretraining(Autoencoding, Workload):
    """A masked autoencoder on unlabelled images."""

    def __init__(
        self,
        recipe: PretrainRecipe,
        images: Images,
        protocol: Mapping[str, Any],
        folder: Path,
        on_device: bool = False,
    ) -> None:
        """A pretraining on ``images``.

        Args:
            protocol: the recipe's section as it was read, for the run's identity.
            on_device: crops are resized on the device; ``images`` are a ``raw`` cache.
        """
        super().__init__(recipe)
        self.images, self.on_device = images, on_device
        self.identity = {"protocol": dict(protocol), "images": images.fingerprint}
        self.unreadable = Unreadable(folder / "unreadable.txt", recipe.execution.most_unreadable)

    def dataset(self) -> KeyedDataset:
        """The images, decoded beforehand if the recipe says so."""
        protocol, model = self.recipe.protocol, self.recipe.model
        seed = self.recipe.plan.seed
        views = Views(model.image_size, model.num_patches, seed, protocol.crop_scale, protocol.flip)
        if self.recipe.execution.in_memory:
            return MemorySamples(self.images, views, protocol.upright)
        if self.on_device:
            return BoxSamples(self.images, views)
        return ImageSamples(self.images, views, protocol.pixels == "exact", protocol.upright)

    def prepare(self, batch: Any) -> Any:
        """``image``, ``noise`` and ``unreadable``."""
        if not self.on_device:
            return batch
        views = make_views(batch["canvas"], batch["box"], self.recipe.model.image_size)
        return {"image": views, "noise": batch["noise"], "unreadable": batch["unreadable"]}

    def collate(self, samples: Any) -> Any:
        """The data sets make whole batches."""
        return samples

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The autoencoder's loss; images that could not be read are noted."""
        for index in batch["unreadable"]:
            self.unreadable.add(self.images.name(index))
        return super().loss(model, batch)


class Unreadable:
    """The images that could not be read: each logged and listed once, over all starts of a run."""

    def __init__(self, path: Path, most: int) -> None:
        self.path, self.most = path, most
        listed = read_regular(path) if path.exists() else b""
        self._known = set(listed.decode("utf-8", "surrogateescape").splitlines())

    def add(self, image: str) -> None:
        """Notes an image.

        Raises:
            UserError: there are too many.
        """
        if image in self._known:
            return
        self._known.add(image)
        log.warning("%s cannot be read; the next image takes its place", printable(image))
        with open_to_append(self.path) as file:
            file.write(f"{image}\n".encode("utf-8", "surrogateescape"))
        if len(self._known) > self.most:
            raise UserError(
                f"more than {self.most} images cannot be read, listed in {self.path}",
                "mend or remove them, or raise most_unreadable",
            )


def normalize(images: Tensor) -> Tensor:
    """(N, 3, H, W) on the 0-255 scale to zero mean and unit variance over ImageNet."""
    shift, scale = _statistics(images.device)
    # A GPU converts bytes as it reads them: converted before, they would be written and read again as floats.
    return torch.addcmul(shift, images, scale)


@cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    # Kept, so that a GPU's host does not wait for a copy in every step.
    mean, std = torch.tensor([MEAN, STD], device=device)[:, :, None, None]
    return -mean / std, 1 / std
