"""Files whose honest sizes are more than there is memory for: one sentence each, and the next file is read."""

import gzip
import math
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from repmedsam_infer.boxes import tight_boxes
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.pictures.header import read_header
from repmedsam_infer.formats.pictures.palette import INDEXED, PNG_START, chunk
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.scan_case import make_scan_case
from repmedsam_infer.preprocess import View
from repmedsam_infer.segmentation import decode
from repmedsam_infer.segmentation.decode import Decoding, object_mask
from repmedsam_infer.system import memory
from tests.dicom_files import film, save

SIDE = 20_000
# Reads each file with an address space of 400 MiB more than what is imported by then.
SCRIPT = """
import resource, sys
from pathlib import Path
import cv2, numpy, nibabel, pydicom
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats import read_scan
from repmedsam_infer.formats.label_grid import whole_labels
good = Path(sys.argv[1])
whole_labels(read_scan(good))
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (400 << 20),) * 2)
for path in map(Path, sys.argv[2:]):
    try:
        whole_labels(read_scan(path))
    except CaseReadError as error:
        print(error)
    else:
        print(path.name, "was read")
print(read_scan(good).shape)
"""


def png_bomb(path: Path, colours: int) -> None:
    """A picture that declares SIDE x SIDE pixels."""
    header = SIDE.to_bytes(4, "big") * 2 + bytes([8, colours, 0, 0, 0])
    parts = [(b"IHDR", header), (b"PLTE", bytes(range(6))), (b"IDAT", zlib.compress(bytes(1 << 20))), (b"IEND", b"")]
    path.write_bytes(PNG_START + b"".join(chunk(kind, data) for kind, data in parts))


def volume_bombs(folder: Path) -> list[Path]:
    """Volumes of 700 MiB of zeros: sparse, or compressed."""
    nib = pytest.importorskip("nibabel")
    header = nib.Nifti1Header()
    header.set_data_shape((700, 1024, 1024))
    header.set_data_dtype(np.uint8)
    header["vox_offset"] = 352
    sparse = folder / "sparse.nii"
    sparse.write_bytes(header.binaryblock + bytes(4))
    with sparse.open("ab") as file:
        file.truncate(352 + (700 << 20))
    meta = folder / "sparse.mha"
    meta.write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 700 1024 1024\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )
    with meta.open("ab") as file:
        file.truncate(meta.stat().st_size + (700 << 20))
    nrrd = folder / "packed.nrrd"
    nrrd.write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 700 1024 1024\nencoding: gzip\n\n" + gzip.compress(bytes(1 << 20))
    )
    movie = film(np.zeros((2, 1024, 1024), np.uint8))
    movie.NumberOfFrames = 700
    path = save(movie, folder / "film.dcm")
    with path.open("ab") as file:
        file.truncate(path.stat().st_size + (698 << 20))
    return [sparse, meta, nrrd, path]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="how large the process is is not known here")
def test_what_does_not_fit_into_memory_is_one_sentence_and_the_next_file_is_read(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    cv2.imwrite(str(good), np.zeros((50, 60), np.uint8))
    bombs = volume_bombs(tmp_path)
    for name, colours in (("grey.png", 0), ("rgb.png", 2), ("palette.png", INDEXED)):
        png_bomb(tmp_path / name, colours)
        bombs.append(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, good, *bombs], capture_output=True, text=True, check=False, timeout=60
    )
    said = done.stdout.splitlines()
    assert (done.returncode, done.stderr, said[-1]) == (0, "", "(50, 60)")
    for path, line in zip(bombs, said, strict=False):
        assert line.startswith(f"{path.name}: needs about "), line
        assert "of memory, and " in line


@pytest.mark.parametrize(
    ("ending", "shape", "dtype", "least"),
    [
        (".png", (5, 7), np.uint8, 1),
        (".png", (5, 7), np.uint16, 2),
        (".png", (5, 7, 3), np.uint8, 3),
        (".png", (5, 7, 4), np.uint16, 8),
        (".jpg", (5, 7, 3), np.uint8, 3),
        (".bmp", (5, 7, 3), np.uint8, 3),
        (".tif", (5, 7), np.uint8, 1),
        (".tif", (5, 7), np.float32, 4),
        (".tif", (5, 7, 3), np.uint16, 6),
    ],
)
def test_headers_say_how_large_decoded_pictures_are(
    ending: str, shape: tuple[int, ...], dtype: type[np.number], least: int
) -> None:
    content = cv2.imencode(ending, np.zeros(shape, dtype))[1].tobytes()
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert decoded.nbytes // math.prod(shape[:2]) == least
    assert least <= read_header("p", content).bytes_a_pixel <= least + 1


def test_masks_do_not_depend_on_the_bands_that_they_are_worked_out_in(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    box = np.array([5, 8, 200, 150], np.float32)
    views = (View(700, 900), View(700, 900, mirrored=True), View(200, 220, 256, 100, 50))
    decodings = [Decoding(view, box, draw.normal(size=(64, 64)).astype(np.float32)) for view in views]
    rows, columns, whole = object_mask(decodings, focus=True)
    monkeypatch.setattr(decode, "PIXELS_AT_ONCE", 1000)
    assert (rows, columns) == object_mask(decodings, focus=True)[:2]
    np.testing.assert_array_equal(object_mask(decodings, focus=True)[2], whole)


def test_boxes_do_not_depend_on_the_pieces_that_labels_are_found_in(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(0).integers(0, 9, (4, 33, 21)) * (
        np.random.default_rng(1).random((4, 33, 21)) > 0.99
    )
    whole = tight_boxes(labels)
    monkeypatch.setattr("repmedsam_infer.boxes.PIXELS_AT_ONCE", 50)
    np.testing.assert_array_equal(tight_boxes(labels), whole)


def test_a_box_that_is_too_large_for_the_memory_is_refused_before_anything_is_worked_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scan = Scan("scan", np.zeros((16, 512, 512), np.int16), is_volume=True, modality="MR")
    monkeypatch.setattr(memory, "UNCHECKED", 1 << 20)
    monkeypatch.setattr(memory, "available_bytes", lambda: 32 << 20)
    small, large = np.array([[5.0, 5, 5, 50, 50, 9]]), np.array([[0.0, 0, 0, 511, 511, 15]])
    assert make_scan_case("scan.nii", scan, small, None)[0].boxes.count == 1
    with pytest.raises(CaseReadError, match=r"^scan\.nii: needs about 56 MiB of memory, and 32 MiB are free"):
        make_scan_case("scan.nii", scan, large, None)
