"""The device sampler draws what the sampler on the host draws: the same samples, in the same distribution."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import Tensor  # noqa: E402

from repmedsam_infer.network.focus import inside_rois  # noqa: E402
from repmedsam_train.data.augmentation import NO_AUGMENTATION, Augmentation  # noqa: E402
from repmedsam_train.data.batch import Batch  # noqa: E402
from repmedsam_train.data.labelled import labelled  # noqa: E402
from repmedsam_train.data.pool import Pool, PoolBuilder, prepare  # noqa: E402
from repmedsam_train.data.sampler import chance as chance_module  # noqa: E402
from repmedsam_train.data.sampler import placing, sample, turning  # noqa: E402
from repmedsam_train.data.sampler import source as source_module  # noqa: E402
from repmedsam_train.data.sampler.chance import Chance  # noqa: E402
from repmedsam_train.data.sampler.entries import draw_entries  # noqa: E402
from repmedsam_train.data.sampler.placing import Resizing, by_matrices, by_taps, sizes_in_frame  # noqa: E402
from repmedsam_train.data.sampler.sample import draw_batch  # noqa: E402
from repmedsam_train.data.sampler.source import View, copied, crop, fetch, flip, gathered  # noqa: E402
from tests import reference_sampler as reference  # noqa: E402
from tests.labelled_cases import arrays  # noqa: E402

CPU = torch.device("cpu")
# How far samples may be from those of the host, whose pixels and masks are whole numbers from 0 to 255.
PIXELS = 2 / 255
BOXES = 1e-3  # frame pixels
MASKS = 1.5 / 255
STILL = Augmentation(tight_box=1, loose_box=0)
Case = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def pool_of(*cases: Case, augmentation: Augmentation = NO_AUGMENTATION) -> Pool:
    builder = PoolBuilder()
    for number, (imgs, gts) in enumerate(cases):
        dimension = "3D" if len(gts) > 1 else "2D"
        case = labelled(f"{dimension}Box_CT_a_{number}.npz", imgs, gts)
        builder.add(prepare(case, augmentation, 0))
    pool = builder.finished(np.full(len(cases), 1 / len(cases)), CPU)
    assert pool is not None
    return pool


def draw(pool: Pool, count: int, size: int, boxes: int, augmentation: Augmentation, seed: int = 0) -> Batch:
    chance = Chance(CPU, seed)
    return draw_batch(pool, *draw_entries(pool, count, chance), size, boxes, augmentation, chance, focus=True)


SHAPES = st.sampled_from(
    [(1, 100, 60), (1, 64, 64), (1, 352, 352), (1, 300, 352), (1, 256, 256), (1, 500, 40), (1, 20, 30), (9, 120, 90)]
)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000), shape=SHAPES, objects=st.sampled_from([1, 3, 12]),
    size=st.sampled_from([64, 128, 256]), colour=st.booleans(), focus=st.booleans(),
    volume_box=st.sampled_from([0.0, 1.0]),
)  # fmt: skip
def test_samples_are_those_of_the_host(
    seed: int, shape: tuple[int, int, int], objects: int, size: int, colour: bool, focus: bool, volume_box: float
) -> None:
    imgs, gts = arrays(seed, shape, objects, colour=colour and shape[0] == 1)
    augmentation = replace(NO_AUGMENTATION, volume_box=volume_box)
    case, rng = reference.training_case(imgs, gts), np.random.default_rng(seed)
    anchor = int(rng.choice(list(case.slices)))
    z = int(rng.choice(case.slices[anchor]))
    theirs = reference.sample_of(case, anchor, z, rng, size, 12, augmentation, focus=focus)
    slices, anchors = torch.tensor([z]), torch.tensor([case.layers[anchor] + 1])
    ours = draw_batch(pool_of((imgs, gts)), slices, anchors, size, 12, augmentation, Chance(CPU, 0), focus=focus)
    np.testing.assert_allclose(ours.images[0], theirs.image, atol=PIXELS)
    filled, prompted = ours.filled(), theirs.prompted
    assert len(ours.valid) == 12
    assert len(filled.boxes) == len(prompted.boxes)
    # Objects come in another order: the boxes and masks of each are compared with the nearest.
    distance = np.abs(filled.boxes.numpy()[:, None] - prompted.boxes[None]).max(2)
    distance += np.abs(filled.masks.numpy()[:, None] - prompted.masks[None] / 255).mean((2, 3))
    same = distance.argmin(1)
    assert sorted(same) == list(range(len(same)))
    np.testing.assert_allclose(filled.boxes, prompted.boxes[same], atol=BOXES)
    np.testing.assert_allclose(filled.rois, prompted.rois[same], atol=BOXES)
    np.testing.assert_allclose(filled.masks, prompted.masks[same] / 255, atol=MASKS)
    np.testing.assert_allclose(filled.covered, prompted.covered[same] / 255, atol=MASKS)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), shape=SHAPES, size=st.sampled_from([64, 128, 256]), colour=st.booleans())
def test_what_is_shorter_on_a_cpu_gives_the_same(
    seed: int, shape: tuple[int, int, int], size: int, colour: bool
) -> None:
    """Slices copied and gathered, resized by a few pixels and by matrices: what a GPU does can be tried on a CPU."""
    pool = pool_of(*(arrays(seed + k, shape, 3, colour=colour and shape[0] == 1) for k in range(3)))
    chance = Chance(CPU, seed)
    slices, anchors = draw_entries(pool, 4, chance)
    for ours, theirs in zip(copied(pool, pool.slices[slices]), gathered(pool, pool.slices[slices]), strict=True):
        torch.testing.assert_close(ours, theirs)
    source = crop(fetch(pool, slices), anchors, STILL, chance)
    view = flip(source.view, STILL, chance)
    rows, columns = sizes_in_frame(view, size)
    smaller = (view.height >= rows) & (view.width >= columns)
    axes = (
        Resizing(size, view.top, view.height, rows, view.flip_y, smaller),
        Resizing(size, view.left, view.width, columns, view.flip_x, smaller),
    )
    # Grey levels from 0 to 255; by matrices pixels count, too, whose share is but a rounding of float32.
    torch.testing.assert_close(by_taps(source, *axes), by_matrices(source, *axes), atol=1e-2, rtol=0)


@pytest.mark.parametrize("focus", [True, False])
def test_a_batch_is_the_same_where_nothing_may_be_asked(focus: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: everything is worked out for all rows, and chosen from."""
    cases = [arrays(1, (1, 120, 90), 6, colour=True), arrays(2, (8, 60, 80), 3, colour=False)]
    pool = pool_of(*cases, arrays(3, (1, 64, 200), 1, colour=False))
    augmentation = Augmentation(beyond=0.2, loose_z=0.3, blur=0.4, noise=0.4, inversion=0.4, coarse=0.4, curve=0.4)

    def drawn() -> Batch:
        chance = Chance(CPU, 9)
        return draw_batch(pool, *draw_entries(pool, 24, chance), 96, 4, augmentation, chance, focus=focus)

    asked = drawn()
    for module in (chance_module, placing, sample, source_module, turning):
        monkeypatch.setattr(module, "on_host", lambda _: False)
    blind = drawn()
    assert not asked.valid.all()
    for name in Batch.__dataclass_fields__:
        ours, theirs = getattr(asked, name), getattr(blind, name)
        torch.testing.assert_close(ours, theirs, atol=1.01 / 255 * 3 if name == "images" else 1e-3, rtol=0)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), shape=SHAPES, size=st.sampled_from([64, 256]), boxes=st.sampled_from([1, 4, 20]))
