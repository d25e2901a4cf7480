"""The backbone that the tests of classification train on."""

import pytest

from crossmae.backbone import Backbone


@pytest.fixture(scope="session")
def tiny_backbone() -> Backbone:
    """The demo's ViT with random weights."""
    return Backbone.load("random:vit_demo", seed=3)
