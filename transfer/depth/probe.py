"""The depth probe: a frozen backbone's last map, a linear classifier into bins of depth, its loss and its metrics."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from crossmae.backbone import Backbone
from crossmae.features import Features
from transfer.depth.recipe import DepthProtocol, scaled

METRICS = ("rmse", "abs_rel", "delta1")
"""Root of the mean squared error in metres, mean relative error, percent of pixels within a factor of 1.25."""
_FLOOR = 0.1
"""Added to every bin's logit after its negative part was cut off (AdaBins; DINOv2's and DINOv3's code)."""
_LOG_FLOOR = 0.001
"""Metres that are added before a logarithm is taken (ditto)."""
_MEAN_SHARE = 0.15
"""Weight of the squared mean error in the loss (ditto)."""


class DepthProbe(nn.Module):
    """Depth in metres (N, H, W) of normalised images (N, 3, H, W); of its parts only the head is a parameter.

    Sources: ``BNHead`` of DINOv2's ``eval/depth``, ``LinearHead`` and ``FeaturesToDepth`` of DINOv3's.
    """

    centres: Tensor
    images: Tensor

    def __init__(self, backbone: Backbone, protocol: DepthProtocol) -> None:
        super().__init__()
        width = backbone.about.embed_dim * (2 if protocol.class_token else 1)
        # On a CPU there is no batch norm over several processes.
        norm = nn.SyncBatchNorm if torch.cuda.is_available() else nn.BatchNorm2d
        self.norm = norm(width) if protocol.batch_norm else nn.Identity()
        self.classifier = nn.Conv2d(width, protocol.bins, 1)
        if protocol.initial_std is not None:
            assert self.classifier.bias is not None
            nn.init.normal_(self.classifier.weight, std=protocol.initial_std)
            nn.init.zeros_(self.classifier.bias)
        self.register_buffer("centres", torch.linspace(*protocol.depth, protocol.bins), persistent=False)
        self.register_buffer("images", torch.zeros(()))
        self._frozen, self._protocol = _Frozen(backbone, protocol.point == "norm"), protocol

    def forward(self, images: Tensor) -> Tensor:
        """The depth of normalised images (N, 3, H, W), which are padded with zeros on all sides to whole patches."""
        features, token = self._frozen(images)
        features = interpolate(features, scale_factor=self._protocol.upsample, mode="bilinear")
        if self._protocol.class_token:
            features = torch.cat([features, token[:, :, None, None].expand_as(features)], dim=1)
        weights = self.classifier(self.norm(features)).float().relu() + _FLOOR
        depth = torch.einsum("nbhw,b->nhw", weights / weights.sum(dim=1, keepdim=True), self.centres)
        return interpolate(depth[:, None], images.shape[2:], mode="bilinear")[:, 0]


class _Frozen:
    """The backbone at every size of image that it is asked for; no module, for it neither trains nor is saved."""

    def __init__(self, backbone: Backbone, norm: bool) -> None:
        self.backbone, self.norm = backbone, norm
        self.sizes: dict[tuple[int, int], Features] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The last map (N, C, h, w), and the class token (N, C) or, where there is none, the mean of the map."""
        patch, about = self.backbone.about.patch_size, self.backbone.about
        missing = [-side % patch for side in images.shape[2:]]
        (top, bottom), (left, right) = [(short // 2, short - short // 2) for short in missing]
        images = pad(images, (left, right, top, bottom))
        size = (images.shape[2], images.shape[3])
        if size not in self.sizes:
            self.sizes[size] = self.backbone.features(size, self.norm).requires_grad_(False).eval().to(images.device)
        features = self.sizes[size](images)
        last = features.maps[-1]
        return last, features.prefix[:, 0] if about.class_token else last.mean(dim=(2, 3))


def silog(prediction: Tensor, depth: Tensor, with_variance: Tensor) -> Tensor:
    """The loss of predictions and depths (N, H, W) in metres, together; 0 is an unknown depth.

    The root of the variance of the logarithmic error plus 0.15 times its squared mean. Source: DINOv2's ``sigloss.py``.

    Args:
        with_variance: 1, or 0 for the mean alone.
    """
    known = depth > 0
    error = (torch.log(prediction + _LOG_FLOOR) - torch.log(depth + _LOG_FLOOR))[known]
    if error.numel() < 2:
        return prediction.sum() * 0.0
    squared = with_variance * error.var() + _MEAN_SHARE * error.mean() ** 2
    # The root has no finite gradient at 0.
    return squared.clamp_min(1e-12).sqrt()


def score(prediction: Tensor, depth: Tensor, protocol: DepthProtocol) -> Tensor:
    """``METRICS`` of one image, (3,), from prediction and depth (H, W) in metres; not a number without a known pixel.

    Scored are pixels in ``score_box`` whose depth is within the protocol's; the prediction is cut to it.
    """
    least, greatest = protocol.depth
    box = scaled(protocol.score_box, *depth.shape)
    prediction, depth = prediction[box].clamp(least, greatest), depth[box]
    known = (depth > least) & (depth < greatest)
    prediction, depth = prediction[known].double(), depth[known].double()
    ratio = torch.maximum(prediction / depth, depth / prediction)
    relative = (prediction - depth).abs() / depth
    within = 100.0 * (ratio < 1.25).double()
    return torch.stack([(prediction - depth).square().mean().sqrt(), relative.mean(), within.mean()])
