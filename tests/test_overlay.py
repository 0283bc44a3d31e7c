"""Overlays: every object is outlined where it is, numbers can be read, volumes show the planes that matter."""

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.boxes import tight_boxes
from repmedsam_infer.case import Case, make_case, read_case
from repmedsam_infer.drawing import volume_sheet as sheet
from repmedsam_infer.drawing.collage import GAP, MARGIN, TILE, collage
from repmedsam_infer.drawing.extras import Extras
from repmedsam_infer.drawing.label_colours import label_color, label_colours
from repmedsam_infer.drawing.marks import draw_plane, round_length, text_size
from repmedsam_infer.drawing.overlay import draw_overlay, picture_side, write_overlay
from repmedsam_infer.drawing.volume_sheet import choose_planes, cut, find_profiles, find_region
from repmedsam_infer.errors import CaseWriteError
from repmedsam_infer.evaluation.baselines import fill_boxes
from tests.conftest import takes_less_than, write_npz

NO_BOXES, NO_LABELS = np.zeros((0, 4)), np.zeros(0, np.int64)


def is_coloured(drawing: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(np.ptp(drawing.astype(int), -1) > 60)


def volume(shape: tuple[int, int, int], boxes: list[list[int]], spacing: tuple[float, ...] | None = None) -> Case:
    imgs = np.full(shape, 90, np.uint8)
    imgs[0, 0, 0] = 0
    return make_case(
        "3D.npz", imgs, np.array(boxes), is_volume=True, raw_spacing=None if spacing is None else np.array(spacing)
    )


@pytest.mark.parametrize("scale", [0.5, 1, 3.3])
def test_an_outline_runs_along_the_edge_of_its_mask(scale: float) -> None:
    segs = np.zeros((60, 80), np.uint8)
    segs[20:40, 30:60] = 1
    size = round(80 * scale), round(60 * scale)
    drawing = draw_plane(np.full((60, 80), 90, np.uint8), segs, NO_BOXES, NO_LABELS, size).pixels
    outer = cv2.dilate(segs, np.ones((5, 5)))
    coloured = is_coloured(drawing)
    far = cv2.resize(np.asarray(outer), size, interpolation=cv2.INTER_NEAREST) == 0
    assert not coloured[far].any()
    x, y, width, height = cv2.boundingRect(coloured.astype(np.uint8))
    found = np.array([x, y, x + width, y + height]) / scale
    assert np.abs(found - [30, 20, 60, 40]).max() < 1 + 1 / scale


def test_single_pixels_and_label_65535_are_seen() -> None:
    segs = np.zeros((50, 50), np.uint16)
    segs[10, 10], segs[30, 40] = 1, 65535
    drawing = draw_plane(np.zeros((50, 50, 3), np.uint8), segs, NO_BOXES, NO_LABELS, (500, 500)).pixels
    assert is_coloured(drawing)[95:115, 95:115].any()
    assert is_coloured(drawing)[295:315, 395:415].any()


def test_no_number_lies_over_another_and_most_of_a_crowd_have_one() -> None:
    boxes = np.array([[x, y, x + 13, y + 13] for x in range(2, 318, 16) for y in range(2, 208, 16)][:241])
    case = make_case("2D.npz", np.random.default_rng(0).integers(0, 255, (220, 320)), boxes, is_volume=False)
    segs = fill_boxes(case.shape, boxes, "ellipse")
    side = picture_side(case)
    canvas = draw_plane(case.imgs, segs, case.boxes.corners, case.boxes.labels, (side, side * 220 // 320))
    assert len(canvas.taken) == 241
    cover = np.zeros(canvas.pixels.shape[:2], np.uint8)
    for left, top, right, bottom in canvas.taken:
        cover[top:bottom, left:right] += 1
    assert cover.max() == 1


def test_colours_of_neighbours_differ_and_none_is_dark() -> None:
    colours = label_colours(199).astype(int)[1:]
    assert [label_color(label) for label in range(1, 200)] == [tuple(colour) for colour in colours.tolist()]
    assert label_colours(0).tolist() == [[0, 0, 0]]
    assert (np.abs(np.diff(colours, axis=0)).sum(1) > 90).all()
    assert (colours @ [0.299, 0.587, 0.114] > 140).all()


def test_planes_show_every_object_at_its_largest() -> None:
    profile = np.zeros((3, 50), np.int64)
    profile[0, 5:10] = [1, 2, 9, 2, 1]
    profile[1, 20:40] = 7
    profile[2, 44] = 100
    assert choose_planes(profile, 3) == [7, 30, 44]
    assert choose_planes(profile, 1) in ([7], [30], [44])
    many = choose_planes(np.ones((1, 40), np.int64), 8)
    assert len(set(many)) == 8
    assert np.diff(many).min() >= 3


def test_boxes_and_labels_agree_in_every_plane(samples: Path) -> None:
    case = read_case(samples / "3DBox_CT_phantom_0000.npz")
    with np.load(samples / "3DBox_CT_phantom_0000.npz") as data:
        segs = data["gts"]
    profiles = find_profiles(case, segs)
    region = find_region(case, profiles)
    for axis, profile in enumerate(profiles):
        assert (profile.sum(axis=1) == np.bincount(segs.ravel())[1:]).all()
        for index in choose_planes(profile, 3):
            image, labels, boxes, here = cut(case, segs, sheet.Plane(axis, index, region))
            assert image.shape == labels.shape
            assert set(np.unique(labels)) - {0} <= set(here.tolist())
            for box, label in zip(boxes.astype(int), here, strict=True):
                found = tight_boxes(labels == label)
                if len(found):
                    assert (found[0][:2] >= box[:2]).all()
                    assert (found[0][2:] <= box[2:]).all()


def test_reformats_have_the_bodys_aspect() -> None:
    case = volume((20, 100, 100), [[40, 40, 8, 60, 60, 12]], (5.0, 1.0, 2.0))
    plane = sheet.Plane(1, 50, (slice(0, 20), slice(0, 100), slice(0, 100)))
    tile = sheet.draw_tile(case, case.empty_segmentation(), plane, (400, 400))
    assert tile is not None
    assert tile.size == (400, 200)
    assert sheet.draw_tile(volume((2, 100, 100), []), case.empty_segmentation()[:2], plane_of(2), (400, 400)) is None


def plane_of(depth: int) -> sheet.Plane:
    return sheet.Plane(1, 50, (slice(0, depth), slice(0, 100), slice(0, 100)))


@pytest.mark.parametrize("side", [160, 420, 1600])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 64, 64), (200, 3, 5), (12, 40, 30)])
def test_any_volume_has_a_sheet(shape: tuple[int, int, int], side: int) -> None:
    end = [shape[2], shape[1], shape[0]]
    for boxes in ([], [[0, 0, 0, *end]], [[0, 0, 0, *end]] * 300):
        case = volume(shape, boxes)
        full = np.ones(shape, np.uint8)
        for segs in (case.empty_segmentation(), full):
            drawing = draw_overlay(case, segs, side)
            assert drawing.shape[1] <= side
            assert drawing.shape[2] == 3
            assert drawing.any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (300, 2, 3)])
