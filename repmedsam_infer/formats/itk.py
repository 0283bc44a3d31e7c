"""NRRD and MetaImage (.nrrd, .mha, .mhd), by SimpleITK: image in, label map out in the very same place."""

import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.errors import CaseReadError, CaseWriteError, SetupError
from repmedsam_infer.formats.affine import check_affine
from repmedsam_infer.formats.endings import ending_of, name_of
from repmedsam_infer.formats.itk_header import check_header
from repmedsam_infer.formats.names.slicer import MOST_SEGMENTS, names_in, segment_fields
from repmedsam_infer.formats.opening import BESIDES, check_file
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.silence import silenced
from repmedsam_infer.formats.volumes import choose_volume
from repmedsam_infer.io.atomic import write_result
from repmedsam_infer.io.npz import MAX_ARRAY_BYTES
from repmedsam_infer.system.memory import check_fits

INSTALL = "NRRD and MetaImage need SimpleITK: pip install 'repmedsam[files]'"
IN_3D, IN_TIME = 3, 4  # axes
LEVEL = 1  # of compression: label maps are long runs of equal bytes


@dataclass(frozen=True)
class ItkSource:
    """What a label map takes from its image: origin, spacing and direction, as SimpleITK has them, of 2 or 3 axes."""

    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    direction: tuple[float, ...]


def read_itk(path: Path, volume: int | None = None) -> Scan:
    """Read a volume, or a picture where the file has two axes.

    volume: which one, from 0, of a file of four axes, or of one that has several values a voxel.

    Raises:
        CaseReadError: it is damaged, too large, has several volumes, or its voxels are neither grey nor RGB.
        SetupError: SimpleITK is not installed.

    """
    try:
        import SimpleITK as sitk  # noqa: N813  its name everywhere
    except ImportError as error:
        raise SetupError(INSTALL) from error
    check_file(path)
    check_header(path)
    sitk.ProcessObject.GlobalWarningDisplayOff()
    reader = sitk.ImageFileReader()
    reader.SetFileName(name_for_itk(path))
    try:
        with silenced():
            reader.ReadImageInformation()
        check_information(path.name, reader, sitk, volume)
        with silenced():
            several = not is_shown(reader, sitk)
            image = one_volume(path.name, reader.Execute(), sitk, volume, several=several)
    except RuntimeError as error:
        raise CaseReadError(f"{path.name}: cannot be read ({reason_of(error)}): it is damaged or cut off") from error
    voxels = sitk.GetArrayFromImage(image)
    is_volume = image.GetDimension() == IN_3D
    source = ItkSource(image.GetOrigin(), image.GetSpacing(), image.GetDirection())
    warnings = []
    if path.suffix.lower() == ".nrrd" and is_volume and "NRRD_space" not in reader.GetMetaDataKeys():
        warnings.append(
            "its header does not say how it lies in the patient (no space): its axes were taken for left, back, head"
        )
    return Scan(
        name=name_of(path),
        voxels=voxels,
        is_volume=is_volume,
        affine=affine_of(path.name, source) if is_volume else None,
        source=source,
        warnings=tuple(warnings),
    )


def scan_of_itk(image: Any) -> Scan:
    """Return the volume, or the picture where it has two axes, of an image of SimpleITK.

    Raises:
        CaseReadError: it has other axes, or its voxels are neither grey nor RGB.

    """
    import SimpleITK as sitk  # noqa: N813

    axes, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if axes not in (2, 3) or components not in (1, 3):
        raise CaseReadError(
            f"image: has {axes} axes and {components} values a voxel; 2 or 3 axes, grey or RGB are needed"
        )
    is_volume = image.GetDimension() == IN_3D
    source = ItkSource(image.GetOrigin(), image.GetSpacing(), image.GetDirection())
    affine = affine_of("image", source) if is_volume else None
    return Scan("image", sitk.GetArrayFromImage(image), is_volume, affine, source=source)


