"""mmsegmentation's model with its weights in the memory layout that convolutions are fastest in."""

from typing import Any

import torch
from mmengine.registry import MODELS
from mmseg.models.segmentors import EncoderDecoder


@MODELS.register_module()
class ChannelsLastEncoderDecoder(EncoderDecoder):
    """``EncoderDecoder`` in channels-last: the same parameters, names and function."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.to(memory_format=torch.channels_last)
