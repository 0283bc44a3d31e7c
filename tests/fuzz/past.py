"""What was found before, each as small as it can be: it may not come back."""

import json
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import CTImageStorage

from tests.conftest import good_box, good_image, npy_header, write_npz, write_raw_npz
from tests.dicom_files import image, save
from tests.fuzz import good
from tests.fuzz.dicom_inputs import SHIPPED
from tests.fuzz.npz_inputs import beside_good
from tests.fuzz.trial import INPUTS, OUTPUTS, Maker, Trial
from tests.fuzz.zips import Member, write_zip

Write = Callable[[Path], object]
PICTURE = f"{INPUTS}/picture.png"
SROW_Y = 296  # bytes before the second row of a NIfTI header's affine
SIGNALLING = np.array([0x7F80_0001], "<u4").view("<f4")  # NaN of the kind that numpy warns of
VOID = (np.zeros((40, 60), "V0"), np.zeros((40, 60), "V3"), np.zeros((40, 60), [("a", "u1"), ("b", "f4")]))


def case(name: str, write: Write) -> Maker:
    """`predict` of one hostile case between good ones."""

    def make(_: random.Random, folder: Path) -> Trial:
        (folder / INPUTS).mkdir()
        write(folder / INPUTS / name)
        return beside_good(folder, [f"{INPUTS}/{name}"])

    return make


def picture_case(name: str = "2D.npz", **arrays: NDArray[Any]) -> Maker:
    content: dict[str, NDArray[Any]] = {"imgs": good_image(), "boxes": good_box(), **arrays}
    return case(name, lambda path: write_npz(path, **content))


def volume_case(**arrays: NDArray[Any]) -> Maker:
    content: dict[str, NDArray[Any]] = {"imgs": good.volume(), "boxes": np.array([good.BOX_3D]), **arrays}
    return case("3D.npz", lambda path: write_npz(path, **content))


def box_file(name: str, content: str | bytes, image: str = PICTURE) -> Maker:
    """`segment` of a picture, or a volume, with a hostile file of boxes."""

    def make(_: random.Random, folder: Path) -> Trial:
        (folder / INPUTS).mkdir()
        (folder / PICTURE).write_bytes(good.picture(".png"))
        good.nifti(folder / INPUTS / "ct.nii")
        raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        (folder / INPUTS / name).write_bytes(raw)
        arguments = ["segment", image, "--boxes", f"{INPUTS}/{name}", "-o", OUTPUTS]
        return Trial(folder, arguments, codes=frozenset({1, 2}))

    return make


def command(*arguments: str) -> Maker:
    """A command line that makes no sense, or names what is not there."""

    def make(_: random.Random, folder: Path) -> Trial:
        (folder / INPUTS).mkdir()
        (folder / PICTURE).write_bytes(good.picture(".png"))
        return Trial(folder, list(arguments), codes=frozenset({1, 2, 3}), reported=False)

    return make


def image_file(name: str, raw: Callable[[Path], bytes], box: list[int]) -> Maker:
    """`segment` of one hostile image."""

    def make(_: random.Random, folder: Path) -> Trial:
        inputs = folder / INPUTS
        inputs.mkdir()
        content = raw(inputs / f"made{Path(name).suffix}")
        for left in inputs.glob("made*"):
            left.unlink()
        (inputs / name).write_bytes(content)
        (inputs / "boxes.json").write_text(json.dumps([box]))
        return Trial(folder, ["segment", f"{INPUTS}/{name}", "--boxes", f"{INPUTS}/boxes.json", "-o", OUTPUTS])

    return make


def run_folder(content: object) -> Maker:
    """`report` of a run whose report.json says this."""

    def make(_: random.Random, folder: Path) -> Trial:
        for name in ("cases", "segs", OUTPUTS):
            (folder / name).mkdir()
        (folder / "cases" / "2D.npz").write_bytes(good.npz())
        write_npz(folder / "segs" / "2D.npz", segs=np.ones((40, 60), np.uint8))
        raw = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
        (folder / "segs" / "report.json").write_bytes(raw)
        arguments = ["report", "-s", "segs", "-i", "cases", "-o", f"{OUTPUTS}/page.html"]
        return Trial(folder, arguments, codes=frozenset({0, 1, 2}), reported=False)

    return make


def many_members(path: Path) -> None:
    write_zip(path, [Member(b"%d.npy" % i, b"") for i in range(200_000)], entries=65_535)


def odd_member(path: Path) -> None:
    write_zip(path, [Member(b"\x1b[31m\nred.npy", npy_header((0,)))])