def name_for_itk(path: Path) -> str:
    """Raise CaseReadError where a name is none in UTF-8, which ends ITK's process."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise CaseReadError(f"{path.name}: its name, or that of its folder, is not UTF-8: rename it") from error
    return str(path)


def check_information(name: str, reader: Any, sitk: Any, volume: int | None) -> None:
    """Check what the header declares, before anything is read.

    Raises:
        CaseReadError: it is not one picture or volume that can be held, or none of several that it has was chosen.

    """
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    sides = " x ".join(map(str, size))
    if len(size) not in (2, 3, 4) or (len(size) == IN_TIME and not is_shown(reader, sitk)):
        raise CaseReadError(f"{name}: has {len(size)} axes ({sides}) and {components} values a voxel; give one volume")
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if "complex" in kind or "label" in kind:
        raise CaseReadError(f"{name}: its voxels are of the type '{kind}'; grey levels or RGB are needed")
    bits = re.search(r"\d+", kind)
    itemsize = int(bits.group()) // 8 if bits else 8
    if math.prod(size) == 0:
        raise CaseReadError(f"{name}: its header declares {sides} voxels: it is damaged")
    bytes_declared = math.prod(size) * components * itemsize
    if bytes_declared > MAX_ARRAY_BYTES:
        raise CaseReadError(
            f"{name}: declares {sides} voxels, {bytes_declared / 2**30:,.1f} GiB; "
            f"the limit is {MAX_ARRAY_BYTES / 2**30:.0f} GiB"
        )
    if len(size) == IN_TIME:
        choose_volume(name, size[3], volume, sides)
    elif not is_shown(reader, sitk):
        choose_volume(name, components, volume, f"values a voxel, of {sides} voxels")
    else:
        choose_volume(name, 1, volume)
    # ITK's image, and numpy's copy of it.
    check_fits(name, 2 * bytes_declared + BESIDES * math.prod(size[:3]))


def is_shown(reader: Any, sitk: Any) -> bool:
    """Whether a voxel has one value, or a colour: three of 8 bits, or what NRRD calls one. Three others are volumes."""
    components = reader.GetNumberOfComponents()
    kinds = reader.GetMetaData("NRRD_kinds[0]") if "NRRD_kinds[0]" in reader.GetMetaDataKeys() else ""
    is_colour = reader.GetPixelID() == sitk.sitkVectorUInt8 or "RGB" in kinds
    return bool(components == 1 or (components == 3 and is_colour))


def one_volume(name: str, image: Any, sitk: Any, volume: int | None, *, several: bool) -> Any:
    """Return the volume that was chosen out of an image of four axes, or of `several` values a voxel."""
    if image.GetDimension() == IN_TIME:
        index = choose_volume(name, image.GetSize()[3], volume)
        return sitk.Extract(image, (*image.GetSize()[:3], 0), (0, 0, 0, index))
    if several:
        index = choose_volume(name, image.GetNumberOfComponentsPerPixel(), volume)
        return sitk.VectorIndexSelectionCast(image, index)
    return image


def reason_of(error: RuntimeError) -> str:
    """Return the last line of an ITK error, without its address."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^.*?(?:ERROR:|\):)\s*", "", lines[-1]) if lines else type(error).__name__


def affine_of(name: str, source: ItkSource) -> NDArray[np.float64]:
    affine = np.eye(4)
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of that is refused below
        affine[:3, :3] = np.reshape(source.direction, (3, 3)) * source.spacing
    affine[:3, 3] = source.origin
    check_affine(name, affine)
    return affine


def write_itk(path: Path, labels: NDArray[Any], scan: Scan, names: Sequence[str] | None = None) -> None:
    """Write (H, W) or (D, H, W) labels, compressed, in the place of the image.

    A volume in NRRD holds the names of label 1, 2, ..., if they are given, as 3D Slicer's segmentations do; .seg.nrrd
    is always such a segmentation, of a picture, too, which becomes a volume of one slice. More than MOST_SEGMENTS names
    are left out.

    Raises:
        CaseWriteError: it could not be written.
        SetupError: SimpleITK is not installed.

    """
    try:
        import SimpleITK as sitk  # noqa: N813
    except ImportError as error:
        raise SetupError(INSTALL) from error
    source = scan.source if isinstance(scan.source, ItkSource) else source_of(scan)
    is_segmentation = ending_of(path) == ".seg.nrrd"
    if is_segmentation and labels.ndim < IN_3D:
        labels, source = labels[None], as_volume(source)
    if is_segmentation and names is None:
        names = [f"label {label}" for label in range(1, int(labels.max(initial=0)) + 1)]
    image = sitk.GetImageFromArray(labels)
    image.SetOrigin(source.origin)
    image.SetSpacing(source.spacing)
    image.SetDirection(source.direction)
    if names and len(names) <= MOST_SEGMENTS and path.suffix.lower() == ".nrrd" and labels.ndim == IN_3D:
        for key, value in segment_fields(names, labels.shape).items():
            image.SetMetaData(key, value)
    try:
        with tempfile.TemporaryDirectory(prefix="repmedsam-") as scratch:
            written = Path(scratch) / f"labels{ending_of(path)}"
            sitk.WriteImage(image, str(written), useCompression=True, compressionLevel=LEVEL)
            content = written.read_bytes()
    except (OSError, RuntimeError) as error:
        reason = (error.strerror or "") if isinstance(error, OSError) else reason_of(error)
        raise CaseWriteError(f"{path.name}: the label map could not be written to {path.parent} ({reason})") from error
    write_result(path, content, "the label map")


def as_volume(source: ItkSource) -> ItkSource:
    """Return the place of a picture as that of a volume of one slice."""
    direction = np.eye(IN_3D)
    direction[:2, :2] = np.reshape(source.direction, (2, 2))
    return ItkSource((*source.origin, 0.0), (*source.spacing, 1.0), tuple(direction.ravel().tolist()))


def segment_names(path: Path) -> dict[int, str]:
    """Return the names of labels in the header of a NRRD file, as 3D Slicer's segmentations have them."""
    from SimpleITK import ImageFileReader

    reader = ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return names_in({key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()})


def source_of(scan: Scan) -> ItkSource:
    """Of an image in another format; one that lies nowhere gets pixels of 1 at 0."""
    if scan.affine is None:
        axes = len(scan.shape)
        return ItkSource((0.0,) * axes, (1.0,) * axes, tuple(np.eye(axes).ravel().tolist()))
    axes_mm = scan.affine[:3, :3]
    spacing = np.linalg.norm(axes_mm, axis=0)
    direction = (axes_mm / spacing).ravel()
    return ItkSource(tuple(scan.affine[:3, 3].tolist()), tuple(spacing.tolist()), tuple(direction.tolist()))
