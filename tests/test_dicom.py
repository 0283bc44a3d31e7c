"""DICOM in: every voxel lands at the millimetre that its header says, with the value that its header means."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.processing import convert_color_space
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from repmedsam_infer.errors import CaseReadError, CaseWriteError
from repmedsam_infer.formats import write_labels
from repmedsam_infer.formats.dicom.frames import DicomFrame
from repmedsam_infer.formats.dicom.series import read_dicom
from repmedsam_infer.formats.scan import Scan
from tests.dicom_files import F64, affine_of, enhanced, film, group, image, index_of, place, rotated, save, write_series

ANGLED = affine_of(rotated(), (0.7, 0.9, 2.5), (-103.25, 40.5, -512.125))


def noise(depth: int = 5, dtype: str = "i2") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2000, (depth, 6, 8)).astype(dtype)


def shipped(name: str) -> Path:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path)


def mm(scan: Scan, x: float, y: float, z: float) -> F64:
    assert scan.affine is not None
    return (scan.affine @ [x, y, z, 1])[:3]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    spacing=st.tuples(*[st.floats(0.1, 12)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    depth=st.integers(2, 6),
    data=st.data(),
)
def test_every_voxel_of_a_series_lands_where_its_header_says(
    seed: int,
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    depth: int,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    order = data.draw(st.permutations(range(depth)))
    affine, voxels = affine_of(rotated(seed), spacing, origin), noise(depth)
    scan = read_dicom(write_series(tmp_path_factory.mktemp("series"), voxels, affine, "MR", order=order))
    np.testing.assert_array_equal(scan.voxels, voxels)
    assert scan.affine is not None
    np.testing.assert_allclose(scan.affine, affine, atol=1e-5)
    assert scan.spacing is not None
    np.testing.assert_allclose(scan.spacing, spacing[::-1], rtol=1e-6)
    assert scan.slice_axis == 2  # whatever the spacing


def test_each_pixel_is_where_the_standards_equation_puts_it(tmp_path: Path) -> None:
    """PS3.3 C.7.6.2.1.1, from the file's own attributes; voxels carry their mark through the sorting."""
    voxels = np.zeros((5, 6, 8), np.int16)
    voxels[3, 1, 6] = 999
    folder = write_series(tmp_path / "series", voxels, ANGLED)
    scan = read_dicom(folder)
    z, y, x = (int(i) for i in np.argwhere(scan.voxels == 999)[0])
    header = next(ds for ds in map(dcmread, sorted(folder.iterdir())) if ds.pixel_array.any())
    row, column = (int(i) for i in np.argwhere(header.pixel_array == 999)[0])
    position = np.array(header.ImagePositionPatient, float)
    along, down = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = (float(v) for v in header.PixelSpacing)
    np.testing.assert_allclose(
        mm(scan, x, y, z), position + along * between_columns * column + down * between_rows * row
    )


@pytest.mark.parametrize("seed", range(4))
def test_each_voxel_has_the_same_place_in_itk(seed: int, tmp_path: Path) -> None:
    """GDCM sorts and places slices by code of its own."""
    affine = affine_of(rotated(seed), (0.7, 0.9, 2.5), (-103.25, 40.5, -512.125))
    scan = read_dicom(write_series(tmp_path / "series", noise(), affine, order=[2, 0, 4, 1, 3]))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "series")))
    volume = reader.Execute()
    for z, y, x in np.ndindex(scan.shape):
        assert volume[volume.TransformPhysicalPointToIndex(mm(scan, x, y, z).tolist())] == scan.voxels[z, y, x]


def test_affines_are_right_handed_and_upright_whatever_the_names_say(tmp_path: Path) -> None:
    scan = read_dicom(write_series(tmp_path / "series", noise(), ANGLED, order=[2, 0, 4, 1, 3]))
    assert scan.affine is not None
    axes = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert np.linalg.det(axes) > 0
    assert (scan.name, scan.modality, scan.is_volume, scan.warnings) == ("series", "CT", True, ())


