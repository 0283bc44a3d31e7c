"""What only GPUs are asked for, as far as a CPU can tell: which blocks are compiled, and that they do the same."""

from collections.abc import Iterator

import pytest

pytest.importorskip("torch")

import torch
from torch._dynamo.utils import counters

from repmedsam_infer.network import reparameterize
from repmedsam_infer.network.repvit import RepViT, RepViTBlock
from repmedsam_train.comparison.litemedsam import LiteMedSAM
from repmedsam_train.recipe import Recipe
from repmedsam_train.run.gpu import busy, compile_blocks
from tests.seeded import fill


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


def test_blocks_that_come_often_share_what_is_compiled() -> None:
    """54 blocks; of those with at least two of their kind there are 49, of 6 kinds, and so many graphs."""
    encoder = RepViT()
    fill(encoder, 0)
    encoder.train()
    names = set(encoder.state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = encoder(images)
    assert sum(isinstance(module, RepViTBlock) for module in encoder.modules()) == 54
    assert compile_blocks(encoder, backend="eager") == 49
    assert counters["stats"]["unique_graphs"] == 0
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), expected)
    assert counters["stats"]["unique_graphs"] == 6
    assert set(encoder.state_dict()) == names


@pytest.mark.slow
def test_a_size_of_images_is_compiled_once() -> None:
    encoder = RepViT()
    compile_blocks(encoder, backend="eager")
    encoder.train()
    with torch.no_grad():
        for size in (64, 96, 64, 96, 64):
            encoder(torch.rand(2, 3, size, size))
    assert counters["stats"]["unique_graphs"] == 12


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # PyTorch hides it itself, if it is no error
def test_gradients_go_through_compiled_blocks() -> None:
    encoder = RepViT()
    fill(encoder, 0)
    images = torch.rand(2, 3, 64, 64)
    encoder.train()(images).square().mean().backward()
    expected = {
        name: parameter.grad.clone() for name, parameter in encoder.named_parameters() if parameter.grad is not None
    }
    encoder.zero_grad()
    compile_blocks(encoder, backend="aot_eager")
    encoder(images).square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-3 * scale + 1e-6, rtol=1e-2)


def test_networks_without_such_blocks_have_none_compiled() -> None:
    assert compile_blocks(LiteMedSAM(), backend="eager") == 0
    assert compile_blocks(reparameterize(RepViT()), backend="eager") == 49


def test_bf16_is_for_gpus_unless_it_is_asked_for() -> None:
    cpu = torch.device("cpu")
    for asked, runs in ((None, False), (True, True), (False, False)):
        with Recipe(bf16=asked).autocast(cpu):
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert (product.dtype == torch.bfloat16) == runs


def test_a_cpu_is_not_asked_how_busy_it_is() -> None:
    assert busy(torch.device("cpu")) is None
