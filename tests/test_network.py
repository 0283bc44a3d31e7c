"""The network is the published one: same parameters, names, shapes and outputs, in both forms."""

import hashlib
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from repmedsam_infer.decoder_roi import rois_around as numpy_rois_around  # noqa: E402
from repmedsam_infer.decoder_roi import whole_frame  # noqa: E402
from repmedsam_infer.network import RepMedSAM, reparameterize  # noqa: E402
from repmedsam_infer.network.contrast import Contrast  # noqa: E402
from repmedsam_infer.network.focus import inside_rois, resample, rois_around  # noqa: E402
from repmedsam_infer.network.high_res import HighRes, unpack  # noqa: E402
from repmedsam_infer.network.prompt_encoder import box_prior  # noqa: E402
from repmedsam_infer.network.repmedsam import Grid  # noqa: E402
from tests.conftest import PARITY  # noqa: E402
from tests.seeded import fill, seeded_image  # noqa: E402

MAX_ENCODER_ERROR = 2e-3  # outputs are of order 5 and the encoder is 100 layers deep
MAX_HEADS_ERROR = 1e-4


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def names_digest(module: nn.Module) -> str:
    lines = [f"{name} {tuple(tensor.shape)}" for name, tensor in module.state_dict().items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def heads_of(model: RepMedSAM) -> nn.Module:
    return nn.ModuleDict({"prompt_encoder": model.prompt_encoder, "mask_decoder": model.mask_decoder})


@pytest.fixture(scope="module")
def model() -> RepMedSAM:
    return RepMedSAM(16)


@pytest.fixture(scope="module")
def digests() -> dict[str, str]:
    return dict(json.loads((PARITY / "state_dict_names.json").read_text()))


def test_encoder_has_the_papers_parameters_in_both_forms(model: RepMedSAM) -> None:
    assert count(model.image_encoder) == 23_158_920
    assert count(reparameterize(model).image_encoder) == 23_040_480


def test_state_dict_names_and_shapes_are_the_published_ones(model: RepMedSAM, digests: dict[str, str]) -> None:
    assert names_digest(model.image_encoder) == digests["image_encoder"]
    assert sorted(n.split(".")[0] for n in model.state_dict()) == sorted(
        ["image_encoder"] * 1461 + ["prompt_encoder"] * 17 + ["mask_decoder"] * 120
    )
    assert names_digest(heads_of(model)) == digests["heads"]


def test_encoder_computes_what_the_published_one_does_in_both_forms(model: RepMedSAM) -> None:
    expected = np.load(PARITY / "encoder.npz")
    fill(model.image_encoder, int(expected["seed"]))
    image = seeded_image(int(expected["seed"]))
    for form in (model, reparameterize(model)):
        with torch.inference_mode():
            embedding = form.encode(image).numpy()
        assert embedding.shape == (1, 256, 16, 16)
        assert np.abs(embedding[:, ::4] - expected["embedding_strided"]).max() < MAX_ENCODER_ERROR


@pytest.mark.parametrize("grid", [16, 64])
def test_heads_compute_what_the_published_ones_do(grid: Grid) -> None:
    expected = np.load(PARITY / f"heads_{grid}.npz")
    seed, stride = int(expected["seed"]), int(expected["stride"])
    model = RepMedSAM(grid)
    fill(heads_of(model), seed)
    embedding = np.random.default_rng([seed, grid]).standard_normal((1, 256, grid, grid)).astype(np.float32)
    with torch.inference_mode():
        logits, iou = model.decode(torch.from_numpy(embedding), torch.from_numpy(expected["boxes"]))
    assert logits.shape == (3, 1, 4 * grid, 4 * grid)
    assert np.abs(logits.numpy()[..., ::stride, ::stride] - expected["logits_strided"]).max() < MAX_HEADS_ERROR
    assert np.abs(iou.numpy() - expected["iou"]).max() < MAX_HEADS_ERROR


def test_reparameterize_returns_a_copy_and_leaves_the_original_alone(model: RepMedSAM) -> None:
    before = count(model)
    fused = reparameterize(model)
    assert count(model) == before
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    assert {p.data_ptr() for p in fused.parameters()}.isdisjoint({p.data_ptr() for p in model.parameters()})


def test_boxes_of_many_images_decode_in_one_batch_as_they_do_alone(model: RepMedSAM) -> None:
    fill(model, 3)
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(3, 256, 16, 16, generator=generator)
    corners = torch.rand(7, 2, generator=generator) * 150
    boxes = torch.cat([corners, corners + 10 + torch.rand(7, 2, generator=generator) * 90], 1)
    index = torch.tensor([0, 2, 2, 1, 0, 1, 2])
    with torch.inference_mode():
        together, iou = model.decode(embedding, boxes, index)
        for i in range(7):
            alone, iou_alone = model.decode(embedding[index[i]][None], boxes[i][None])
            torch.testing.assert_close(together[i], alone[0], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(iou[i], iou_alone[0], atol=1e-4, rtol=1e-4)


def test_many_embeddings_without_an_index_are_refused(model: RepMedSAM) -> None:
    with pytest.raises(ValueError, match="image_index"):
        model.decode(torch.zeros(2, 256, 16, 16), torch.zeros(1, 4))


@pytest.mark.parametrize("grid", [16, 32, 64])
def test_the_grid_sets_the_logits_and_adds_no_parameter(grid: Grid) -> None:
    model = RepMedSAM(grid).eval()
    assert count(model) == 23_158_920 + 4_058_340 + 6_220
    with torch.inference_mode():
        logits, _ = model(torch.zeros(1, 3, 256, 256), torch.tensor([[10.0, 20.0, 100.0, 90.0]]))
    assert logits.shape == (1, 1, 4 * grid, 4 * grid)


def test_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="grid"):
        RepMedSAM(48)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{}, {"grid": "16"}, {"grid": "48", "focus": "true"}], ids=str)
