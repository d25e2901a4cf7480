"""Weight files that were made to mislead."""

from pathlib import Path

import pytest
import torch

from crossmae.errors import UserError
from crossmae.weights.export import export
from crossmae.weights.spec import count_blocks


@pytest.mark.parametrize("number", ["40000000", "3"])
def test_there_are_no_more_blocks_than_weights(number: str) -> None:
    with pytest.raises(UserError, match=f"block {number} among 2"):
        count_blocks(
            {"blocks.0.norm1.weight": torch.ones(1), f"blocks.{number}.norm1.weight": torch.ones(1)}, "blocks."
        )


def test_timm_names_are_not_written_under_another_suffix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.safetensors"):
        export("random:vit_demo", tmp_path / "weights.pth", "timm")
    assert not list(tmp_path.iterdir())
