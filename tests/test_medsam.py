"""MedSAM is the published one: names, shapes, sizes, what it computes, and what it makes of a case."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch
from torch import Tensor, nn
from torch.nn import functional

from repmedsam_infer.boxes import Boxes
from repmedsam_infer.case import Case
from repmedsam_infer.errors import UsageError
from repmedsam_train.comparison.medsam import MedSAM, segment_by_medsam, square
from repmedsam_train.comparison.published import import_checkpoint
from repmedsam_train.comparison.vit import ViT
from tests.seeded import fill

CPU = torch.device("cpu")


def small() -> ViT:
    """5 x 5 tokens, three blocks, the middle one without windows."""
    return ViT(size=80, channels=12, depth=3, heads=3, window=2, whole=(1,))


def encoder_shapes() -> dict[str, tuple[int, ...]]:
    """The published encoder's entries: 12 blocks of 768 channels and 12 heads, windows of 14 but in four blocks."""
    shapes: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, 64, 64, 768),
        "patch_embed.proj.weight": (768, 3, 16, 16),
        "patch_embed.proj.bias": (768,),
        "neck.0.weight": (256, 768, 1, 1),
        "neck.2.weight": (256, 256, 3, 3),
        **{f"neck.{layer}.{part}": (256,) for layer in (1, 3) for part in ("weight", "bias")},
    }
    for block in range(12):
        positions = (127, 64) if block in {2, 5, 8, 11} else (27, 64)
        of_block: dict[str, tuple[int, ...]] = {
            **{f"norm{norm}.{part}": (768,) for norm in (1, 2) for part in ("weight", "bias")},
            "attn.qkv.weight": (2304, 768),
            "attn.qkv.bias": (2304,),
            "attn.proj.weight": (768, 768),
            "attn.proj.bias": (768,),
            "attn.rel_pos_h": positions,
            "attn.rel_pos_w": positions,
            "mlp.lin1.weight": (3072, 768),
            "mlp.lin1.bias": (3072,),
            "mlp.lin2.weight": (768, 3072),
            "mlp.lin2.bias": (768,),
        }
        shapes.update({f"blocks.{block}.{name}": shape for name, shape in of_block.items()})
    return shapes


def whole_size() -> MedSAM:
    with torch.device("meta"):
        return MedSAM()


def published() -> dict[str, Tensor]:
    """Every name of the checkpoint; each tensor is one number over and over, which takes no room in a file."""
    shapes = {f"image_encoder.{name}": shape for name, shape in encoder_shapes().items()}
    heads = {n: tuple(t.shape) for n, t in whole_size().state_dict().items() if not n.startswith("image_encoder.")}
    return {
        name: torch.tensor([float(number)]).expand(shape)
        for number, (name, shape) in enumerate({**shapes, **heads}.items())
    }


def test_names_and_shapes_are_the_published_ones() -> None:
    ours = {name: tuple(tensor.shape) for name, tensor in whole_size().image_encoder.state_dict().items()}
    assert ours == encoder_shapes()


def test_it_has_as_many_parameters_as_published() -> None:
    network = whole_size()
    assert sum(p.numel() for p in network.image_encoder.parameters()) == 89_670_912
    assert sum(p.numel() for p in network.parameters()) == 93_735_472  # stated in MedSAM's training script


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_is_taken_over_completely(prefix: str, tmp_path: Path) -> None:
    state = published()
    torch.save({prefix + name: tensor for name, tensor in state.items()}, tmp_path / "medsam_vit_b.pth")
    kind, model = import_checkpoint(tmp_path / "medsam_vit_b.pth")
    assert kind == "medsam"
    assert isinstance(model, MedSAM)
    loaded = model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_a_checkpoint_that_does_not_fit_is_refused_with_the_keys(tmp_path: Path) -> None:
    state = published()
    del state["image_encoder.blocks.3.attn.rel_pos_w"]
    state["image_encoder.blocks.12.norm1.weight"] = torch.zeros(768)
    state["image_encoder.pos_embed"] = torch.zeros(1, 14, 14, 768)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UsageError) as caught:
        import_checkpoint(tmp_path / "other.pth")
    message = str(caught.value)
    assert "other.pth does not fit medsam" in message
    assert "missing: image_encoder.blocks.3.attn.rel_pos_w" in message
    assert "unexpected: image_encoder.blocks.12.norm1.weight" in message
    assert "image_encoder.pos_embed is (1, 14, 14, 768) instead of (1, 64, 64, 768)" in message


