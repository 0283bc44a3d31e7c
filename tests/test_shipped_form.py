"""How numbers of a trained network are rounded before they are shipped."""

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file

from repmedsam_infer.engines.weights import STORE, Weights
from repmedsam_infer.errors import SetupError
from repmedsam_train.weights.shipped_form import ENCODER, stored


def test_fp16_holds_kernels_of_a_trained_network() -> None:
    """They are bf16, whose range is wider; ONNX files have them as fp16."""
    random = torch.Generator().manual_seed(0)
    kernel = torch.randn((64, 32, 3, 3), generator=random) * torch.logspace(-9, 0, 64).reshape(-1, 1, 1, 1)
    made = stored({f"{ENCODER}kernel": kernel, "other": kernel[:, 0, 0]})
    assert made["other"].dtype == torch.float16
    rounded = made[f"{ENCODER}kernel"]
    assert rounded.dtype == torch.bfloat16
    assert torch.equal(rounded.float().half().float(), rounded.float())
    assert (rounded.float() - kernel).abs().le(kernel.abs() * 2**-7 + 2**-24).all()


def test_the_shipped_numbers_stay_as_they_are(weights: Weights) -> None:
    tensors = load_file(weights.folder / STORE)
    kernels = {name: one for name, one in tensors.items() if one.dtype == torch.bfloat16}
    assert len(kernels) > 50
    made = stored({name: one.float() for name, one in kernels.items()})
    for name, one in kernels.items():
        assert torch.equal(made[name].view(torch.int16), one.view(torch.int16)), name


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e6])
def test_numbers_that_do_not_fit_are_refused(number: float) -> None:
    with pytest.raises(SetupError, match=f"{ENCODER}kernel"):
        stored({f"{ENCODER}kernel": torch.full((1, 1, 1, 1), number)})
