"""Pictures as viewers show them: depth, colours, palettes, EXIF, pages; label maps to the pixel."""

import contextlib
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.drawing.label_colours import label_colours
from repmedsam_infer.errors import CaseReadError, CaseWriteError
from repmedsam_infer.formats import read_scan, write_labels
from repmedsam_infer.formats.pictures.header import read_header
from repmedsam_infer.formats.pictures.palette import label_png, palette_source
from tests.scans import labels_in, random_labels

GREY = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
DEEP = np.random.default_rng(2).integers(0, 65536, (5, 7), np.uint16)


def save(path: Path, picture: NDArray[Any]) -> Path:
    cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture)
    return path


def save_with_pillow(
    path: Path, picture: NDArray[Any], change: Callable[[Any], Any] = lambda x: x, **options: Any
) -> Path:
    image = pytest.importorskip("PIL.Image")
    change(image.fromarray(picture)).save(path, **options)
    return path


@pytest.mark.parametrize("ending", [".png", ".tif", ".tiff", ".bmp"])
def test_pictures_read_as_they_are(ending: str, tmp_path: Path) -> None:
    for picture in (GREY, RGB) if ending == ".bmp" else (GREY, RGB, DEEP):
        scan = read_scan(save(tmp_path / f"p{ending}", picture))
        np.testing.assert_array_equal(scan.voxels, picture)
        assert scan.voxels.dtype == picture.dtype
        assert (scan.is_volume, scan.affine, scan.name, scan.warnings) == (False, None, "p", ())