def test_rounding_in_headers_is_taken_for_an_even_stack(tmp_path: Path) -> None:
    affine = affine_of(np.eye(3), (0.8, 0.8, 0.625), (-100, -100, -55.5))

    def rounded(dataset: Dataset, _: int) -> None:
        dataset.ImagePositionPatient = [f"{float(v):.1f}" for v in dataset.ImagePositionPatient]
        dataset.ImageOrientationPatient = [f"{float(v):.4f}" for v in dataset.ImageOrientationPatient]

    scan = read_dicom(write_series(tmp_path / "series", noise(20), affine, edit=rounded))
    assert scan.affine is not None
    np.testing.assert_allclose(scan.affine, affine, atol=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_enhanced_files_are_sorted_and_rescaled_frame_by_frame(seed: int, tmp_path: Path) -> None:
    voxels, slopes = noise(), [1.0, 2.0, 0.5, 1.25, 3.0]
    order = np.random.default_rng(seed).permutation(5).tolist()
    scan = read_dicom(save(enhanced(voxels, ANGLED, order, slopes), tmp_path / "enhanced.dcm"))
    np.testing.assert_allclose(scan.voxels, voxels * np.array(slopes)[:, None, None] - 1024)
    assert scan.affine is not None
    np.testing.assert_allclose(scan.affine, ANGLED, atol=1e-6)
    assert (scan.name, scan.window, str(scan.voxels.dtype)) == ("enhanced", (40.0, 400.0), "float32")


def test_pet_slices_have_a_slope_each(tmp_path: Path) -> None:
    def rescale(dataset: Dataset, z: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{0.5 + z / 8}", "0"

    scan = read_dicom(write_series(tmp_path / "pet", noise(), ANGLED, "PT", rescale))
    np.testing.assert_allclose(scan.voxels, noise() * (0.5 + np.arange(5) / 8)[:, None, None])
    assert scan.modality == "PT"


def test_ct_is_in_hounsfield_units_of_the_smallest_type(tmp_path: Path) -> None:
    def rescale(dataset: Dataset, _: int) -> None:
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
        dataset.WindowCenter, dataset.WindowWidth = ["50", "-600"], ["350", "1500"]

    scan = read_dicom(write_series(tmp_path / "ct", noise(dtype="u2"), ANGLED, edit=rescale))
    assert scan.voxels.dtype == np.int16
    np.testing.assert_array_equal(scan.voxels, noise() - 1024)
    assert scan.window == (50.0, 350.0)


def test_padding_takes_the_lowest_value_that_is_none(tmp_path: Path) -> None:
    stored = noise()
    stored[:, 0, :] = -2000
    stored[2] = -2000

    def pad(dataset: Dataset, _: int) -> None:
        dataset.add_new("PixelPaddingValue", "SS", -2000)
        dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"

    scan = read_dicom(write_series(tmp_path / "ct", stored, ANGLED, edit=pad))
    real = stored > -2000
    np.testing.assert_array_equal(scan.voxels[real], stored[real] - 1024)
    assert (scan.voxels[~real] == stored[real].min() - 1024).all()


def test_monochrome1_is_turned_round_with_its_window_but_not_hounsfield_units(tmp_path: Path) -> None:
    stored = noise(1, "u2")[0]
    radiograph = image(stored, ComputedRadiographyImageStorage, "CR")
    radiograph.PhotometricInterpretation, radiograph.BitsStored, radiograph.HighBit = "MONOCHROME1", 12, 11
    radiograph.WindowCenter, radiograph.WindowWidth = "1000", "500"
    scan = read_dicom(save(radiograph, tmp_path / "cr.dcm"))
    np.testing.assert_array_equal(scan.voxels, 4095 - stored.astype(int))
    assert (scan.window, scan.is_volume, scan.affine, scan.shape) == ((3095.0, 500.0), False, None, (6, 8))

    def invert(dataset: Dataset, _: int) -> None:
        dataset.PhotometricInterpretation = "MONOCHROME1"

    np.testing.assert_array_equal(
        read_dicom(write_series(tmp_path / "ct", noise(), ANGLED, edit=invert)).voxels, noise()
    )


def test_a_modality_table_is_applied(tmp_path: Path) -> None:
    stored = np.arange(16, dtype=np.uint8).reshape(4, 4)
    radiograph = image(stored, ComputedRadiographyImageStorage, "CR")
    radiograph.ModalityLUTSequence = group(LUTDescriptor=[16, 0, 16], ModalityLUTType="OD")
    radiograph.ModalityLUTSequence[0].add_new("LUTData", "US", [i * i * 100 for i in range(16)])
    radiograph.ModalityLUTSequence[0]["LUTDescriptor"].VR = "US"
    np.testing.assert_array_equal(
        read_dicom(save(radiograph, tmp_path / "cr.dcm")).voxels, stored.astype(int) ** 2 * 100
    )


@pytest.mark.parametrize("kind", ["RGB", "planar", "YBR_FULL"])
def test_colours_are_rgb(kind: str, tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    stored = convert_color_space(rgb, "RGB", "YBR_FULL") if kind == "YBR_FULL" else rgb
    photo = image(stored, SecondaryCaptureImageStorage, "XC")
    if kind == "YBR_FULL":
        photo.PhotometricInterpretation = kind
    if kind == "planar":
        photo.PlanarConfiguration = 1
        photo.PixelData = rgb.transpose(2, 0, 1).tobytes()
    scan = read_dicom(save(photo, tmp_path / "photo.dcm"))
    assert (str(scan.voxels.dtype), scan.is_volume) == ("uint8", False)
    assert np.abs(scan.voxels.astype(int) - rgb).max() <= (2 if kind == "YBR_FULL" else 0)


def test_films_become_volumes_that_lie_nowhere(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), np.uint8)
    scan = read_dicom(save(film(frames), tmp_path / "us.dcm"))
    np.testing.assert_array_equal(scan.voxels, frames)
    assert (scan.is_volume, scan.affine, scan.shape) == (True, None, (4, 6, 8))
    assert "do not say where they lie" in scan.warnings[0]
    with pytest.raises(CaseReadError, match="holds one volume, and there is no volume 7"):
        read_dicom(tmp_path / "us.dcm", volume=7)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_compressed_series_are_read_as_they_were(syntax: str, tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(-1000, 1000, (3, 64, 72), np.int16)
    folder = write_series(tmp_path / "series", voxels, ANGLED)
    for path in folder.iterdir():
        dataset = dcmread(path)
        dataset.compress(syntax)
        dataset.save_as(path)
    np.testing.assert_array_equal(read_dicom(folder).voxels, voxels)


def test_shipped_files_agree_across_transfer_syntaxes() -> None:
    plain = read_dicom(shipped("MR_small.dcm")).voxels
    for name in ["RLE", "bigendian", "expb", "implicit", "jp2klossless", "jpeg_ls_lossless", "padded"]:
        np.testing.assert_array_equal(read_dicom(shipped(f"MR_small_{name}.dcm")).voxels, plain, err_msg=name)


# Stripes of these colours, one every ten rows, are what all of these files show.
STRIPES = {5: (255, 0, 0), 25: (0, 255, 0), 45: (0, 0, 255), 65: (0, 0, 0), 95: (255, 255, 255)}


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+s2.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_rle.dcm",
        "SC_rgb_rle_16bit.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
    ],
)
def test_colours_of_shipped_files_are_what_they_show(name: str) -> None:
    voxels = read_dicom(shipped(name)).voxels
    for row, colour in STRIPES.items():
        assert np.abs(voxels[row, 50].astype(int) - colour).max() <= 6, (row, voxels[row, 50])


def test_palettes_become_colours() -> None:
    scan = read_dicom(shipped("examples_palette.dcm"))
    assert scan.voxels.shape == (350, 800, 3)
    assert (scan.voxels[..., 0] != scan.voxels[..., 2]).any()


def test_one_of_several_series_is_chosen_by_number_or_uid(tmp_path: Path) -> None:
    def other(dataset: Dataset, _: int) -> None:
        dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.826.0.1.9", 7

    write_series(tmp_path / "a", noise(), ANGLED)
    write_series(tmp_path / "b", noise() + 1, ANGLED, edit=other)
    for path in (tmp_path / "b").iterdir():
        path.rename(tmp_path / "a" / f"b{path.name}")
    for choice, added in [("3", 0), ("7", 1), ("1.2.826.0.1.2", 0), ("1.2.826.0.1.9", 1)]:
        np.testing.assert_array_equal(read_dicom(tmp_path / "a", choice).voxels, noise() + added)


def test_what_does_not_belong_is_ignored_with_a_word(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", noise(), ANGLED)
    (folder / "readme.txt").write_text("hello")
    (folder / ".hidden").write_text("hello")
    (folder / "deeper").mkdir()
    (folder / "report.dcm").write_bytes(shipped("reportsi.dcm").read_bytes())
    (folder / "copy.dcm").write_bytes((folder / "0001.dcm").read_bytes())
    scout = image(noise(1)[0], "1.2.840.10008.5.1.4.1.1.2", "CT")
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    place(scout, affine_of(rotated(9), (1, 1, 1), (0, 0, 0)), 0)
    save(scout, folder / "scout.dcm")
    scan = read_dicom(folder)
    np.testing.assert_array_equal(scan.voxels, noise())
    said = "\n".join(scan.warnings)
    for what in ["readme.txt", "Basic Text SR Storage (SR)", "copies of others", "localizers"]:
        assert what in said
    assert len(scan.warnings) == 4


def test_one_slice_alone_is_a_picture(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", noise(1), ANGLED)
    for path in (folder, folder / "0001.dcm"):
        scan = read_dicom(path)
        assert (scan.is_volume, scan.affine, scan.shape) == (False, None, (6, 8))


def test_values_are_looked_for_with_the_frame_then_shared_then_in_the_header() -> None:
    header = Dataset()
    header.RescaleSlope = "1"
    group_name = "PixelValueTransformationSequence"
    assert DicomFrame("a", header).find("RescaleSlope", group_name) == 1
    shared, own = Dataset(), Dataset()
    shared.PixelValueTransformationSequence = group(RescaleSlope="2")
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    assert DicomFrame("a", header).find("RescaleSlope", group_name) == 2
    own.PixelValueTransformationSequence = group(RescaleSlope="3")
    header.PerFrameFunctionalGroupsSequence = Sequence([Dataset(), own])
    assert [DicomFrame("a", header, i).find("RescaleSlope", group_name) for i in range(2)] == [2, 3]


def test_jpeg_lossless_as_hospitals_send_it_is_read_to_the_last_bit(tmp_path: Path) -> None:
    gdcm = pytest.importorskip("gdcm")
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    plain = shipped("CT_small.dcm")
    reader.SetFileName(str(plain))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(tmp_path / "packed.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    packed = read_dicom(tmp_path / "packed.dcm")
    np.testing.assert_array_equal(packed.voxels, read_dicom(plain).voxels)


@pytest.mark.parametrize("kind", ["OW", "segmented"])
def test_palettes_of_files_that_begin_with_the_greatest_byte_are_the_same_colours(kind: str, tmp_path: Path) -> None:
    stored = np.arange(16, dtype=np.uint8).reshape(4, 4)
    table = np.arange(16, dtype=np.uint16) * 4096 + 255
    seen = []
    for order in "<>":
        picture = image(stored, SecondaryCaptureImageStorage, "OT")
        picture.PhotometricInterpretation = "PALETTE COLOR"
        words = np.array([0, 16, *table] if kind == "segmented" else table).astype(f"{order}u2").tobytes()
        for colour in ("Red", "Green", "Blue"):
            setattr(picture, f"{colour}PaletteColorLookupTableDescriptor", [16, 0, 16])
            picture[f"{colour}PaletteColorLookupTableDescriptor"].VR = "US"
            name = f"{'Segmented' if kind == 'segmented' else ''}{colour}PaletteColorLookupTableData"
            setattr(picture, name, words)
            picture[name].VR = "OW"
        if order == ">":
            picture.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
            picture.set_original_encoding(is_implicit_vr=False, is_little_endian=False)
        save(picture, tmp_path / "palette.dcm")
        seen.append(read_dicom(tmp_path / "palette.dcm").voxels)
    np.testing.assert_array_equal(seen[0][..., 0].ravel(), table >> 8)
    np.testing.assert_array_equal(seen[0], seen[1])


def test_jpeg_2000_whose_sign_is_not_the_headers_is_read() -> None:
    voxels = read_dicom(shipped("J2K_pixelrep_mismatch.dcm")).voxels
    np.testing.assert_array_equal(voxels, dcmread(shipped("J2K_pixelrep_mismatch.dcm")).pixel_array)


def test_pixels_in_fragments_whose_file_is_not_what_its_header_says_are_read() -> None:
    voxels = read_dicom(shipped("SC_rgb_jpeg.dcm")).voxels
    np.testing.assert_array_equal(voxels, read_dicom(shipped("SC_rgb_jpeg_dcmd.dcm")).voxels)


def test_jpeg_of_12_bits_is_read_in_silence_and_refused_where_it_is_cut_off(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gdcm")
    voxels = read_dicom(shipped("JPGExtended.dcm")).voxels
    assert (voxels.shape, int(voxels[420, 140]), int(voxels[230, 120])) == ((1024, 256), 244, 95)
    assert capfd.readouterr() == ("", "")
    cut = dcmread(shipped("JPGExtended.dcm"))
    frame = next(iter(generate_frames(cut.PixelData, number_of_frames=1)))
    cut.PixelData = encapsulate([frame[: len(frame) // 4 * 2]])
    with pytest.raises(CaseReadError, match="cut off"):
        read_dicom(save(cut, tmp_path / "cut.dcm"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("outer", ["time", "place"])
def test_one_of_several_times_is_chosen(outer: str, tmp_path: Path) -> None:
    times = np.stack([noise() + 100 * time for time in range(3)])
    for time, voxels in enumerate(times):

        def at_time(dataset: Dataset, z: int, time: int = time) -> None:
            dataset.InstanceNumber = time * 5 + z if outer == "time" else z * 3 + time

        write_series(tmp_path / f"{time}", voxels, ANGLED, "MR", edit=at_time)
    folder = tmp_path / "series"
    folder.mkdir()
    for path in sorted(tmp_path.glob("?/*.dcm")):
        path.rename(folder / f"{path.parent.name}_{path.name}")
    with pytest.raises(CaseReadError, match=r"holds 3 volumes \(3 images at each of 5 positions\).*--volume 0\.\.2"):
        read_dicom(folder)
    with pytest.raises(CaseReadError, match="there is no volume 3: it holds 3"):
        read_dicom(folder, volume=3)
    for time, voxels in enumerate(times):
        scan = read_dicom(folder, volume=time)
        np.testing.assert_array_equal(scan.voxels, voxels)
        assert f"volume {time} of 0..2" in scan.warnings[0]
        assert scan.affine is not None
        np.testing.assert_allclose(scan.affine, ANGLED, atol=1e-5)


def test_one_of_the_times_of_a_multi_frame_file_is_chosen(tmp_path: Path) -> None:
    voxels = noise(3)
    several = enhanced(voxels, ANGLED, [0, 1, 2, 0, 1, 2])
    pixels = np.frombuffer(several.PixelData, np.int16).reshape(6, 6, 8).copy()
    pixels[3:] += 100
    several.PixelData = pixels.tobytes()
    scan = read_dicom(save(several, tmp_path / "times.dcm"), volume=1)
    np.testing.assert_array_equal(scan.voxels, voxels + 100 - 1024)
    labels = np.ones(scan.shape, np.uint8)
    with pytest.raises(CaseWriteError, match=r"one file of several volumes.*write \.nii\.gz"):
        write_labels(tmp_path / "seg.dcm", labels, scan)
    write_labels(tmp_path / "labels.nrrd", labels, scan)
    with pytest.raises(CaseReadError, match="holds one volume"):
        read_dicom(save(enhanced(voxels, ANGLED, [0, 1, 2]), tmp_path / "one.dcm"), volume=1)


def test_echoes_that_are_out_of_order_are_refused(tmp_path: Path) -> None:
    for echo in (0, 1):

        def of_echo(dataset: Dataset, z: int, echo: int = echo) -> None:
            dataset.EchoTime = "10" if echo == 0 or z == 2 else "30"

        write_series(tmp_path / f"{echo}", noise() + echo, ANGLED, "MR", edit=of_echo)
    for path in (tmp_path / "1").iterdir():
        path.rename(tmp_path / "0" / f"1{path.name}")
    for volume in (0, 1):  # at one position both have the same echo time and number
        with pytest.raises(CaseReadError, match="images at one position cannot be told apart .*echo time"):
            read_dicom(tmp_path / "0", volume=volume)


def test_a_series_in_folders_of_a_folder_is_found_whatever_its_files_are_called(tmp_path: Path) -> None:
    write_series(tmp_path / "disc" / "a" / "b", noise()[:3], ANGLED)
    below = ANGLED.copy()
    below[:3, 3] = (ANGLED @ [0, 0, 3, 1])[:3]
    write_series(tmp_path / "disc" / "c", noise()[3:], below)  # files of the same names
    (tmp_path / "disc" / "README").write_text("hello")
    (tmp_path / "disc" / "again").symlink_to(tmp_path / "disc")
    scan = read_dicom(tmp_path / "disc")
    np.testing.assert_array_equal(scan.voxels, noise())
    assert (scan.name, scan.warnings) == ("disc", ("1 files are not DICOM and were ignored (README)",))


def test_a_dicomdir_stands_for_the_files_that_it_lists(tmp_path: Path) -> None:
    write_series(tmp_path / "A", noise(), ANGLED)
    write_series(tmp_path / "B", noise(2), ANGLED)  # not listed
    listed = [["A", f"{number:04}.dcm"] for number in (*range(1, 6), 99)]
    save(index_of(listed), tmp_path / "DICOMDIR")
    scan = read_dicom(tmp_path / "DICOMDIR")
    np.testing.assert_array_equal(scan.voxels, noise())
    assert scan.warnings == ("1 of the 6 files that it lists are not there",)
    shutil.rmtree(tmp_path / "B")
    by_folder = read_dicom(tmp_path)
    np.testing.assert_array_equal(by_folder.voxels, noise())
    assert by_folder.warnings == ()


def test_what_files_say_cannot_write_to_a_terminal(tmp_path: Path) -> None:
    def odd(dataset: Dataset, z: int) -> None:
        dataset.add_new("ReviewDate", "DA", f"\x1b[31m{z}\x9b" * 300)

    with disable_value_validation():
        folder = write_series(tmp_path / "series", noise(), ANGLED, edit=odd)
    (folder / "a\nb\x1b[2J.txt").write_text("hello")
    scan = read_dicom(folder)
    assert "a\\nb\\x1b[2J.txt" in scan.warnings[0]
    assert all(warning.isprintable() and len(warning) <= 1500 for warning in scan.warnings)
    many = Scan("scan", noise(), is_volume=True, warnings=tuple(f"warning {i}" for i in range(1000)))
    assert len(many.warnings) == 20
    assert many.warnings[-1] == "and 981 further warnings like these"


def test_slices_that_are_missing_at_even_distances_are_a_warning(tmp_path: Path) -> None:
    def apart(dataset: Dataset, _: int) -> None:
        dataset.SpacingBetweenSlices = "2.5"

    folder = write_series(tmp_path / "series", noise(7), ANGLED, "MR", edit=apart)
    assert read_dicom(folder).warnings == ()
    for path in sorted(folder.iterdir())[1::2]:
        path.unlink()
    assert "5.00 mm apart, and its header says 2.50 mm" in read_dicom(folder).warnings[0]
