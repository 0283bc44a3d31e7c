"""Every file that pydicom and nibabel ship with their tests is read, or refused in words that fit, and in silence."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats import read_scan

# What is read: type and shape of the voxels, slowest axis first.
PYDICOM = """
693_J2KI.dcm: int16 512 x 512
CT_small.dcm: int32 128 x 128
ExplVR_BigEnd.dcm: uint8 60 x 80 x 3
GDCMJ2K_TextGBR.dcm: uint8 400 x 400 x 3
J2K_pixelrep_mismatch.dcm: int16 512 x 512
JPEG-lossy.dcm: int16 1024 x 256
JPEG2000.dcm: int16 1024 x 256
JPEGLSNearLossless_08.dcm: uint8 45 x 10
JPEGLSNearLossless_16.dcm: uint16 50 x 10
JPGExtended.dcm: int16 1024 x 256
MR_small.dcm: int16 64 x 64
MR_small_RLE.dcm: int16 64 x 64
MR_small_bigendian.dcm: int16 64 x 64
MR_small_expb.dcm: int16 64 x 64
MR_small_implicit.dcm: int16 64 x 64
MR_small_jp2klossless.dcm: int16 64 x 64
MR_small_jpeg_ls_lossless.dcm: int16 64 x 64
MR_small_padded.dcm: int16 64 x 64
SC_jpeg_no_color_transform.dcm: uint8 256 x 256 x 3
SC_jpeg_no_color_transform_2.dcm: uint8 256 x 256 x 3
SC_rgb_dcmtk_+eb+cr.dcm: uint8 100 x 100 x 3
SC_rgb_dcmtk_+eb+cy+n1.dcm: uint8 100 x 100 x 3
SC_rgb_dcmtk_+eb+cy+n2.dcm: uint8 100 x 100 x 3
SC_rgb_dcmtk_+eb+cy+np.dcm: uint8 100 x 100 x 3
SC_rgb_dcmtk_+eb+cy+s2.dcm: uint8 100 x 100 x 3
SC_rgb_dcmtk_+eb+cy+s4.dcm: uint8 100 x 100 x 3
SC_rgb_gdcm_KY.dcm: uint8 100 x 100 x 3
SC_rgb_jls_lossy_line.dcm: uint8 100 x 100 x 3
SC_rgb_jls_lossy_sample.dcm: uint8 100 x 100 x 3
SC_rgb_jpeg.dcm: uint8 256 x 256 x 3
SC_rgb_jpeg_app14_dcmd.dcm: uint8 256 x 256 x 3
SC_rgb_jpeg_dcmd.dcm: uint8 256 x 256 x 3
SC_rgb_jpeg_dcmtk.dcm: uint8 100 x 100 x 3
SC_rgb_jpeg_gdcm.dcm: uint8 100 x 100 x 3
SC_rgb_jpeg_lossy_gdcm.dcm: uint8 100 x 100 x 3
SC_rgb_rle.dcm: uint8 100 x 100 x 3
SC_rgb_rle_16bit.dcm: uint8 100 x 100 x 3
SC_rgb_rle_16bit_2frame.dcm: uint8 2 x 100 x 100 x 3
SC_rgb_rle_2frame.dcm: uint8 2 x 100 x 100 x 3
SC_rgb_rle_32bit.dcm: uint8 100 x 100 x 3
SC_rgb_rle_32bit_2frame.dcm: uint8 2 x 100 x 100 x 3
SC_rgb_small_odd.dcm: uint8 3 x 3 x 3
SC_rgb_small_odd_big_endian.dcm: uint8 3 x 3 x 3
SC_rgb_small_odd_jpeg.dcm: uint8 3 x 3 x 3
SC_ybr_full_422_uncompressed.dcm: uint8 100 x 100 x 3
dicomdirtests/77654033/CR1/6154: float32 16 x 16
dicomdirtests/77654033/CR2/6247: float32 16 x 16
dicomdirtests/77654033/CR3/6278: float32 16 x 16
dicomdirtests/77654033/CT2/17106: int32 16 x 16
dicomdirtests/77654033/CT2/17136: int32 16 x 16
dicomdirtests/77654033/CT2/17166: int32 16 x 16
dicomdirtests/77654033/CT2/17196: int32 16 x 16
dicomdirtests/98892001/CT2N/6293: int32 16 x 16
dicomdirtests/98892001/CT2N/6924: int32 16 x 16
dicomdirtests/98892001/CT5N/2062: int32 16 x 16
dicomdirtests/98892001/CT5N/2392: int32 16 x 16
dicomdirtests/98892001/CT5N/2693: int32 16 x 16
dicomdirtests/98892001/CT5N/3023: int32 16 x 16
dicomdirtests/98892001/CT5N/3353: int32 16 x 16
dicomdirtests/98892003/MR1/15820: int16 16 x 16
dicomdirtests/98892003/MR1/4919: int16 16 x 16
dicomdirtests/98892003/MR1/5641: int16 16 x 16
dicomdirtests/98892003/MR2/15970: int16 16 x 16
dicomdirtests/98892003/MR2/4950: int16 16 x 16
dicomdirtests/98892003/MR2/4981: int16 16 x 16
dicomdirtests/98892003/MR2/5011: int16 16 x 16
dicomdirtests/98892003/MR2/6273: int16 16 x 16
dicomdirtests/98892003/MR2/6605: int16 16 x 16
dicomdirtests/98892003/MR2/6935: int16 16 x 16
dicomdirtests/98892003/MR700/4467: int16 16 x 16
dicomdirtests/98892003/MR700/4528: int16 16 x 16
dicomdirtests/98892003/MR700/4558: int16 16 x 16
dicomdirtests/98892003/MR700/4588: int16 16 x 16
dicomdirtests/98892003/MR700/4618: int16 16 x 16
dicomdirtests/98892003/MR700/4648: int16 16 x 16
dicomdirtests/98892003/MR700/4678: int16 16 x 16
examples_jpeg2k.dcm: uint8 480 x 640 x 3
examples_overlay.dcm: int16 300 x 484
examples_palette.dcm: uint8 350 x 800 x 3
examples_rgb_color.dcm: uint8 240 x 320 x 3
examples_ybr_color.dcm: uint8 30 x 240 x 320 x 3
"""
NIBABEL = """
0.dcm: int16 256 x 256
1.dcm: int16 256 x 256
anatomical.nii: int16 25 x 41 x 33
reoriented_anat_moved.nii: float32 22 x 26 x 21
resampled_anat_moved.nii: float32 3 x 21 x 17
standard.nii.gz: uint8 7 x 5 x 4
../../nicom/tests/data/0.dcm: int16 256 x 256
../../nicom/tests/data/1.dcm: int16 256 x 256
../../nicom/tests/data/decimal_rescale.dcm: int16 96 x 128
../../nicom/tests/data/slicethickness_empty_string.dcm: int16 384 x 384
"""
# What is refused, and a part of the sentence that says why. What is in neither table is of no kind that can be read.
PYDICOM_REFUSED = {
    "is a DICOM data set without the 128 bytes": """
        ExplVR_BigEndNoMeta.dcm
        ExplVR_LitEndNoMeta.dcm
        rtstruct.dcm
    """,
    "its compressed pixels 1024 x": """
        JPEG2000-embedded-sequence-delimiter.dcm
    """,
    "its pixels cannot be decoded": """
        MR_truncated.dcm
    """,
    "without pixels, only a header": """
        UN_sequence.dcm
        dicomdirtests/TINY_ALPHA/DICOMDIR
        no_meta_group_length.dcm
        priv_SQ.dcm
    """,
    "is a radiotherapy dose": """
        badVR.dcm
        rtdose.dcm
        rtdose_1frame.dcm
        rtdose_expb.dcm
        rtdose_expb_1frame.dcm
        rtdose_rle.dcm
        rtdose_rle_1frame.dcm
    """,
    "13 series; choose one": """
        dicomdirtests/DICOMDIR
        dicomdirtests/DICOMDIR-bigEnd
        dicomdirtests/DICOMDIR-implicit
        dicomdirtests/DICOMDIR-nooffset
        dicomdirtests/DICOMDIR-nopatient
        dicomdirtests/DICOMDIR-reordered
    """,
    "none of the": """
        dicomdirtests/DICOMDIR-empty.dcm
    """,
    "is DICOM of an unknown kind, not an image": """
        empty_charset_LEI.dcm
        meta_missing_tsyntax.dcm
        nested_priv_SQ.dcm
    """,
    "is deflated as a whole": """
        image_dfl.dcm
    """,
    "is a segmentation (SEG)": """
        liver_1frame.dcm
        liver_expb_1frame.dcm
    """,
    "is not a DICOM file": """
        no_meta.dcm
    """,
    "SR Storage (SR), not an image": """
        reportsi.dcm
        reportsi_with_empty_number_tags.dcm
        test-SR.dcm
    """,
    "RT Plan Storage (RTPLAN), not an image": """
        rtplan.dcm
        rtplan_truncated.dcm
    """,
    "12-lead ECG Waveform": """
        waveform_ecg.dcm
    """,
    "unpack it first": """
        zipMR.gz
    """,
}
NIBABEL_REFUSED = {
    "convert it to .nii.gz first": """
        test.mgz
        tiny.mnc
        scaled+tlrc.BRIK
    """,
    "unpack it first": """
        example4d+orig.BRIK.gz
        ../../nicom/tests/data/csa2_zero_len.bin.gz
        ../../nicom/tests/data/philips_mprage.dcm.gz
        ../../nicom/tests/data/siemens_dwi_0.dcm.gz
        ../../nicom/tests/data/siemens_dwi_1000.dcm.gz
    """,
    "half of a pair": """
        analyze.hdr
        nifti1.hdr
        nifti2.hdr
    """,
    "holds 2 volumes": """
        example4d.nii.gz
        example_nifti2.nii.gz
    """,
    "holds 20 volumes": """
        functional.nii
    """,
    "is CIFTI": """
        row_major.dconn.nii
    """,
    "has no pixel data, only a header": """
        ../../nicom/tests/data/csa_slice_norm.dcm
    """,
}
NO_KIND = "is of no kind that can be read"


@cache
def folder_of(package: str, *parts: str) -> Path | None:
    """Where a package keeps its tests' files."""
    spec = find_spec(package)
    folder = Path(spec.origin).parent.joinpath(*parts) if spec is not None and spec.origin else None
    return folder if folder is not None and folder.is_dir() else None