def test_jpeg_palettes_grey_in_colours_and_transparency(tmp_path: Path) -> None:
    flat = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    jpeg = read_scan(save(tmp_path / "p.jpg", flat)).voxels
    assert np.abs(jpeg.astype(int) - flat).max() < 5
    palette = read_scan(save_with_pillow(tmp_path / "palette.png", flat, lambda image: image.convert("P", palette=1)))
    assert palette.voxels.shape == (8, 8, 3)
    assert np.abs(palette.voxels.astype(int) - flat).max() < 30
    assert read_scan(save(tmp_path / "grey.png", np.repeat(GREY[..., None], 3, -1))).voxels.shape == GREY.shape
    opaque = np.dstack([RGB, np.full((5, 7), 255, np.uint8)])
    assert not read_scan(save_with_pillow(tmp_path / "opaque.png", opaque)).warnings
    opaque[0, 0, 3] = 3
    transparent = read_scan(save_with_pillow(tmp_path / "clear.png", opaque))
    np.testing.assert_array_equal(transparent.voxels, RGB)
    assert "transparent" in transparent.warnings[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif"])
def test_exif_orientation_is_honoured_with_a_warning(orientation: int, ending: str, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    ops = pytest.importorskip("PIL.ImageOps")
    exif = image.Exif()
    exif[274] = orientation
    options = {"tiffinfo": {274: orientation}} if ending == ".tif" else {"exif": exif}
    blocks = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, np.ones((16, 16), np.uint8))
    path = save_with_pillow(tmp_path / f"p{ending}", blocks, **options)
    reference = save_with_pillow(tmp_path / "reference.png", blocks, exif=exif)
    with image.open(reference) as stored:
        shown = np.array(ops.exif_transpose(stored))
    scan = read_scan(path)
    assert scan.voxels.shape == shown.shape
    assert np.abs(scan.voxels.astype(int) - shown).max() <= (3 if ending == ".jpg" else 0)
    assert bool(scan.warnings) == (orientation != 1)


def test_pages_are_slices_where_nothing_else_is_said(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")

    def save_pages(pages: list[NDArray[Any]], description: str = "") -> Path:
        first, *others = [image.fromarray(page) for page in pages]
        first.save(tmp_path / "p.tif", save_all=True, append_images=others, description=description)
        return tmp_path / "p.tif"

    stack = [DEEP, DEEP + 1, DEEP + 2]
    scan = read_scan(save_pages(stack, "ImageJ=1.53\nimages=3\nslices=3\n"))
    np.testing.assert_array_equal(scan.voxels, np.stack(stack))
    assert scan.is_volume
    assert "3 pages" in scan.warnings[0]
    for pages, description, reason in [
        ([GREY, GREY[:3]], "", "different sizes"),
        ([GREY, RGB], "", "different types"),
        (stack, "ImageJ=1.53\nimages=3\nchannels=3\n", "3 channels"),
        (stack, "ImageJ=1.53\nimages=3\nframes=3\n", "3 frames"),
        (stack, '<OME><Pixels SizeC="1" SizeT="3" SizeZ="1"/></OME>', "3 times"),
    ]:
        with pytest.raises(CaseReadError, match=reason):
            read_scan(save_pages(pages, description))
    labels = random_labels(scan.shape)
    with pytest.raises(CaseWriteError, match="volume"):
        write_labels(tmp_path / "l.png", labels, scan)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_label_maps_as_png_to_the_pixel(dtype: type[np.integer], tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, GREY.shape, dtype)
    scan = read_scan(save(tmp_path / "p.png", GREY))
    write_labels(tmp_path / "l.png", labels, scan)
    np.testing.assert_array_equal(labels_in(tmp_path / "l.png"), labels)
    image = pytest.importorskip("PIL.Image")
    with image.open(tmp_path / "l.png") as stored:
        np.testing.assert_array_equal(np.array(stored), labels)
        assert stored.mode == ("P" if dtype == np.uint8 else "I;16")
    with pytest.raises(CaseWriteError, match="shape"):
        write_labels(tmp_path / "l.png", labels[1:], scan)
    with pytest.raises(CaseWriteError, match="l.gif"):
        write_labels(tmp_path / "l.gif", labels, scan)


def test_what_is_damaged_is_refused_in_one_sentence_and_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    raw = {ending: save(tmp_path / f"good{ending}", noise).read_bytes() for ending in (".png", ".jpg", ".tif", ".bmp")}
    huge = raw[".png"][:16] + struct.pack(">II", 40_000, 40_000) + raw[".png"][24:]
    for name, content, reason in [
        ("empty.png", b"", "0 bytes"),
        ("text.png", b"hello, world", "is not a PNG"),
        ("start.png", raw[".png"][:20], "cut off"),
        ("huge.png", huge, "limit is 2 GiB"),
        ("cut.png", raw[".png"][:-3000], "cut off"),
        ("cut.jpg", raw[".jpg"][:-2000], "cut off"),
        ("cut.tif", raw[".tif"][:3000], "cut off"),
        ("cut.bmp", raw[".bmp"][:-3000], "cut off"),
        ("zero.bmp", raw[".bmp"][:18] + bytes(8) + raw[".bmp"][26:], "0 x 0"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CaseReadError) as refused:
            read_scan(tmp_path / name)
        assert reason in str(refused.value), (name, str(refused.value))
        assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""


@given(kind=st.sampled_from([".png", ".jpg", ".tif", ".bmp"]), data=st.data())
def test_headers_of_any_bytes_are_read_or_refused(kind: str, data: st.DataObject) -> None:
    raw = bytearray(cv2.imencode(kind, RGB)[1].tobytes())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(raw[: data.draw(st.integers(1, len(raw)))])
    try:
        assert read_header("x", content).sizes
    except CaseReadError as error:
        assert str(error)


def test_a_picture_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    buffer = io.BytesIO(cv2.imencode(".png", GREY)[1].tobytes())
    (tmp_path / "nameless").write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(read_scan(tmp_path / "nameless").voxels, GREY)


@pytest.mark.parametrize("ending", [".bmp", ".tif", ".png"])
def test_palettes_are_colours_whatever_holds_them(ending: str, tmp_path: Path) -> None:
    flat = np.full((8, 8, 3), (0, 0, 255), np.uint8)
    path = save_with_pillow(tmp_path / f"p{ending}", flat, lambda image: image.convert("P", palette=1))
    np.testing.assert_array_equal(read_scan(path).voxels, flat)


def test_codecs_complain_to_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    png = save(tmp_path / "p.png", GREY).read_bytes()
    (tmp_path / "p.png").write_bytes(
        png[:33] + b"\0\0\0\6tRNS\0\1\0\1\0\1\0\0\0\0" + png[33:]
    )  # of another kind of picture
    jpeg = save(tmp_path / "p.jpg", np.tile(GREY, (20, 20))).read_bytes()
    (tmp_path / "p.jpg").write_bytes(jpeg[:2] + b"\0\0\0" + jpeg[2:])
    for path in sorted(tmp_path.iterdir()):
        with contextlib.suppress(CaseReadError):
            read_scan(path)
    assert capfd.readouterr() == ("", "")


def test_a_page_beyond_any_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "far.tif").write_bytes(b"II+\0\10\0\0\0" + b"\xff" * 8 + bytes(64))
    with pytest.raises(CaseReadError, match="cut off"):
        read_scan(tmp_path / "far.tif")


def test_a_label_map_as_png_shows_its_labels_in_their_colours(tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    scan = read_scan(save(tmp_path / "p.png", np.zeros((3, 4), np.uint8)))
    write_labels(tmp_path / "l.png", labels, scan)
    np.testing.assert_array_equal(read_scan(tmp_path / "l.png").voxels, label_colours(11)[labels])
    write_labels(tmp_path / "nothing.png", labels * 0, scan)
    assert not labels_in(tmp_path / "nothing.png").any()


@given(height=st.integers(1, 600), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_label_maps_of_any_size_are_read_as_they_were_written(height: int, width: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    source = palette_source("l.png", label_png(labels), is_turned=False)
    assert source is not None
    np.testing.assert_array_equal(source.indices(), labels)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_others_are_label_maps_too(bits: int, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    labels = np.random.default_rng(0).integers(0, 1 << bits, (5, 7), np.uint8)
    palette = image.fromarray(labels).convert("P")
    palette.putpalette(np.random.default_rng(1).integers(0, 256, 768).tolist())
    palette.save(tmp_path / "l.png", bits=bits)
    np.testing.assert_array_equal(labels_in(tmp_path / "l.png"), labels)


def test_a_palette_of_grey_levels_means_its_grey_levels(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    palette = image.fromarray(np.array([[1, 0], [0, 1]], np.uint8)).convert("P")
    palette.putpalette([7, 7, 7, 0, 0, 0])
    palette.save(tmp_path / "l.png")
    assert labels_in(tmp_path / "l.png").tolist() == [[0, 7], [7, 0]]


@pytest.mark.parametrize(("bits", "samples", "is_read"), [(8, 3, True), (16, 3, False), (8, 2, False), (16, 1, True)])
def test_channels_one_after_another_are_refused_where_they_would_be_noise(
    bits: int, samples: int, is_read: bool, tmp_path: Path
) -> None:
    plane = np.arange(16, dtype=f"<u{bits // 8}")
    tags = [
        (256, 4), (257, 4), (258, bits), (259, 1), (262, 2 if samples > 2 else 1), (273, 0), (277, samples), (278, 4),
        (279, 0), (284, 2),
    ]  # fmt: skip
    end = 8 + 2 + 12 * len(tags) + 4
    wide = {
        258: struct.pack(f"<{samples}H", *[bits] * samples),
        273: struct.pack(f"<{samples}I", *(end + 64 + i * plane.nbytes for i in range(samples))),
        279: struct.pack(f"<{samples}I", *[plane.nbytes] * samples),
    }
    entries, further = b"", b""
    for tag, value in tags:
        kind = 4 if tag in (273, 279) else 3
        content = wide.get(tag, struct.pack("<H", value))
        if len(content) > 4:
            entries += struct.pack("<HHII", tag, kind, samples, end + len(further))
            further += content
        else:
            count = samples if tag in wide else 1
            entries += struct.pack("<HHI", tag, kind, count) + content.ljust(4, b"\0")
    content = b"II*\0\10\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + further.ljust(64, b"\0")
    (tmp_path / "p.tif").write_bytes(content + plane.tobytes() * samples)
    if is_read:
        voxels = read_scan(tmp_path / "p.tif").voxels
        np.testing.assert_array_equal(voxels.reshape(16, -1)[:, 0], plane)
    else:
        with pytest.raises(CaseReadError, match="PlanarConfiguration 2"):
            read_scan(tmp_path / "p.tif")


def test_animations_are_refused(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    first, second = image.fromarray(GREY), image.fromarray(GREY[::-1].copy())
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    with pytest.raises(CaseReadError, match="animation"):
        read_scan(tmp_path / "a.png")