def test_any_picture_has_an_overlay(shape: tuple[int, ...]) -> None:
    boxes = np.array([[0, 0, shape[1], shape[0]]])
    case = make_case("2D.npz", np.zeros(shape, np.uint8), boxes, is_volume=False)
    for side in (160, picture_side(case)):
        assert max(draw_overlay(case, np.ones(shape[:2], np.uint8), side).shape) == side


def test_a_large_volume_takes_little_memory_beside_itself() -> None:
    case = volume((96, 384, 384), [[50, 50, 10, 300, 300, 80]], (1.0, 0.7, 0.7))
    segs = np.asarray(fill_boxes(case.shape, case.boxes.corners.astype(int), "ellipse"), np.uint8)
    tracemalloc.start()
    draw_overlay(case, segs, 1600)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < segs.nbytes * 1.5  # sheet and single planes; not a copy of the volume as integers


def test_the_scale_bar_is_of_a_round_length() -> None:
    assert [round_length(x) for x in (0.3, 1, 3.9, 49.9, 50, 140)] == [
        pytest.approx(v) for v in (0.2, 1, 2, 20, 50, 100)
    ]
    assert text_size("1234")[0] > text_size("1")[0]


def test_a_collage_has_a_tile_for_every_case_with_a_segmentation(samples: Path, tmp_path: Path) -> None:
    names = ["2DBox_US_phantom_0000.npz", "2DBox_XRay_phantom_0000.npz", "3DBox_MR_phantom_0000.npz"]
    for name in names:
        with np.load(samples / name) as data:
            write_npz(tmp_path / name, segs=data["gts"])
    shot = cv2.imdecode(np.frombuffer(collage(samples, tmp_path), np.uint8), cv2.IMREAD_COLOR)
    assert shot is not None
    assert shot.shape[1] == 2 * MARGIN + len(names) * (TILE[0] + GAP) - GAP
    for i in range(len(names)):
        left = MARGIN + i * (TILE[0] + GAP)
        assert is_coloured(np.asarray(shot[MARGIN : MARGIN + TILE[1], left : left + TILE[0]], np.uint8)).mean() > 0.002
    with pytest.raises(SystemExit, match="no segmentations"):
        collage(samples, samples / "nowhere")


