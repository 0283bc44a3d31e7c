"""DICOM: elements changed in the bytes, where no library objects, and series whose slices do not go together."""

import json
import random
import struct
import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file

from tests.conftest import good_image
from tests.dicom_files import affine_of, ds, enhanced, film, image, rotated, save, write_series
from tests.fuzz import good, odd
from tests.fuzz.trial import INPUTS, OUTPUTS, Trial

SHIPPED = Path(str(get_testdata_file("CT_small.dcm"))).parent
UPRIGHT = affine_of(np.eye(3), (1, 1, 3), (-30, -20, 5))
TAGS = (
    *((2, 0x10), (2, 2), (8, 5), (8, 8), (8, 0x16), (8, 0x18), (8, 0x60), (8, 0x103E), (0x18, 0x50), (0x18, 0x88)),
    *((0x20, 0xD), (0x20, 0xE), (0x20, 0x11), (0x20, 0x13), (0x20, 0x32), (0x20, 0x37), (0x20, 0x52), (0x28, 2)),
    *((0x28, 4), (0x28, 6), (0x28, 8), (0x28, 0x10), (0x28, 0x11), (0x28, 0x30), (0x28, 0x100), (0x28, 0x101)),
    *((0x28, 0x102), (0x28, 0x103), (0x28, 0x1050), (0x28, 0x1051), (0x28, 0x1052), (0x28, 0x1053), (0x28, 0x1056)),
    *((0x7FE0, 0x10), (0x28, 0x3010), (0x28, 0x1201), (0, 0), (0xFFFE, 0xE000), (0x5200, 0x9229), (0x5200, 0x9230)),
)
VRS = (b"UI", b"US", b"DS", b"IS", b"CS", b"LO", b"OW", b"OB", b"SQ", b"UN", b"FD", b"XX", b"PN", b"\0\0")
LONG_VRS = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"OD")
SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.3", "\x1b[31m"),
    *("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.100", ""),
)
EDITS = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "InstanceNumber", "SeriesInstanceUID", "Rows"),
    *("RescaleSlope", "RescaleIntercept", "Modality", "SOPInstanceUID", "FrameOfReferenceUID"),
)


def dicom(dice: random.Random, folder: Path) -> Trial:
    """`segment` or `convert` of five hostile DICOM files, or a folder of them, and a good series that comes last."""
    inputs = folder / INPUTS
    inputs.mkdir()
    names = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(5):
            name = odd.file_name(dice, f"d{i}", dice.choice((".dcm", ".dcm", "", ".ima")))
            (inputs / name).write_bytes(spoiled(dice, one(dice, folder / "made.dcm")))
            names.append(f"{INPUTS}/{name}")
        (folder / "made.dcm").unlink(missing_ok=True)
        odd_series(dice, inputs / "odd_series")
        write_series(inputs / "good", good.ct(), UPRIGHT, edit=number)
    called = [name.removeprefix(f"{INPUTS}/") for name in names]
    content = {"cases": {name: [good.BOX_2D if dice.random() < 0.5 else good.BOX_3D] for name in called}}
    content["cases"] |= {"good": [good.BOX_3D], "odd_series": [good.BOX_3D]}
    (inputs / "boxes.json").write_text(json.dumps(content))
    command = dice.choice(("segment", "segment", "convert"))
    images = [*names, f"{INPUTS}/odd_series", f"{INPUTS}/good"]
    arguments = [command, *images, "--boxes", f"{INPUTS}/boxes.json", "-o", OUTPUTS]
    if command == "convert":
        return Trial(folder, arguments, names, {}, reported=False)
    ending = dice.choice((".nrrd", ".nii.gz", ".npz"))
    return Trial(folder, [*arguments, "--format", ending], names, {f"{OUTPUTS}/good{ending}": f"dicom{ending}"})


def one(dice: random.Random, path: Path) -> bytes:
    """Return a good file: a slice, an enhanced volume, a film, a picture in colours, or one that pydicom ships."""
    what = dice.randrange(6)
    if what == 0:
        dataset = image(good.ct()[0], "1.2.840.10008.5.1.4.1.1.2", "CT")
    elif what == 1:
        dataset = enhanced(good.ct(), UPRIGHT, [2, 0, 1])
    elif what == 2:
        dataset = film(good.volume())
    elif what == 3:
        dataset = image(good_image(), "1.2.840.10008.5.1.4.1.1.7", "OT")
    else:
        shipped = [path for path in SHIPPED.glob("*.dcm") if path.stat().st_size < 200_000]
        return dice.choice(sorted(shipped)).read_bytes()
    number(dataset, 9)
    return save(dataset, path).read_bytes()


