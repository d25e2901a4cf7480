"""The numbers of the released CrossMAE and MAE code, to float32's precision.

The files hold tiny models with perturbed weights, their inputs, and what the released code computed from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import crossmae
from crossmae.model.positions import sincos_positions
from crossmae.weights.layouts.released import official_name

DATA = Path(__file__).parent / "data"
CROSS = {"decoder": "cross", "prediction_ratio": 0.25, "norm_pix_loss": True, "mask_ratio": 0.75}
CASES: dict[str, dict[str, Any]] = {
    "cross_wfm_allfm_input_npl_k25": {**CROSS, "feature_maps": "all", "use_input": True},
    "cross_wfm_allfm_noinput_npl_k25": {**CROSS, "feature_maps": "all", "use_input": False},
    "cross_wfm_fm0_2_noinput_npl_k25": {**CROSS, "feature_maps": [0, 2], "use_input": False},
    "cross_wfm_allfm_input_npl_selfattn_k75": {
        **CROSS,
        "decoder": "cross+self",
        "feature_maps": "all",
        "use_input": True,
        "prediction_ratio": 0.75,
    },
    "mae_npl": {"decoder": "self", "mask_ratio": 0.75, "norm_pix_loss": True},
}
HEADS = {"num_heads": 3, "decoder_num_heads": 4}
KEY_BIAS_FLOOR = 1e-7
"""Gradient norm below which a difference is rounding: key biases have a gradient of zero in exact arithmetic."""


@dataclass(frozen=True)
class Reference:
    """One file: what went in and what came out."""

    path: Path
    tensors: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def predicted(self, name: str) -> Tensor:
        """Rows of the predicted patches; MAE's files hold all patches."""
        rows, ids = self[name], self["io/ids_predicted"]
        return rows if rows.shape[1] == ids.shape[1] else rows.gather(1, ids[..., None].expand(-1, -1, rows.shape[2]))


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Reference, dict[str, Any]]:
    path = DATA / f"{request.param}.safetensors"
    return Reference(path, load_file(path)), CASES[request.param]


def run(path: Path, reference: Reference, options: dict[str, Any]) -> tuple[Any, Any]:
    model = crossmae.load_pretrained(path, **HEADS, **options)
    output = model(
        reference["io/images"], ids_visible=reference["io/ids_visible"], ids_predicted=reference["io/ids_predicted"]
    )
    return model, output


def test_loss_and_prediction_equal_the_released_code(case: tuple[Reference, dict[str, Any]]) -> None:
    reference, options = case
    _, output = run(reference.path, reference, options)
    assert output.loss.item() == pytest.approx(reference["io/loss"].item(), rel=1e-6)
    torch.testing.assert_close(output.prediction, reference.predicted("io/pred"), rtol=0, atol=1e-5)
    if "io/target" in reference.tensors:
        torch.testing.assert_close(output.target, reference.predicted("io/target"), rtol=1e-5, atol=1e-6)


def test_every_gradient_equals_the_released_code(case: tuple[Reference, dict[str, Any]]) -> None:
    reference, options = case
    model, output = run(reference.path, reference, options)
    output.loss.backward()
    compared = set()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        expected = reference[f"grads/{official_name(name)}"]
        difference = (parameter.grad - expected).norm().item()
        assert difference <= max(1e-5 * expected.norm().item(), KEY_BIAS_FLOOR), name
        compared.add(f"grads/{official_name(name)}")
    assert compared == {name for name in reference.tensors if name.startswith("grads/")}


def test_files_with_plain_released_names_give_the_same(case: tuple[Reference, dict[str, Any]], tmp_path: Path) -> None:
    reference, options = case
    plain = {n.removeprefix("weights/"): t for n, t in reference.tensors.items() if n.startswith("weights/")}
    save_file(plain, tmp_path / "plain.safetensors")
    _, output = run(tmp_path / "plain.safetensors", reference, options)
    assert output.loss.item() == pytest.approx(reference["io/loss"].item(), rel=1e-6)


def test_fixed_positions_are_those_of_the_released_code() -> None:
    tensors = load_file(DATA / "mae_npl.safetensors")
    for name, dim in (("pos_embed", 48), ("decoder_pos_embed", 32)):
        torch.testing.assert_close(sincos_positions(dim, 4), tensors[f"weights/{name}"], rtol=0, atol=1e-7)