def naive_attention(x: Tensor, state: dict[str, Tensor], prefix: str, heads: int) -> Tensor:
    """(side, side, C), one query, key and head after the other."""
    side, _, channels = x.shape
    width = channels // heads
    places = [(row, column) for row in range(side) for column in range(side)]
    qkv = {place: state[f"{prefix}qkv.weight"] @ x[place] + state[f"{prefix}qkv.bias"] for place in places}
    out = torch.zeros(side, side, channels)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for place in places:
            query = qkv[place][:channels][part]
            scores = []
            for other in places:
                key = qkv[other][channels : 2 * channels][part]
                down = state[f"{prefix}rel_pos_h"][place[0] - other[0] + side - 1]
                across = state[f"{prefix}rel_pos_w"][place[1] - other[1] + side - 1]
                scores.append(query @ key / math.sqrt(width) + query @ down + query @ across)
            weights = torch.stack(scores).softmax(0)
            values = torch.stack([qkv[other][2 * channels :][part] for other in places])
            out[place][part] = weights @ values
    return out @ state[f"{prefix}proj.weight"].T + state[f"{prefix}proj.bias"]


def naive_encoder(image: Tensor, encoder: ViT, heads: int, window: int, whole: tuple[int, ...]) -> Tensor:
    """(3, S, S) -> (256, S / 16, S / 16), window by window; of the module only its entries are used."""
    state = dict(encoder.state_dict())
    side = image.shape[1] // 16
    x = torch.stack(
        [
            torch.stack(
                [
                    state["patch_embed.proj.weight"].flatten(1)
                    @ image[:, 16 * r : 16 * r + 16, 16 * c : 16 * c + 16].flatten()
                    for c in range(side)
                ]
            )
            for r in range(side)
        ]
    )
    x = x + state["patch_embed.proj.bias"] + state["pos_embed"][0]
    for index in range(len(encoder.blocks)):
        block = f"blocks.{index}."

        def norm(tokens: Tensor, name: str, block: str = block) -> Tensor:
            weight, bias = state[f"{block}{name}.weight"], state[f"{block}{name}.bias"]
            return functional.layer_norm(tokens, tokens.shape[-1:], weight, bias, 1e-6)

        normalised = norm(x, "norm1")
        if index in whole:
            attended = naive_attention(normalised, state, f"{block}attn.", heads)
        else:
            padded_side = -(-side // window) * window
            padded = torch.zeros(padded_side, padded_side, x.shape[-1])
            padded[:side, :side] = normalised
            for row in range(0, padded_side, window):
                for column in range(0, padded_side, window):
                    here = slice(row, row + window), slice(column, column + window)
                    padded[here] = naive_attention(padded[here].clone(), state, f"{block}attn.", heads)
            attended = padded[:side, :side]
        x = x + attended
        hidden = functional.gelu(norm(x, "norm2") @ state[f"{block}mlp.lin1.weight"].T + state[f"{block}mlp.lin1.bias"])
        x = x + hidden @ state[f"{block}mlp.lin2.weight"].T + state[f"{block}mlp.lin2.bias"]

    def norm_channels(image: Tensor, layer: int) -> Tensor:
        weight, bias = state[f"neck.{layer}.weight"], state[f"neck.{layer}.bias"]
        return functional.layer_norm(image.permute(1, 2, 0), (256,), weight, bias, 1e-6).permute(2, 0, 1)

    x = norm_channels(functional.conv2d(x.permute(2, 0, 1)[None], state["neck.0.weight"])[0], 1)
    return norm_channels(functional.conv2d(x[None], state["neck.2.weight"], padding=1)[0], 3)


def test_the_encoder_computes_what_is_published() -> None:
    """With windows that do not divide the image, a whole block between them, and every parameter in use."""
    encoder = small()
    fill(encoder, 3)
    image = torch.rand(2, 3, 80, 80, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        given = encoder(image)
        wanted = torch.stack([naive_encoder(one, encoder, 3, 2, (1,)) for one in image])
    torch.testing.assert_close(given, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_the_whole_network_encodes_its_square() -> None:
    network = MedSAM()
    with torch.inference_mode():
        embedding = network.encode(torch.zeros(1, 3, 1024, 1024))
        logits, iou = network.decode(embedding, torch.tensor([[10.0, 20, 500, 900], [1, 1, 9, 9]]))
    assert embedding.shape == (1, 256, 64, 64)
    assert logits.shape == (2, 1, 256, 256)
    assert iou.shape == (2, 1)


@pytest.mark.parametrize("shape", [(30, 50), (30, 50, 3), (200, 90)])
def test_images_become_a_square_with_values_from_0_to_1(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(20, 200, shape, np.uint8)
    placed = square(image, 80)
    assert placed.shape == (3, 80, 80)
    assert placed.min() == 0
    assert placed.max() == 1
    top_left, bottom_right = placed[:, 0, 0].mean(), placed[:, -1, -1].mean()  # what was in a corner still is
    image[:8, :8], image[-8:, -8:] = 255, 0
    assert square(image, 80)[:, 0, 0].mean() > top_left
    assert square(image, 80)[:, -1, -1].mean() < bottom_right


class Bright(nn.Module):
    """In place of a decoder: the image's own first channel, of which what is brighter than the middle is the mask."""

    size = 64

    def __init__(self) -> None:
        super().__init__()
        self.boxes: list[Tensor] = []

    def encode(self, images: Tensor) -> Tensor:
        return images

    def decode(self, embedding: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        self.boxes.append(boxes)
        return (embedding[:, :1] - 0.5).expand(len(boxes), -1, -1, -1) * 20, torch.ones(len(boxes), 1)


def make_case(imgs: NDArray[np.uint8], corners: list[list[float]], volume: bool) -> Case:
    boxes = Boxes(np.array(corners, np.float64), np.arange(1, len(corners) + 1), len(corners))
    return Case("case.npz", imgs, boxes, None, (), volume)


def test_masks_are_where_the_image_is_bright_in_each_box() -> None:
    """A picture twice as wide as high: the square is stretched, and so are the boxes; the smaller box lies on top."""
    image = np.zeros((40, 80), np.uint8)
    image[10:30, 20:60] = 200
    network = Bright()
    segs = segment_by_medsam(make_case(image, [[30, 15, 39, 19], [10, 5, 69, 34]], False), network, CPU)
    wanted = np.zeros((40, 80), np.uint8)
    wanted[10:30, 20:60] = 2
    wanted[15:20, 30:40] = 1
    assert (segs == wanted).mean() > 0.99
    assert (segs[15:20, 30:40] == 1).all()
    torch.testing.assert_close(network.boxes[0][0], torch.tensor([10, 5, 69, 34.0]) * torch.tensor([0.8, 1.6] * 2))


def test_slices_of_a_volume_are_prompted_by_sections() -> None:
    """Only those that the box spans, the middle one by all of it."""
    volume = np.zeros((7, 64, 64), np.uint8)
    volume[:, 20:40, 20:40] = 200
    network = Bright()
    segs = segment_by_medsam(make_case(volume, [[16, 16, 1, 47, 47, 5]], True), network, CPU)
    assert sorted(np.unique(np.nonzero(segs)[0])) == [1, 2, 3, 4, 5]
    assert (segs[3, 21:39, 21:39] == 1).all()
    assert len(network.boxes) == 5
    torch.testing.assert_close(network.boxes[2][0], torch.tensor([16.0, 16, 47, 47]))
    assert network.boxes[0][0, 2] - network.boxes[0][0, 0] < 31


def test_a_case_without_boxes_has_no_masks() -> None:
    empty = Boxes(np.zeros((0, 4)), np.zeros(0, np.int64), 0)
    case = Case("case.npz", np.zeros((8, 8), np.uint8), empty, None, (), is_volume=False)
    assert not segment_by_medsam(case, MedSAM(small(), 80), CPU).any()