def number(dataset: pydicom.Dataset, z: int) -> None:
    """Give it a UID that is the same in every run."""
    dataset.SOPInstanceUID = f"1.2.826.0.1.4.{z}"
    if isinstance(dataset, pydicom.FileDataset):
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def spoiled(dice: random.Random, raw: bytes) -> bytes:
    if dice.random() < 0.3:
        return odd.damaged(dice, raw, 1500)
    for _ in range(dice.choice((0, 1, 1, 1, 2, 4))):
        raw = changed(dice, raw)
    return raw


def changed(dice: random.Random, raw: bytes) -> bytes:
    """Return a file of explicit VR, little endian, in which one element has another value, VR or length."""
    group, element = dice.choice(TAGS)
    tag = struct.pack("<2H", group, element)
    at = raw.find(tag, 132)
    value = element_value(dice)
    if at < 0:
        at = raw.find(struct.pack("<H", max(group, 8)), 132)
        at = len(raw) if at < 0 else at
        return raw[:at] + _element(tag, dice.choice(VRS), value) + raw[at:]
    vr = raw[at + 4 : at + 6]
    long = vr in LONG_VRS
    start = at + (12 if long else 8)
    length = int.from_bytes(raw[at + 8 : at + 12] if long else raw[at + 6 : at + 8], "little")
    end = min(len(raw), start + (0 if length == 0xFFFFFFFF else length))
    what = dice.random()
    if what < 0.1:
        return raw[:at] + raw[end:]
    if what < 0.2:
        return raw[:end] + raw[at:end] + raw[end:]
    if what < 0.3:
        return raw[: at + 4] + dice.choice(VRS) + raw[at + 6 :]
    if what < 0.4:
        stated = dice.choice((*odd.INTEGERS, 0xFFFFFFFF)) % (2**32 if long else 2**16)
        return raw[: start - (4 if long else 2)] + stated.to_bytes(4 if long else 2, "little") + raw[start:]
    return raw[:at] + _element(tag, vr, value) + raw[end:]


def element_value(dice: random.Random) -> bytes:
    what = dice.randrange(6)
    if what == 0:
        value = struct.pack("<H", dice.choice((*odd.INTEGERS, 1, 8, 12, 16, 24, 40, 60)) % 2**16)
    elif what == 1:
        value = "\\".join(str(odd.number(dice)) for _ in range(dice.choice((1, 2, 3, 6)))).encode()
    elif what == 2:
        value = dice.choice(SYNTAXES).encode()
    elif what == 3:
        value = odd.text(dice).encode("utf-8", "surrogatepass")
    elif what == 4:
        value = dice.choice((b"MONOCHROME1", b"PALETTE COLOR", b"YBR_FULL_422", b"RGB", b"CT", b"SEG", b"", b"1e400"))
    else:
        value = dice.randbytes(dice.choice((1, 2, 7, 300)))
    return value + b" " * (len(value) % 2)


def _element(tag: bytes, vr: bytes, value: bytes) -> bytes:
    if vr in LONG_VRS:
        return tag + vr + b"\0\0" + struct.pack("<I", len(value)) + value
    return tag + vr + struct.pack("<H", len(value) % 2**16) + value


def odd_series(dice: random.Random, folder: Path) -> None:
    """Slices of which one or all have a value that does not go with the others; and files that are no DICOM."""
    keyword = dice.choice(EDITS)
    of = dice.choice((0, 1, 2, None))
    turned = affine_of(rotated(dice.randrange(100)), (1, dice.choice((1, 0.001, 900)), 3), (0, 0, 0))

    def edit(dataset: pydicom.Dataset, z: int) -> None:
        number(dataset, z)
        if of is not None and z != of:
            return
        old = dataset.get(keyword)
        if keyword == "Rows":
            dataset.Rows = dice.choice((1, 20, 41))
        elif isinstance(old, pydicom.multival.MultiValue):
            numbers = np.array([float(value) for value in old])
            numbers[dice.randrange(len(numbers))] += dice.choice((0.001, 0.4, 3, -3, 1e6, -2))
            setattr(dataset, keyword, ds(numbers))
        elif keyword.endswith("UID"):
            setattr(dataset, keyword, "1.2.3")
        elif keyword == "InstanceNumber":
            dataset.InstanceNumber = dice.choice((1, -5, 2**31 - 1))
        else:
            setattr(dataset, keyword, "MR" if keyword == "Modality" else dice.choice(("0", "-1", "1e30", "2.5")))

    write_series(folder, good.ct(), dice.choice((UPRIGHT, turned)), edit=edit)
    for _ in range(dice.choice((0, 1, 2))):
        path = folder / odd.file_name(dice, "extra", dice.choice(("", ".txt", ".dcm")))
        path.write_bytes(dice.choice((b"", b"text", spoiled(dice, next(folder.glob("0*")).read_bytes()))))
    if dice.random() < 0.2:
        next(folder.glob("0*")).write_bytes(odd.damaged(dice, next(folder.glob("0*")).read_bytes(), 1500))
