"""Initial weights, as in the released code of MAE and CrossMAE."""

from torch import nn

from crossmae.model.config import MAEConfig
from crossmae.model.decoder import InterBlockAttention
from crossmae.model.encoder import PatchEmbed


def initialize(model: nn.Module, config: MAEConfig) -> None:
    """Xavier uniform for every linear map, N(0, .02) for the tokens, ones and zeros for the norms."""
    for name, parameter in model.named_parameters():
        if name.endswith(("cls_token", "mask_token")):
            nn.init.normal_(parameter, std=0.02)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, PatchEmbed):
            nn.init.xavier_uniform_(module.proj.weight.data.flatten(1))
        elif isinstance(module, InterBlockAttention):
            _initialize_mixing(module, config)


def _initialize_mixing(module: InterBlockAttention, config: MAEConfig) -> None:
    if config.mixing_init == "paper":
        nn.init.normal_(module.weight, std=config.num_maps**-0.5)
    else:
        nn.init.xavier_uniform_(module.weight)