def test_batches_hold_their_promises(seed: int, shape: tuple[int, int, int], size: int, boxes: int) -> None:
    """Whatever was varied, and whatever slices beyond objects' ends show."""
    pool = pool_of(*(arrays(seed + k, shape, 5, colour=False) for k in range(2)))
    for augmentation in (Augmentation(), Augmentation(beyond=0.5, loose_z=0.5, rotation=1, elastic=1)):
        batch = draw(pool, 3, size, boxes, augmentation, seed)
        count = 3 * boxes
        assert batch.images.shape == (3, 3, size, size)
        assert batch.boxes.shape == batch.rois.shape == (count, 4)
        assert batch.masks.shape == batch.covered.shape == (count, 128, 128)
        assert batch.image_index.tolist() == [i for i in range(3) for _ in range(boxes)]
        for values in (batch.images, batch.masks, batch.covered):
            assert values.dtype == torch.float32
            assert 0 <= values.min() <= values.max() <= 1 + 1e-5
        assert batch.valid.view(3, boxes).any(1).all()
        assert not batch.masks[~batch.valid].any()
        # Ends are inclusive: what is thinner than a pixel of the frame, and cut off at the image's end, has an extent.
        assert (batch.boxes[:, :2] < batch.boxes[:, 2:] + 1).all()
        assert (batch.masks + batch.covered <= 1 + 1e-5).all()
        if not augmentation.beyond:
            assert batch.masks[batch.valid].flatten(1).any(1).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), elastic=st.sampled_from([0.0, 1.0]))