def test_settings_of_no_network_of_ours_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="settings"):
        RepMedSAM.from_settings(settings)


@pytest.mark.parametrize("focus", [False, True])
def test_settings_describe_the_network(focus: bool) -> None:
    network = RepMedSAM(32, focus=focus)
    again = RepMedSAM.from_settings(network.settings)
    assert (again.grid, again.focus) == (32, focus)
    again.load_state_dict(network.state_dict())


@pytest.mark.parametrize("grid", [16, 32, 64])
@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.slow
def test_the_whole_network_gives_the_same_in_both_forms(grid: Grid, size: int) -> None:
    network = RepMedSAM(grid, focus=True).eval()
    fill(network, 5)
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    boxes, index = torch.tensor([[10.0, 20, 99, 89], [0, 0, 255, 255]]), torch.tensor([1, 0])
    with torch.inference_mode():
        logits, iou = network(images, boxes, index)
        fused_logits, fused_iou = reparameterize(network)(images, boxes, index)
        embedding = network.encode(torch.zeros(1, 3, 256, 256))
    assert logits.shape == (2, 1, 4 * grid, 4 * grid)
    assert embedding.shape[1:] == network.embedding_shape
    torch.testing.assert_close(fused_logits, logits, atol=2e-3 * float(logits.std()), rtol=1e-3)
    torch.testing.assert_close(fused_iou, iou, atol=2e-3, rtol=1e-3)


def test_packed_features_come_out_as_they_went_in() -> None:
    coarse, middle = torch.randn(2, 256, 16, 16), torch.randn(2, 160, 32, 32)
    fine, finest = torch.randn(2, 80, 64, 64), torch.randn(2, 40, 128, 128)
    high_res = HighRes(160, 80, 40)
    with torch.inference_mode():
        pyramid = unpack(high_res.pack(coarse, middle, fine, finest))
        torch.testing.assert_close(pyramid.coarse, coarse)
        torch.testing.assert_close(pyramid.middle, high_res.middle(middle))
        torch.testing.assert_close(pyramid.fine, high_res.fine(fine))
        torch.testing.assert_close(pyramid.finest, high_res.finest(finest))


BOXES = torch.tensor([[10.0, 20, 99, 89], [0, 0, 255, 255], [7.5, 8, 7.5, 9.25]])


def test_rois_hold_their_boxes_and_are_those_of_the_pipeline() -> None:
    rois = rois_around(BOXES)
    np.testing.assert_allclose(numpy_rois_around(BOXES.numpy()), rois.numpy(), atol=1e-4)
    assert rois[0].tolist() == pytest.approx([10 - 90 / 8 - 4, 20 - 70 / 8 - 4, 100 + 90 / 8 + 4, 90 + 70 / 8 + 4])
    placed = inside_rois(BOXES, rois, 64)
    assert (placed[:, :2] >= 0).all()
    assert (placed[:, 2:] <= 63).all()
    torch.testing.assert_close((placed[:, 0] + placed[:, 2]) / 2, torch.full((3,), 31.5))  # in the middle