def sparse_spacing(path: Path) -> None:
    arrays = {"imgs": good.volume(), "boxes": np.array([good.BOX_3D])}
    members = [Member(f"{k}.npy".encode(), npy_header(v.shape, v.dtype.str) + v.tobytes()) for k, v in arrays.items()]
    header = npy_header(((1 << 27),), "<f8")
    write_zip(path, [*members, Member(b"spacing.npy", header, hole=1 << 30)])


def png_with_bad_chunk(_: Path) -> bytes:
    raw = good.picture(".png")
    return raw[:33] + b"\0\0\0\4eXIfII*\0\0\0\0\0" + raw[33:]


def png_of_a_part_too_large(_: Path) -> bytes:
    content = good.picture(".png")
    start = content.index(b"IDAT")
    return content[: start - 4] + b"\xff\xff\xff\xf0" + content[start:]


def png_that_ends_before_its_pixels(path: Path) -> bytes:
    """OpenCV reads on after such an end."""
    content = png_of_a_part_too_large(path)
    end = b"\0\0\0\0IEND\xae\x42\x60\x82"
    start = content.index(b"IDAT") - 4
    return content[:start] + end + content[start:]


def nifti_of_a_signalling_place(path: Path) -> bytes:
    content = bytearray(good.nifti(path))
    content[SROW_Y : SROW_Y + 4] = SIGNALLING.tobytes()
    return bytes(content)


def dicom_of_damaged_jpeg(_: Path) -> bytes:
    raw = bytearray((SHIPPED / "SC_rgb_jpeg_app14_dcmd.dcm").read_bytes())
    raw[raw.index(b"\xff\xdb")] ^= 0x40  # the marker of a table
    return bytes(raw)


def dicom_of_steep_slope(path: Path) -> bytes:
    dataset = image(good.ct()[0], CTImageStorage, "CT")
    dataset.RescaleSlope, dataset.RescaleIntercept = "1e30", "0"
    return save(dataset, path).read_bytes()


def evaluated(segs: NDArray[Any]) -> Maker:
    """`evaluate` of these segmentations."""

    def make(_: random.Random, folder: Path) -> Trial:
        (folder / "cases").mkdir()
        (folder / "segs").mkdir()
        (folder / "cases" / "2D.npz").write_bytes(good.npz(gts=True))
        write_npz(folder / "segs" / "2D.npz", segs=segs)
        return Trial(folder, ["evaluate", "-s", "segs", "-g", "cases"], reported=False)

    return make