def test_boxes_hold_their_objects_before_jitter(seed: int, elastic: float) -> None:
    """Whatever was flipped, cropped, turned or bent, boxes are as large as what the masks show."""
    still = replace(STILL, volume_box=0, rotation=0.5, elastic=elastic)
    pool = pool_of(*(arrays(seed + k, (1, 200, 260), 6, colour=False) for k in range(2)))
    batch = draw(pool, 4, 256, 6, still, seed).filled()
    placed = inside_rois(batch.boxes, batch.rois, 128)
    for mask, (x_min, y_min, x_max, y_max), roi in zip(batch.masks, placed.tolist(), batch.rois, strict=True):
        ys, xs = torch.nonzero(mask > 0.5, as_tuple=True)
        # A pixel of the slice, at most 3.1 of the frame in the closest crop, and one and a half of the mask.
        across, down = (1.5 + 3.1 * 128 / side for side in (roi[2:] - roi[:2]).tolist())
        if len(ys):
            assert abs(int(xs.min()) - x_min) <= across
            assert abs(int(ys.min()) - y_min) <= down
            assert abs(int(xs.max()) - x_max) <= across
            assert abs(int(ys.max()) - y_max) <= down


@pytest.mark.parametrize("kind", ["flip", "transpose"])
def test_images_move_as_their_masks_do(kind: str) -> None:
    """An object that is the only bright thing stays where its mask says, over the whole frame."""
    imgs = np.zeros((1, 120, 200), np.uint8)
    imgs[0, 20:50, 30:120] = 200
    gts = (imgs > 0).astype(np.uint8)
    pool = pool_of((imgs, gts))
    seen: set[tuple[int, ...]] = set()
    for seed in range(12):
        augmentation = replace(NO_AUGMENTATION, **{kind: 0.5})
        chance = Chance(CPU, seed)
        entries = draw_entries(pool, 2, chance)
        batch = draw_batch(pool, *entries, 256, 1, augmentation, chance, focus=False)
        assert (batch.images[:, 0] - batch.masks).abs().mean() < 0.01
        seen.update(tuple(box) for box in batch.boxes.round().int().tolist())
    assert len(seen) == (4 if kind == "flip" else 2)


def test_turned_images_show_the_same_as_their_masks() -> None:
    imgs = np.zeros((1, 200, 200), np.uint8)
    imgs[0, 60:110, 70:150] = 200
    pool = pool_of((imgs, (imgs > 0).astype(np.uint8)))
    chance = Chance(CPU, 5)
    turned = replace(NO_AUGMENTATION, rotation=1, elastic=1)
    batch = draw_batch(pool, *draw_entries(pool, 8, chance), 256, 1, turned, chance, focus=False)
    assert (batch.images[:, 0] - batch.masks).abs().mean() < 0.01
    assert batch.boxes.round().unique(dim=0).shape[0] == 8


def test_batches_are_the_same_for_the_same_seeds_only() -> None:
    pool = pool_of(*(arrays(k, (1, 90, 80), 4, colour=True) for k in range(3)))
    first, again, other = (draw(pool, 4, 64, 3, Augmentation(), seed) for seed in (1, 1, 2))
    for name in Batch.__dataclass_fields__:
        assert torch.equal(getattr(first, name), getattr(again, name)), name
    assert not torch.equal(first.images, other.images)


