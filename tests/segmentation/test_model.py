"""PrefixMAE with one token is mmsegmentation's MAE, forward and backward; its model is EncoderDecoder."""

import torch
from mmseg.models.backbones.mae import MAE
from torch import Tensor, nn

from segmentation.model import PrefixMAE

OPTIONS = {"img_size": 32, "patch_size": 8, "embed_dims": 32, "num_layers": 2, "num_heads": 2, "out_indices": [0, 1]}


def run(model: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Tensor | None]]:
    features = torch.stack(model(images))
    (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
    return features.detach(), {name: weight.grad for name, weight in model.named_parameters()}


def test_one_prefix_token_is_mmsegmentations_class_token() -> None:
    torch.manual_seed(0)
    stock, ours = MAE(**OPTIONS), PrefixMAE(1, **OPTIONS)
    for weight in stock.parameters():
        nn.init.normal_(weight, std=0.2)
    ours.load_state_dict(stock.state_dict())
    images = torch.randn(2, 3, 32, 32)
    expected, expected_gradients = run(stock, images)
    features, gradients = run(ours, images)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, atol=1e-3, rtol=1e-4, msg=name)
