"""Files as people have them: read into a `Scan`, label maps written back into the same place in space.

In and out: .nii and .nii.gz (nifti/), .nrrd (nrrd/), .mha (metaimage/), .png (pictures/), DICOM (dicom/).
In only: .nhdr, .mhd, .jpg, .tif, .bmp. Out only: .npz, with the labels as the array segs, in the file's order.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, CaseWriteError
from repmedsam_infer.formats.endings import DICOM, METAIMAGE, NIFTI, NRRD, OUTPUTS, PICTURE, ending_of
from repmedsam_infer.formats.opening import check_file, is_folder
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.volumes import choose_volume

DICOM_MARK = slice(128, 132)
NIFTI_LENGTHS = [length.to_bytes(4, order) for length in (348, 540) for order in ("little", "big")]  # of its headers
PACKED = (".gz", ".bz2", ".xz", ".zip", ".7z", ".tar")
VOLUMES = (".mgz", ".mgh", ".mnc", ".head", ".brik", ".par", ".rec", ".v", ".img")  # of other programs
# What a file without a telling ending begins with.
MARKS = {b"NRRD": ".nrrd", b"ObjectType": ".mha", b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"BM": ".bmp"}
MARKS |= {b"II*\0": ".tif", b"MM\0*": ".tif", b"II+\0": ".tif", b"MM\0+": ".tif"}


def read_scan(path: Path, series: str | None = None, volume: int | None = None) -> Scan:
    """Read a picture or volume; its ending says how, and where that says nothing, its first bytes.

    Args:
        path: a file, or a folder of one DICOM series.
        series: SeriesInstanceUID or series number, where a DICOM folder holds several.
        volume: which one, from 0, where a file or series holds several (times, channels, echoes).

    Raises:
        CaseReadError: it is of no known kind, or not what its kind demands.
        SetupError: what reads its kind is not installed.

    """
    ending = "" if is_folder(path) else kind_of(path)
    if ending in NIFTI:
        from repmedsam_infer.formats.nifti.image import read_nifti

        return read_nifti(path, volume)
    if ending in NRRD:
        from repmedsam_infer.formats.nrrd.image import read_nrrd

        return read_nrrd(path, volume)
    if ending in METAIMAGE:
        from repmedsam_infer.formats.metaimage.image import read_metaimage

        return read_metaimage(path, volume)
    if ending in PICTURE:
        from repmedsam_infer.formats.pictures.picture import read_picture

        choose_volume(path.name, 1, volume)
        return read_picture(path)
    from repmedsam_infer.formats.dicom.series import read_dicom

    return read_dicom(path, series, volume)


def scan_of(image: Any, volume: int | None = None) -> Scan | None:
    """Return the scan of a path, or of an image of nibabel or SimpleITK; None for anything else.

    volume: which one, from 0, of a file that holds several.

    Raises:
        CaseReadError, SetupError: as `read_scan` does; or the image has other axes than a picture's or a volume's.

    """
    if isinstance(image, str | Path):
        return read_scan(Path(image), volume=volume)
    if is_nibabel(image):
        from repmedsam_infer.formats.nifti.image import scan_of_nibabel

        return scan_of_nibabel(image)
    if type(image).__module__.partition(".")[0] == "SimpleITK":
        from repmedsam_infer.formats.simpleitk import scan_of_simpleitk

        return scan_of_simpleitk(image)
    return None


def is_nibabel(image: Any) -> bool:
    return any(kind.__module__.startswith("nibabel.") for kind in type(image).__mro__)


def kind_of(path: Path) -> str:
    """Return the ending that says how to read a file, whether the file has it or not.

    Raises:
        CaseReadError: the file is not there, or its kind is not known.

    """
    check_file(path)
    ending = ending_of(path)
    if ending in (*NIFTI, *NRRD, *METAIMAGE, *PICTURE, *DICOM):
        return ending
    try:
        with path.open("rb") as file:
            head = file.read(352)
    except OSError as error:
        raise CaseReadError(f"{path.name}: cannot be opened ({error.strerror})") from error
    if head[DICOM_MARK] == b"DICM":
        return ".dcm"
    if head[:4] in NIFTI_LENGTHS:  # of a pair of .hdr and .img, too, which is refused by its name
        return ".nii"
    for mark, of_kind in MARKS.items():
        if head.startswith(mark):
            return of_kind
    advice = "; cases in npz are for repmedsam predict" if path.suffix == ".npz" else ""
    if path.suffix.lower() in PACKED:
        advice = "; it is packed: unpack it first"
    if path.suffix.lower() in VOLUMES:
        advice = "; convert it to .nii.gz first"
    known = ", ".join((*NIFTI, *NRRD, *METAIMAGE, *PICTURE))
    raise CaseReadError(f"{path.name}: is of no kind that can be read ({known}, DICOM){advice}")


def check_holds(path: Path, scan: Scan) -> None:
    """Check that the format of `path` can hold a label map of the scan, known before one is made.

    Raises:
        CaseWriteError: it cannot.

    """
    ending = ending_of(path)
    if ending == ".png" and scan.is_volume and scan.shape[0] > 1:
        raise CaseWriteError(f"{path.name}: {scan.name} is a volume, which PNG cannot hold; write .nii.gz or .nrrd")
    if ending == ".dcm":
        from repmedsam_infer.formats.dicom.series import DicomSource

        if not isinstance(scan.source, DicomSource):
            raise CaseWriteError(
                f"{path.name}: {scan.name} was not read from DICOM, which a DICOM SEG refers to; write .nii.gz, .nrrd "
                "or .png"
            )
        if scan.source.is_part:
            raise CaseWriteError(
                f"{path.name}: {scan.name} is one file of several volumes, which a DICOM SEG cannot refer to; "
                "write .nii.gz or .nrrd"
            )


def write_labels(path: Path, labels: NDArray[Any], scan: Scan, names: Sequence[str] | None = None) -> None:
    """Write a label map to where the scan's voxels lie, whole or not at all; the ending of `path` says how.

    Args:
        path: where to; replaced if it is there.
        labels: uint8 or uint16 of scan.shape, in the file's order.
        scan: what it is a label map of.
        names: of label 1, 2, ...; DICOM and NRRD keep them, those of NIfTI and MetaImage go into a file beside it
            (names/itksnap.py).

    Raises:
        CaseWriteError: the format cannot hold it, or the disk is full.
        SetupError: what writes the format is not installed.

    """
    if labels.shape != scan.shape:
        raise CaseWriteError(f"{path.name}: labels of shape {labels.shape} for {scan.name} of shape {scan.shape}")
    check_holds(path, scan)
    ending = ending_of(path)
    if ending in NIFTI:
        from repmedsam_infer.formats.nifti.image import write_nifti

        write_nifti(path, labels, scan)
    elif ending in NRRD:
        from repmedsam_infer.formats.nrrd.image import write_nrrd

        write_nrrd(path, labels, scan, names)
    elif ending == ".mha":
        from repmedsam_infer.formats.metaimage.image import write_metaimage

        write_metaimage(path, labels, scan)
    elif ending == ".png":
        from repmedsam_infer.formats.pictures.picture import write_picture

        write_picture(path, labels)
    elif ending == ".npz":
        from repmedsam_infer.case import write_segmentation

        write_segmentation(path, labels)
    elif ending == ".dcm":
        from repmedsam_infer.formats.dicom.seg import write_seg

        write_seg(path, labels, scan, names)
    else:
        raise CaseWriteError(f"{path.name}: label maps are written as {', '.join(OUTPUTS)}")
    if names:
        from repmedsam_infer.formats.names.itksnap import describe_labels

        describe_labels(path, names)