def test_objects_and_slices_are_drawn_as_often_as_on_the_host() -> None:
    """Pearson's chi-square, of counts that the host's rule expects: a case, one of its objects, one of its slices."""
    cases = [arrays(k, (8, 40, 50), 4, colour=False) for k in range(2)]
    pool = pool_of(*cases)
    expected: defaultdict[tuple[int, int], float] = defaultdict(float)
    first, draws = 0, 20_000
    for imgs, gts in cases:
        case = reference.training_case(imgs, gts)
        for label, zs in case.slices.items():
            for z in zs:
                expected[first + int(z), case.layers[label] + 1] += draws / len(cases) / len(case.slices) / len(zs)
        first += len(gts)
    slices, anchors = draw_entries(pool, draws, Chance(CPU, 0))
    found = Counter(zip(slices.tolist(), anchors.tolist(), strict=True))
    assert found.keys() <= expected.keys()
    assert chi_square(found, expected) < 1.6 * len(expected)


def chi_square(found: Counter[tuple[int, int]], expected: Mapping[tuple[int, int], float]) -> float:
    return sum((found[key] - wanted) ** 2 / wanted for key, wanted in expected.items())


def test_crops_hold_as_much_as_those_of_the_host() -> None:
    """Boxes' sides and how many objects are in sight have the same means, by what their spread lets expect."""
    draws = 200
    imgs, gts = arrays(3, (1, 160, 200), 8, colour=False)
    augmentation = replace(NO_AUGMENTATION, crop=0.6, flip=0.5, transpose=0.25, rotation=0.25)
    case, rng = reference.training_case(imgs, gts), np.random.default_rng(0)
    theirs = [reference.draw_sample(case, rng, 64, 8, augmentation, focus=True) for _ in range(draws)]
    batch = draw(pool_of((imgs, gts)), draws, 64, 8, augmentation)
    valid = batch.valid.view(draws, 8)
    of_boxes = (sides(batch.boxes).view(draws, 8) * valid).sum(1) / valid.sum(1)
    of_theirs = [float(sides(torch.from_numpy(one.prompted.boxes)).mean()) for one in theirs if one]
    for host, device in (
        (np.array([float(len(one.prompted.boxes)) for one in theirs if one]), valid.sum(1).numpy()),
        (np.array(of_theirs), of_boxes.numpy()),
    ):
        spread = np.hypot(host.std(), device.std()) / np.sqrt(draws)
        assert abs(host.mean() - device.mean()) < 3.5 * spread


def sides(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).mean(1)


def test_boxes_are_jittered_as_on_the_host() -> None:
    from repmedsam_train.data.sampler.prompts import BoxChances, jittered

    augmentation = Augmentation()
    boxes = np.repeat(np.array([[20, 30, 120, 60], [50, 50, 54, 54]], np.float32), 4000, 0)
    host = reference.jitter_boxes(boxes, np.random.default_rng(0), augmentation) - boxes
    device = (
        jittered(torch.from_numpy(boxes), BoxChances.draw(len(boxes), Chance(CPU, 1)), augmentation).numpy() - boxes
    )
    for part in (slice(0, 4000), slice(4000, 8000)):
        np.testing.assert_allclose(np.mean(host[part], 0), np.mean(device[part], 0), atol=0.12)
        np.testing.assert_allclose(np.std(host[part], 0), np.std(device[part], 0), rtol=0.08)
        np.testing.assert_allclose((host[part] == 0).mean(), (device[part] == 0).mean(), atol=0.03)


def test_a_view_is_what_a_crop_shows() -> None:
    """Labels outside are gone, and the anchor is always in sight."""
    pool = pool_of(arrays(1, (1, 150, 90), 5, colour=False))
    chance = Chance(CPU, 3)
    slices, anchors = draw_entries(pool, 200, chance)
    source = crop(fetch(pool, slices), anchors, replace(NO_AUGMENTATION, crop=1), chance)
    view: View = source.view
    assert (source.labels == anchors[:, None, None]).flatten(1).any(1).all()
    rows = source.labels.any(2)
    assert not (rows & (torch.arange(source.side) < view.top[:, None])).any()
    assert not (rows & (torch.arange(source.side) >= (view.top + view.height)[:, None])).any()
    assert view.height.min() < 100
    assert (view.top + view.height <= 150).all()
    assert (view.left + view.width <= 90).all()
