"""Frames of DICOM files, decoded one by one by pydicom's codecs, or by GDCM where pydicom has none.

A codec allocates what its codestream declares, so that is held against the header first.
"""

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.dicom.codestream import declared_size, has_end
from repmedsam_infer.formats.dicom.files import reason_of
from repmedsam_infer.formats.dicom.frames import DicomFrame
from repmedsam_infer.formats.dicom.jpeg import JpegError, check_jpeg
from repmedsam_infer.formats.silence import silenced

if TYPE_CHECKING:
    from pydicom.uid import UID

JPEG_CODECS = "install python-gdcm (pip install python-gdcm), or decompress the files first, with dcmdjpeg or gdcmconv"
JPEG = [f"1.2.840.10008.1.2.4.{kind}" for kind in (50, 51, 57, 70)]
PLUGINS = {
    "pyjpegls": [f"1.2.840.10008.1.2.4.{kind}" for kind in (80, 81)],
    "pylibjpeg": [f"1.2.840.10008.1.2.4.{kind}" for kind in (90, 91, 201, 202, 203)],
}
LOSSY_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
JPEG_END = b"\xff\xd9"
BYTE = 8  # bits
CUT_OFF = "Unexpected end of file|End of file reached"  # a warning of pydicom's
CODECS = {
    "1.2.840.10008.1.2.4.80": "install pyjpegls (pip install pyjpegls)",
    "1.2.840.10008.1.2.4.81": "install pyjpegls (pip install pyjpegls)",
    "1.2.840.10008.1.2.4.90": "install pylibjpeg-openjpeg (pip install 'repmedsam[files]')",
    "1.2.840.10008.1.2.4.91": "install pylibjpeg-openjpeg (pip install 'repmedsam[files]')",
}


def check_syntax(frame: DicomFrame) -> None:
    """Check that the file's pixels can be decoded here.

    Raises:
        CaseReadError: they cannot; the sentence names the transfer syntax and what to install.

    """
    from pydicom.pixels.decoders.base import get_decoder

    uid = transfer_syntax(frame)
    try:
        usable = get_decoder(uid).is_available
    except NotImplementedError:
        raise CaseReadError(
            f"{frame.file}: its pixels are stored as {uid.name or uid}, which cannot be read; "
            "export them without compression (Explicit VR Little Endian)"
        ) from None
    if not usable:
        raise CaseReadError(
            f"{frame.file}: its pixels are compressed as {uid.name}, whose codec is not installed; "
            f"{CODECS.get(uid, JPEG_CODECS)}"
        )


def transfer_syntax(frame: DicomFrame) -> "UID":
    from pydicom.uid import UID

    meta = getattr(frame.header, "file_meta", None)
    uid = None if meta is None else meta.get("TransferSyntaxUID")
    if not isinstance(uid, str) or not uid:
        raise CaseReadError(f"{frame.file}: does not say how its pixels are stored (TransferSyntaxUID is missing)")
    return UID(uid)


def decoded_frames(frame: DicomFrame, path: Path) -> Iterator[NDArray[Any]]:
    """All frames of the file of `frame`, one by one in its order, as stored: (H, W) or (H, W, 3).

    Raises:
        CaseReadError: there are no pixels, or they are damaged or cut off.

    """
    rows, columns = frame.whole("Rows"), frame.whole("Columns")
    syntax = transfer_syntax(frame)
    try:
        if syntax.is_encapsulated:
            check_codestreams(frame, path)
        elif frame.whole("BitsAllocated") == 1:
            check_bits(frame, path)
        for stored in gdcm_frames(frame, path) if is_deep_jpeg(frame) else pydicom_frames(frame, path):
            if stored.shape[:2] != (rows, columns):
                raise CaseReadError(
                    f"{frame.file}: declares {rows} x {columns} pixels and holds {stored.shape[0]} x {stored.shape[1]}"
                )
            yield stored
    except (CaseReadError, MemoryError):
        raise
    except Exception as error:  # pydicom and the codecs raise whatever a damaged file leads them to
        reason = reason_of(error).replace(str(path), path.name)
        if "no pixel data to decode" in reason:
            raise CaseReadError(f"{frame.file}: has no pixel data, only a header; export the image again") from error
        advice = f"; or {JPEG_CODECS}" if syntax.is_encapsulated and syntax not in CODECS else ""
        raise CaseReadError(
            f"{frame.file}: its pixels cannot be decoded ({reason}): it is damaged or cut off; copy it again{advice}"
        ) from error