def expected(read: str, refused: dict[str, str]) -> dict[str, str]:
    """Of each file, what is read of it or said about it."""
    found = dict(line.split(": ") for line in read.strip().splitlines())
    return found | {name: reason for reason, names in refused.items() for name in names.split()}


@pytest.mark.parametrize(
    ("package", "parts", "read", "refused"),
    [
        ("pydicom", ("data", "test_files"), PYDICOM, PYDICOM_REFUSED),
        ("nibabel", ("tests", "data"), NIBABEL, NIBABEL_REFUSED),
    ],
    ids=["pydicom", "nibabel"],
)
def test_files_of_other_projects_are_read_or_refused_in_words_that_fit(
    package: str, parts: tuple[str, ...], read: str, refused: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(package, *parts)
    if folder is None:
        pytest.skip(f"{package} ships no test files here")
    table = expected(read, refused)
    wrong = []
    for name, outcome in table.items():
        path = folder / name
        if not path.exists():  # in this version of the package
            continue
        try:
            voxels = read_scan(path).voxels
            said = f"{voxels.dtype} {' x '.join(map(str, voxels.shape))}"
        except CaseReadError as error:
            said = str(error)
            if not said.isprintable() or not said.startswith(path.name):
                wrong.append(f"{name}: the sentence is {said!r}")
        if outcome not in said:
            wrong.append(f"{name}: {said}, not {outcome}")
    assert not wrong
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in table and "TINY_ALPHA" not in name:
            with pytest.raises(CaseReadError, match=NO_KIND):
                read_scan(path)
    assert capfd.readouterr() == ("", "")
