"""Which part of an update a kernel belongs to, by the module that asked for its operations."""

import re
from collections import Counter
from collections.abc import Iterable

from torch import fx

IMAGES, GRADIENT_NORM, OPTIMIZER = "images to the model's scale", "gradient norm", "optimizer"
NOT_COMPILED = (IMAGES, GRADIENT_NORM, OPTIMIZER)
_EMBEDDING, _LOSS, _MIXING = "masking, patch embedding", "prediction, loss", "mixing of feature maps"
PARTS = (
    IMAGES,
    _EMBEDDING,
    "encoder attention",
    "encoder MLP",
    "encoder norms, residual sums",
    _MIXING,
    "decoder attention",
    "decoder MLP",
    "decoder norms, residual sums",
    _LOSS,
    GRADIENT_NORM,
    OPTIMIZER,
)
"""In the order of an update."""


def part_of(operations: Iterable[fx.Node]) -> str:
    """The part that most of a kernel's operations belong to; those of the backward pass belong to their module's."""
    return Counter(map(_part, operations)).most_common(1)[0][0]


def _part(operation: fx.Node) -> str:
    stack = operation.meta.get("nn_module_stack") or operation.meta.get("fwd_nn_module_stack")
    path = list(stack.values())[-1][0] if stack else ""
    within = re.search(r"(encoder|decoder)\.blocks\.\d+(?:\.(\w+))?", path.replace("']", "").replace("['", "."))
    if within:
        side, module = within.groups()
        kind = "attention" if module and "attn" in module else "MLP" if module == "mlp" else "norms, residual sums"
        return f"{side} {kind}"
    if "decoder.mixing" in path:
        return _MIXING
    if "encoder" in path or "random_ids" in operation.meta.get("stack_trace", ""):
        return _EMBEDDING
    return _LOSS