def test_an_roi_that_is_the_frame_shows_the_frame() -> None:
    x = torch.randn(3, 5, 16, 16)
    torch.testing.assert_close(resample(torch.from_numpy(whole_frame(3)) / 256, 16, 16).of(x), x)
    larger = torch.nn.functional.interpolate(x, (64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resample(torch.from_numpy(whole_frame(3)) / 256, 64, 16).of(x), larger)


def test_rois_show_what_lies_in_them() -> None:
    """A ramp is its position: sampled anywhere, at any size, it is the position of the sample."""
    positions = (torch.arange(32) + 0.5) / 32
    ramp = torch.stack(torch.meshgrid(positions, positions, indexing="xy"))[None]
    roi = torch.tensor([[0.25, 0.125, 0.5, 0.875]])
    across, down = resample(roi, 10, ramp.shape[-1]).of(ramp)[0]
    steps = (torch.arange(10) + 0.5) / 10
    torch.testing.assert_close(across, (0.25 + 0.25 * steps).expand(10, 10))
    torch.testing.assert_close(down, (0.125 + 0.75 * steps)[:, None].expand(10, 10))


def test_the_same_scene_in_another_place_gives_the_same_logits() -> None:
    """But for the box's corners, which the decoder is given, only what lies in the ROI counts."""
    network = RepMedSAM(16, focus=True).eval()
    fill(network, 6)
    with torch.inference_mode():
        network.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.zero_()  # and so no position
        scene = torch.randn(1, network.embedding_shape[0], 16, 16)
        moved = scene.roll((4, 3), (2, 3))
        box = torch.tensor([[64.0, 64, 111, 111]])
        logits, _ = network.decode(scene, box)
        again, _ = network.decode(moved, box + torch.tensor([48.0, 64, 48, 64]))
        elsewhere, _ = network.decode(moved, box)
    torch.testing.assert_close(again, logits, atol=1e-2, rtol=1e-3)
    assert (elsewhere - logits).abs().max() > 1


def test_the_prior_is_a_mask_prompt_and_is_added_to_the_logits(model: RepMedSAM) -> None:
    with_prior = RepMedSAM(16, focus=True).eval()
    nothing = {"contrast.log_scale": torch.tensor(-100.0)}  # the other additions start at nothing
    with_prior.load_state_dict({**with_prior.state_dict(), **model.state_dict(), **nothing})
    packed = torch.zeros(1, *with_prior.embedding_shape)
    packed[:, :256] = torch.randn(1, 256, 16, 16)
    boxes = torch.tensor([[10.0, 20, 99, 89]])
    prior = box_prior(boxes, 64, 256)
    with torch.inference_mode():
        # Without the flag the same comes of an embedding that the mask prompt has been added to by hand.
        mask_prompt = model.prompt_encoder.mask(prior).transpose(1, 2).unflatten(2, (16, 16))
        prompted = packed[:, :256] + mask_prompt - model.prompt_encoder.no_mask()
        by_hand, _ = model.decode(prompted, boxes)
        logits, _ = with_prior.decode(packed, boxes, rois=torch.from_numpy(whole_frame(1)))
    torch.testing.assert_close(logits, by_hand + prior, atol=1e-3, rtol=1e-3)


def test_contrast_separates_inside_from_surroundings() -> None:
    boxes = torch.tensor([[64.0, 64, 191, 159], [0, 0, 80, 80]])
    prior = box_prior(boxes, 64, 256)
    features = torch.randn(2, 32, 64, 64, generator=torch.Generator().manual_seed(0))
    features += torch.where(prior > 0, 1.0, -1.0)  # separable, but for the noise
    with torch.inference_mode():
        logits = Contrast().eval()(features, torch.zeros(2, 32), torch.zeros(2, 8, 64, 64), prior)
    near = prior > -5
    assert ((logits > 0) == (prior > 0))[near].float().mean() > 0.99
    assert (logits - prior)[near & (prior > 0)].mean() > 1
    assert (logits - prior)[near & (prior < 0)].mean() < -1


def test_where_all_features_are_alike_the_box_decides() -> None:
    prior = box_prior(torch.tensor([[0.0, 0, 255, 255], [3, 3, 3, 3]]), 64, 256)
    with torch.inference_mode():
        logits = Contrast().eval()(torch.ones(2, 32, 64, 64), torch.zeros(2, 32), torch.zeros(2, 8, 64, 64), prior)
    torch.testing.assert_close(logits, prior, atol=1e-3, rtol=0)


def test_the_prior_is_the_ellipse_that_fills_its_box() -> None:
    boxes = torch.tensor([[40.0, 60, 199, 139], [0, 0, 255, 255]])
    for (x_min, y_min, x_max, y_max), inside in zip(boxes.long().tolist(), box_prior(boxes, 256, 256) > 0, strict=True):
        ys, xs = torch.nonzero(inside[0], as_tuple=True)
        assert [int(v) for v in (xs.min(), ys.min(), xs.max(), ys.max())] == [x_min, y_min, x_max, y_max]
        area = (x_max - x_min + 1) * (y_max - y_min + 1)
        assert int(inside.sum()) == pytest.approx(np.pi / 4 * area, rel=0.01)


@pytest.mark.parametrize("x", np.arange(100, 105, 0.5).tolist())
def test_the_prior_of_the_smallest_box_is_never_empty(x: float) -> None:
    assert (box_prior(torch.tensor([[x, x, x, x]]), 64, 256) > 0).any()