def test_an_overlay_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    case = make_case("2D.npz", np.zeros((20, 20), np.uint8), np.array([[2, 2, 9, 9]]), is_volume=False)
    with pytest.raises(CaseWriteError, match=r"a\.png.*nowhere"):
        write_overlay(tmp_path / "nowhere" / "a.png", case, case.empty_segmentation())
    write_overlay(tmp_path / "a.png", case, case.empty_segmentation())
    drawn = cv2.imread(str(tmp_path / "a.png"))
    assert drawn is not None
    assert drawn.shape == (768, 768, 3)


def test_ground_truth_is_a_white_dashed_outline_where_it_is_and_not_where_the_mask_is() -> None:
    image, segs, truth = np.full((60, 80), 90, np.uint8), np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.uint8)
    segs[10:25, 10:30], truth[30:50, 40:70] = 1, 1
    case = make_case("2D.npz", image, np.zeros((0, 4)), is_volume=False)
    drawing = draw_overlay(case, segs, 320, Extras(truth))
    assert (draw_overlay(case, segs, 320) != drawing).any()
    white = np.asarray((drawing > 200).all(-1))
    y, x = np.nonzero(white)
    assert abs(x.min() / 4 - 40) < 1.5
    assert abs((x.max() + 1) / 4 - 70) < 1.5
    assert abs(y.min() / 4 - 30) < 1.5
    assert abs((y.max() + 1) / 4 - 50) < 1.5
    along = white[118:123, 165:275].any(0)  # the upper edge
    assert 0.3 < along.mean() < 0.8
    assert np.count_nonzero(np.diff(along.astype(int)) == 1) > 5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_ground_truth_lies_as_its_labels_in_every_plane(axis: int) -> None:
    case = volume((20, 24, 28), [[1, 2, 1, 20, 20, 17]])
    truth = np.zeros(case.shape, np.uint8)
    truth[3:9, 4:11, 15:24] = 1
    nothing = case.empty_segmentation()
    index = (5, 7, 20)[axis]
    plane = sheet.Plane(axis, index, (slice(0, 20), slice(0, 24), slice(0, 28)))
    tile = sheet.draw_tile(case, nothing, plane, (560, 560), Extras(truth))
    bare = sheet.draw_tile(case, nothing, plane, (560, 560))
    assert tile is not None
    assert bare is not None
    y, x = np.nonzero((tile.pixels != bare.pixels).any(-1))
    expected = cut(case, truth, plane)[1]
    rows, columns = np.nonzero(expected)
    scale = tile.size[0] / expected.shape[1]
    found = np.array([y.min(), x.min(), y.max() + 1, x.max() + 1]) / scale
    assert np.abs(found - [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]).max() < 0.5


def test_letters_stand_at_the_edges_that_they_name() -> None:
    """Reformats are upside down: the head is at the top."""
    case = volume((200, 240, 280), [[1, 2, 1, 20, 20, 17]])
    ends = (("I", "S"), ("A", "P"), ("R", "L"))
    whole = slice(0, 200), slice(0, 240), slice(0, 280)
    expected = {0: ("A", "P", "R", "L"), 1: ("S", "I", "R", "L"), 2: ("S", "I", "A", "P")}
    for axis, (top, bottom, left, right) in expected.items():
        placed = dict(sheet.letters_of(sheet.Plane(axis, 9, whole), (300, 200), Extras(None, ends)))
        assert placed[top][1] < 20
        assert placed[bottom][3] > 180
        assert placed[left][0] < 20
        assert placed[right][2] > 280
    segs = case.empty_segmentation()
    assert (draw_overlay(case, segs, 900, Extras(None, ends)) != draw_overlay(case, segs, 900)).any()


@given(spacing=st.tuples(*[st.floats(5e-324, 1e308)] * 3))
def test_any_spacing_that_a_file_can_state_has_a_sheet(spacing: tuple[float, float, float]) -> None:
    case = volume((4, 6, 8), [[1, 1, 1, 6, 4, 2]], spacing)
    drawing = draw_overlay(case, case.empty_segmentation(), 400)
    assert max(drawing.shape) <= 400


def test_outlines_of_a_very_large_picture_lie_where_those_of_a_small_one_do() -> None:
    small = np.zeros((600, 800), np.uint8)
    small[150:450, 200:500], small[:60, 700:] = 1, 2
    large = small.repeat(16, 0).repeat(16, 1)
    boxes = np.array([[200.0, 150, 499, 449], [700, 0, 799, 59]])
    labels = np.array([1, 2])
    with takes_less_than(1.5 * large.nbytes):
        drawn = draw_plane(large, large, boxes * 16 + [0, 0, 15, 15], labels, (400, 300)).pixels
    expected = draw_plane(small, small, boxes, labels, (400, 300)).pixels
    assert np.mean(np.abs(drawn.astype(int) - expected) > 32) < 0.01