PAST: Mapping[str, Maker] = {
    "an image of values without a size": picture_case(imgs=VOID[0]),
    "an image of raw bytes": picture_case(imgs=VOID[1]),
    "a structured image": picture_case(imgs=VOID[2]),
    "structured boxes": picture_case(boxes=VOID[2]),
    "structured spacing": volume_case(spacing=VOID[2]),
    "infinite spacing": volume_case(spacing=np.array([np.inf, 1, 1])),
    "spacing beyond any volume": volume_case(spacing=np.array([1e308, 1e308, 1e308])),
    "spacing of signalling NaN": volume_case(spacing=np.repeat(SIGNALLING, 3)),
    "boxes of signalling NaN": picture_case(boxes=np.tile(SIGNALLING, (2, 4))),
    "boxes beyond float64": picture_case(boxes=np.full((2, 4), np.longdouble("1e400"))),
    "infinite boxes of a volume": volume_case(boxes=np.array([[-np.inf, 0, 0, np.inf, 30, 2]])),
    "boxes of numbers beyond any image": volume_case(boxes=np.array([[-1e308, 0, 0, 1e308, 30, 2]])),
    "65535 boxes that are not finite": picture_case(boxes=np.full((65_535, 4), np.nan)),
    "a header of Python 2": case(
        "2D.npz", lambda path: write_raw_npz(path, imgs=npy_header((2, 2)).replace(b"(2, 2)", b"(2L,2)"), boxes=b"")
    ),
    "200,000 members": case("2D.npz", many_members),
    "a member's name with control characters": case("2D.npz", odd_member),
    "spacing of a GiB that takes no space": case("3D.npz", sparse_spacing),
    "a file's name with control characters": picture_case("2D_\x1b[31m\nred.npz"),
    "a file's name that is not UTF-8": picture_case(os.fsdecode(b"2D_\xff\xfe.npz")),
    "half a surrogate as a case of a box file": box_file("boxes.json", '{"cases": {"half \ud800": [[1, 2, 3, 4]]}}'),
    "half a surrogate, escaped": box_file("boxes.json", r'{"cases": {"half \ud800": [[1, 2, 3, 4]]}}'),
    "half a surrogate as a key": box_file("boxes.json", r'{"boxes": [], "\ud800": 1}'),
    "control characters as a key": box_file("boxes.json", r'{"boxes": [], "\u001b[31m\n": 1}'),
    "control characters as a column": box_file("boxes.csv", "x_min,y_min,x_max,y_max,\x1b[31m\n1,2,3,4,5\n"),
    "a column of 100,000 characters": box_file(
        "boxes.csv", "x_min,y_min,x_max,y_max," + "x" * 100_000 + "\n1,2,3,4,5\n"
    ),
    "a number of 5,000 digits": box_file("boxes.json", f"[[1, 2, {'9' * 5000}, 4]]"),
    "boxes nested 100,000 deep": box_file("boxes.json", "[" * 100_000),
    "an output's name that is too long": command("segment", PICTURE, "--box", "1,2,30,30", "-o", "x" * 256 + ".png"),
    "an input's name that is too long": command("segment", "x" * 256 + ".png", "--box", "1,2,30,30", "-o", OUTPUTS),
    "a file of boxes whose name is too long": command("segment", PICTURE, "--boxes", "x" * 300, "-o", OUTPUTS),
    "a box of control characters": command("segment", PICTURE, "--box", "\x1b[31m\n", "-o", OUTPUTS),
    "an NRRD that points to another file": image_file(
        "v.nrrd",
        lambda path: good.by_simpleitk(path).replace(b"encoding: raw\n", b"encoding: raw\ndata file: nowhere.raw\n"),
        good.BOX_3D,
    ),
    "a MetaImage whose voxels are strings": image_file(
        "v.mha", lambda path: good.by_simpleitk(path).replace(b"MET_SHORT", b"MET_STRING"), good.BOX_3D
    ),
    "an NRRD of text whose voxels are bytes": image_file(
        "v.nrrd", lambda path: good.by_simpleitk(path).replace(b"encoding: raw", b"encoding: ascii"), good.BOX_3D
    ),
    "a MetaImage of 2^64 axes": image_file(
        "v.mha",
        lambda path: good.by_simpleitk(path).replace(b"NDims = 3", b"NDims = 18446744073709551616"),
        good.BOX_3D,
    ),
    "an NRRD of 1,000 words in one field": image_file(
        "v.nrrd", lambda path: good.by_simpleitk(path).replace(b"kinds:", b"kinds: " + b"domain " * 1000), good.BOX_3D
    ),
    "a MetaImage of 128 axes": image_file(
        "v.mha", lambda path: good.by_simpleitk(path).replace(b"NDims = 3", b"NDims = 128"), good.BOX_3D
    ),
    "an NRRD whose other file has no name": image_file(
        "v.nrrd",
        lambda path: good.by_simpleitk(path).replace(b"encoding: raw", b"data file: \nencoding: raw"),
        good.BOX_3D,
    ),
    "threads beyond any number": command("predict", "-i", "in", "-o", OUTPUTS, "--threads", "99999999999999999999"),
    "a MetaImage whose directions and sides multiply beyond any number": image_file(
        "v.mha",
        lambda path: (
            good.by_simpleitk(path)
            .replace(b"TransformMatrix = 1 ", b"TransformMatrix = 1e200 ")
            .replace(b"ElementSpacing = 1 ", b"ElementSpacing = 1e200 ")
        ),
        good.BOX_3D,
    ),
    "a MetaImage whose name is not UTF-8": image_file("v\udcff.mha", good.by_simpleitk, good.BOX_3D),
    "a PNG with a part of 4 GiB": image_file("p.png", png_of_a_part_too_large, good.BOX_2D),
    "a PNG that ends before a part of 4 GiB": image_file("p.png", png_that_ends_before_its_pixels, good.BOX_2D),
    "a NIfTI file that lies at a NaN of the signalling kind": image_file(
        "v.nii", nifti_of_a_signalling_place, good.BOX_3D
    ),
    "a DICOM file whose JPEG has one wrong bit": image_file("d.dcm", dicom_of_damaged_jpeg, good.BOX_2D),
    "a DICOM file of slope 1e30": image_file("d.dcm", dicom_of_steep_slope, good.BOX_2D),
    "a PNG with a checksum that libpng complains of": image_file("p.png", png_with_bad_chunk, good.BOX_2D),
    "negative labels in a segmentation": evaluated(np.full((40, 60), -1, np.int32)),
    "a report of no time": run_folder({"cases": [{"case": "2D.npz", "status": "ok", "seconds": 0}]}),
    "half a surrogate in a report": run_folder({"cases": [{"case": "2D.npz", "status": "ok", "warnings": ["\ud800"]}]}),
    "a control character in the error of a case that did not fail": run_folder(
        {"cases": [{"case": "2D.npz", "status": "ok", "error": "nul\x00nul"}]}
    ),
    "control characters in a report": run_folder({"cases": [{"case": "\x1b[31m\n.npz", "status": "ok"}]}),
}
