"""Learning rates that shrink from a task's head to the first layer of any timm model, layer by layer of its own."""

from typing import Any

from torch import nn


def layer_ids(trunk: Any) -> dict[str, int]:
    """The layer of each parameter, by name: 0 for the embedding, then block by block as timm counts them."""
    from timm.models import group_parameters

    ids: dict[str, int] = group_parameters(trunk, trunk.group_matcher(), reverse=True)
    return ids


def decayed_groups(model: nn.Module, trunk: nn.Module, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Parameter groups with ``lr_scale``: 1 for all of ``model`` that is outside ``trunk``, its part of it.

    The last layer of the trunk has ``layer_decay``, the one below its square. Biases, norms, tokens, position
    embeddings and whatever else the trunk names are without weight decay.
    """
    ids = layer_ids(trunk)
    top = max(ids.values()) + 1
    inside = {id(parameter): ids[name] for name, parameter in trunk.named_parameters()}
    spared = undecayed(trunk)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        layer = inside.get(id(parameter), top)
        decayed = parameter.ndim > 1 and id(parameter) not in spared
        group = {
            "params": [],
            "weight_decay": weight_decay if decayed else 0.0,
            "lr_scale": layer_decay ** (top - layer),
        }
        groups.setdefault((layer, decayed), group)["params"].append(parameter)
    return list(groups.values())


def undecayed(trunk: Any) -> set[int]:
    """``id`` of each parameter that the trunk itself keeps from weight decay."""
    names = set(trunk.no_weight_decay()) if hasattr(trunk, "no_weight_decay") else set()
    return {id(parameter) for name, parameter in trunk.named_parameters() if name in names}