def pydicom_frames(frame: DicomFrame, path: Path) -> Iterator[NDArray[Any]]:
    """Frames by pydicom, one by one; what its iterator stumbles over, its reader of one frame often reads.

    Stumbling blocks are JPEG 2000 whose sign is not the header's (a read-only array), and fragments with a byte between
    them (found in memory, not in the file).
    """
    from pydicom import dcmread
    from pydicom.pixels.utils import iter_pixels, pixel_array

    count, done = frame.whole("NumberOfFrames", 1) or 1, 0
    plugin = plugin_of(transfer_syntax(frame))
    frames = iter_pixels(path, decoding_plugin=plugin)
    try:
        while done < count:
            with silenced():
                stored = next(frames, None)
            if stored is None:
                return
            yield stored
            done += 1
    except Exception:
        if not transfer_syntax(frame).is_encapsulated:
            raise
        whole = dcmread(path)
        for index in range(done, count):
            with silenced():
                stored = pixel_array(whole, index=index, decoding_plugin=plugin)
            yield stored


def plugin_of(syntax: "UID") -> str:
    """Return the name of the codec to use alone; empty where any will do.

    pydicom tries one after another, and what the first one refuses GDCM may end the process on.
    """
    from pydicom.pixels.decoders.base import get_decoder

    wanted = next((plugin for plugin, kinds in PLUGINS.items() if syntax in kinds), "")
    return wanted if wanted in get_decoder(syntax).available_plugins else ""


def is_deep_jpeg(frame: DicomFrame) -> bool:
    """Whether pixels are JPEG of 12 bits, which GDCM reads, but not for pydicom (its other codec is under the GPL)."""
    return transfer_syntax(frame) in LOSSY_JPEG and frame.whole("BitsStored", 8) > BYTE


def gdcm_frames(frame: DicomFrame, path: Path) -> Iterator[NDArray[Any]]:
    """Frames of 12 bits by GDCM itself, all at once.

    Raises:
        CaseReadError: GDCM is not installed, or they are cut off or not grey.

    """
    try:
        import gdcm
    except ImportError as error:
        raise CaseReadError(f"{frame.file}: its pixels are JPEG of 12 bits; {JPEG_CODECS}") from error
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    with silenced():
        content = reader.GetImage().GetBuffer() if reader.Read() else ""
    raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else bytes(content)
    shape = (frame.whole("NumberOfFrames", 1) or 1, frame.whole("Rows"), frame.whole("Columns"))
    if len(raw) != 2 * math.prod(shape):
        raise CaseReadError(
            f"{frame.file}: its pixels (JPEG of 12 bits) cannot be decoded: it is damaged or cut off; copy it again"
        )
    yield from np.frombuffer(raw, "<i2" if frame.whole("PixelRepresentation", 0) else "<u2").reshape(shape)


def check_codestreams(frame: DicomFrame, path: Path) -> None:
    """Check that compressed frames are there, and as large as the header says."""
    from pydicom import dcmread
    from pydicom.encaps import generate_frames

    declared = frame.whole("Rows"), frame.whole("Columns")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", CUT_OFF)
        whole = dcmread(path, specific_tags=["PixelData"])
    if "PixelData" not in whole:
        raise CaseReadError(f"{frame.file}: has no pixel data, only a header; export the image again")
    for encoded in generate_frames(whole.PixelData, number_of_frames=frame.whole("NumberOfFrames", 1) or 1):
        size = declared_size(encoded)
        if size not in (None, declared):
            raise CaseReadError(
                f"{frame.file}: its header declares {declared[0]} x {declared[1]} pixels, "
                f"its compressed pixels {size[0]} x {size[1]}: it is damaged; export it again"
            )
        if not has_end(encoded):
            raise CaseReadError(
                f"{frame.file}: the header of its compressed pixels (JPEG 2000) has no end: it is damaged; copy it anew"
            )
        if transfer_syntax(frame) in JPEG:
            check_segments(frame, encoded)
        if is_deep_jpeg(frame) and JPEG_END not in encoded[-4:]:
            raise CaseReadError(f"{frame.file}: its compressed pixels have no end: it is cut off; copy it again")


def check_segments(frame: DicomFrame, encoded: bytes) -> None:
    """Check what GDCM ends the process on."""
    try:
        check_jpeg(encoded, frame.whole("SamplesPerPixel", 1))
    except JpegError as error:
        raise CaseReadError(
            f"{frame.file}: its compressed pixels have {error}: it is damaged or cut off; copy it again"
        ) from error


def check_bits(frame: DicomFrame, path: Path) -> None:
    """Check that pixels of one bit are all there: pydicom takes missing ones for zeros."""
    from pydicom import dcmread

    bits = frame.whole("Rows") * frame.whole("Columns") * (frame.whole("NumberOfFrames", 1) or 1)
    found = len(dcmread(path, specific_tags=["PixelData"]).get("PixelData") or b"")
    if found * 8 < bits:
        raise CaseReadError(
            f"{frame.file}: holds {found} of {math.ceil(bits / 8)} bytes of pixels: it is cut off; copy it again"
        )
