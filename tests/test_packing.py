"""Shards hold what the npz files held, in the same bytes each time; what cannot be read is named and left out."""

import json
import tarfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from repmedsam_infer.errors import CaseReadError, UsageError  # noqa: E402
from repmedsam_infer.io.case_files import find_cases  # noqa: E402
from repmedsam_train.cli import main  # noqa: E402
from repmedsam_train.data.augmentation import NO_AUGMENTATION, Augmentation  # noqa: E402
from repmedsam_train.data.dataset import TrainingSet  # noqa: E402
from repmedsam_train.data.labelled import LabelledCase, labelled, read_labelled, reduced  # noqa: E402
from repmedsam_train.data.packing import pack as pack_module  # noqa: E402
from repmedsam_train.data.packing.encoding import decoded, encoded, image_file, known_of  # noqa: E402
from repmedsam_train.data.packing.pack import pack  # noqa: E402
from repmedsam_train.data.pool import VARIANTS, build_pool  # noqa: E402
from repmedsam_train.data.split import split  # noqa: E402
from repmedsam_train.data.stored_cases import find_training_cases, read_training_case, size_in_pool  # noqa: E402
from tests.labelled_cases import arrays, write_case  # noqa: E402
from tests.mammograms import mammogram  # noqa: E402

ALL_FINDINGS = Augmentation(skin=1, dense=1)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000), depth=st.integers(1, 12), colour=st.booleans(), objects=st.integers(0, 9),
    height=st.integers(1, 70), width=st.integers(1, 70), high=st.booleans(),
)  # fmt: skip
def test_nothing_is_lost(
    seed: int, depth: int, colour: bool, objects: int, height: int, width: int, high: bool
) -> None:
    imgs, small = arrays(seed, (depth, height, width), objects, colour=colour)
    gts = small.astype(np.uint16) * (300 if high else 1)
    case = labelled("3DBox_CT_a_1.npz", imgs, gts, (2.5, 0.5, 0.75))
    files = encoded(case, "patient", None)
    assert files == encoded(case, "patient", None)
    known = known_of(files[".json"], "here")
    assert (known.group, known.modality, known.lossless) == ("patient", "CT", True)
    again = decoded(known, files[".image.webp"], files[".labels.png"], "here")
    np.testing.assert_array_equal(again.imgs, case.imgs)
    np.testing.assert_array_equal(again.gts, case.gts)
    assert again.spacing == case.spacing


def test_a_quality_loses_pixels_and_no_labels() -> None:
    imgs, gts = arrays(1, (1, 90, 120), 5, colour=True)
    case = labelled("2DBox_US_a_1.npz", imgs, gts)
    files, whole = encoded(case, "a", 80), encoded(case, "a", None)
    again = decoded(known_of(files[".json"], "x"), files[".image.webp"], files[".labels.png"], "x")
    assert len(files[".image.webp"]) < len(whole[".image.webp"])
    np.testing.assert_array_equal(again.gts, case.gts)
    difference = np.abs(again.imgs.astype(int) - case.imgs).mean()
    assert 0 < difference < 10
    assert not known_of(files[".json"], "x").lossless


def test_long_cases_are_reduced_pixels_by_area_and_labels_by_the_nearest_centre() -> None:
    imgs = np.zeros((1, 40, 80), np.uint8)
    imgs[:, :, 40:] = 200
    case = reduced(labelled("2DBox_US_a_1.npz", imgs, (imgs > 0).astype(np.uint8)), 20)
    assert case.gts.shape == (1, 10, 20)
    assert (case.gts[0, :, 10:] == 1).all()
    assert not case.gts[0, :, :10].any()
    np.testing.assert_array_equal(case.imgs[..., 0], case.gts * 200)
    assert case.spacing == (1, 4, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures and two volumes, with groups of two."""
    cases = tmp_path / "cases"
    cases.mkdir()
    names = [f"2DBox_US_a.b_{i:04}" for i in range(12)] + [f"3DBox_CT_c_{i:04}" for i in range(2)]
    for i, name in enumerate(names):
        write_case(
            cases / f"{name}.npz", *arrays(i, (1 if name < "3" else 6, 60, 50), 3, colour=name < "3" and i % 2 > 0)
        )
    (cases / "groups.csv").write_text("case,group\n" + "".join(f"{n},{n[:8]}{i // 2}\n" for i, n in enumerate(names)))
    return cases


def test_shards_hold_the_cases_and_their_groups(folder: Path, tmp_path: Path) -> None:
    packed = pack(folder, tmp_path / "out", most_mb=0.05)
    assert (packed.cases, packed.failed) == (14, [])
    assert len(packed.shards) > 2
    assert all(shard.stat().st_size <= 50_000 for shard in packed.shards)
    found = find_training_cases(tmp_path / "out")
    assert sorted(path.name for path in found) == [path.name for path in find_cases(folder)]
    for path in found:
        ours, theirs = read_training_case(path), read_labelled(folder / path.name)
        np.testing.assert_array_equal(ours.imgs, theirs.imgs)
        np.testing.assert_array_equal(ours.gts, theirs.gts)
        assert size_in_pool(path, 352) == theirs.imgs.size + 2 * theirs.gts.size
        assert size_in_pool(folder / path.name, 352) >= size_in_pool(path, 352)
    names = [[sorted(path.name for path in part) for part in split(where, 0)] for where in (folder, tmp_path / "out")]
    assert names[0] == names[1]


def test_shards_are_the_same_bytes_each_time_and_follow_webdatasets_naming(folder: Path, tmp_path: Path) -> None:
    first, again = (pack(folder, tmp_path / name, 0.05, threads=threads) for name, threads in (("a", 1), ("b", 3)))
    assert [a.read_bytes() for a in first.shards] == [b.read_bytes() for b in again.shards]
    with tarfile.open(first.shards[0]) as archive:
        names = archive.getnames()
    keys = [name.partition(".")[0] for name in names]
    assert keys == [key for key in dict.fromkeys(keys) for _ in range(3)]
    assert {name.partition(".")[2] for name in names} == {"image.webp", "labels.png", "json"}


def test_batches_of_shards_are_those_of_the_files(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "out")
    cpu = torch.device("cpu")
    packed = find_training_cases(tmp_path / "out")
    files = [folder / path.name for path in packed]
    ours, theirs = (TrainingSet(paths, cpu, 0, NO_AUGMENTATION).batch(3, 4, 64, 2) for paths in (packed, files))
    assert torch.equal(ours.images, theirs.images)
    assert torch.equal(ours.masks, theirs.masks)


def test_a_case_that_cannot_be_read_is_named_and_the_others_are_packed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "2DBox_US_a.b_0003.npz").write_bytes(b"no zip")
    np.savez(folder / "2DBox_US_a.b_0004.npz", imgs=np.zeros((4, 4, 3), np.uint8), gts=np.zeros((5, 4), np.uint8))
    monkeypatch.setattr("sys.argv", ["repmedsam-train", "pack", str(folder), str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr()
    assert stopped.value.code == 1
    assert "2DBox_US_a.b_0003" in said.err
    assert "2DBox_US_a.b_0004" in said.err
    assert "12 cases in 1 shards" in said.out
    assert len(find_training_cases(tmp_path / "out")) == 12


def test_what_cannot_be_packed_or_read_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pack(folder, out)
    with pytest.raises(UsageError, match="already holds shards"):
        pack(folder, out)
    with pytest.raises(UsageError, match="quality"):
        pack(folder, tmp_path / "other", quality=101)
    path = find_training_cases(out)[0]
    with pytest.raises(CaseReadError, match="holds no case"):
        read_training_case(path.with_name("2DBox_US_none_0000.npz"))
    shard = path.parent
    content = shard.read_bytes()
    shard.write_bytes(content.replace(b'"shape"', b'"shepe"'))
    with pytest.raises(UsageError, match="pack the cases again"):
        find_training_cases(out)
    shard.write_bytes(content.replace(b"RIFF", b"GIFF"))
    with pytest.raises(CaseReadError, match="cannot be decoded"):
        read_training_case(path)


def test_a_case_whose_json_says_another_shape_is_refused() -> None:
    case = labelled("2DBox_US_a_1.npz", *arrays(0, (1, 30, 20), 2, colour=False))
    files = encoded(case, "a", None)
    known = replace(known_of(files[".json"], "x"), shape=(1, 31, 20))
    with pytest.raises(CaseReadError, match="pack it again"):
        decoded(known, files[".image.webp"], files[".labels.png"], "x")


@pytest.mark.parametrize("name", ["/etc/passwd.npz", "../2DBox_US_a_1.npz", "..", "", "2DBox_US_a_1"])
def test_a_name_in_json_that_is_none_of_a_file_beside_it_is_refused(name: str) -> None:
    files = encoded(labelled("2DBox_US_a_1.npz", *arrays(0, (1, 30, 20), 2, colour=False)), "a", None)
    with pytest.raises(CaseReadError, match="pack it again"):
        known_of(json.dumps(json.loads(files[".json"]) | {"name": name}).encode(), "x")


@pytest.mark.parametrize("shape", [b"[1e999, 1, 1]", b"[" * 100_000])
def test_numbers_without_end_and_lists_in_lists_in_json_are_refused(shape: bytes) -> None:
    with pytest.raises(CaseReadError, match="pack it again"):
        known_of(b'{"shape": ' + shape + b"}", "x")


def test_pixels_of_16_bits_in_a_shard_are_refused() -> None:
    case = labelled("2DBox_US_a_1.npz", *arrays(0, (1, 30, 20), 2, colour=False))
    files = encoded(case, "a", None)
    deep = image_file(".png", case.imgs[0].astype(np.uint16), [])
    with pytest.raises(CaseReadError, match="uint8 images are needed"):
        decoded(known_of(files[".json"], "x"), deep, files[".labels.png"], "x")


def test_a_spacing_of_two_numbers_is_refused_by_the_cases_name(folder: Path, tmp_path: Path) -> None:
    imgs, gts = arrays(0, (1, 400, 20), 2, colour=False)
    np.savez(folder / "2DBox_US_a.b_0003.npz", imgs=imgs[0], gts=gts[0], spacing=[1.0, 2.0])
    packed = pack(folder, tmp_path / "out")
    assert packed.cases == 13
    assert "2DBox_US_a.b_0003.npz: spacing" in packed.failed[0]


def test_a_case_that_does_not_fit_into_memory_is_left_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> LabelledCase:
        if path.name.endswith("b_0003.npz"):
            raise MemoryError
        if path.name.endswith("b_0004.npz"):
            raise cv2.error("too large")
        return read_labelled(path)

    monkeypatch.setattr(pack_module, "read_labelled", read)
    packed = pack(folder, tmp_path / "out")
    assert packed.cases == 12
    assert sorted(text.partition(":")[0] for text in packed.failed) == [f"2DBox_US_a.b_000{i}.npz" for i in (3, 4)]


def test_what_a_stopped_run_leaves_is_no_folder_of_shards(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, written = tmp_path / "out", 0
    tar_of = pack_module.tar_of

    def stop(files: Iterable[tuple[str, bytes]]) -> bytes:
        nonlocal written
        written += 1
        if written > 2:
            raise KeyboardInterrupt
        return tar_of(files)

    with monkeypatch.context() as patched:
        patched.setattr(pack_module, "tar_of", stop)
        with pytest.raises(KeyboardInterrupt):
            pack(folder, out, 0.05)
    with pytest.raises(UsageError, match="no .npz files"):
        find_training_cases(out)
    shards = pack(folder, out, 0.05).shards
    assert sorted(out.iterdir()) == shards
    shards[0].rename(out / f".{shards[0].name}")  # as if stopped while shards got their names
    for ask in (find_training_cases, lambda out: pack(folder, out)):
        with pytest.raises(UsageError, match="stopped"):
            ask(out)


def test_tars_of_others_and_folders_of_both_kinds_are_refused(folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for where in (alone, folder):
        with tarfile.open(where / "backup.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo("notes.txt"))
        with pytest.raises(UsageError, match="backup.tar"):
            find_training_cases(where)
    (folder / "backup.tar").unlink()
    with pytest.raises(UsageError, match="or npz files"):
        pack(folder, folder)


def test_files_without_groups_are_split_as_their_shards(tmp_path: Path) -> None:
    """Also where a name with its ending sorts otherwise than without it."""
    cases = tmp_path / "cases"
    cases.mkdir()
    for i in range(12):
        write_case(cases / f"2DBox_US_a{'-1' * i}.npz", *arrays(i, (1, 20, 20), 1, colour=False))
    pack(cases, tmp_path / "out")
    names = [[sorted(path.name for path in part) for part in split(where, 0)] for where in (cases, tmp_path / "out")]
    assert names[0] == names[1]


def test_the_modality_of_a_group_is_not_of_the_case_that_comes_first(tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    cases.mkdir()
    names = [f"2DBox_{modality}_a_{i:04}" for i in range(12) for modality in ("CT", "US")]
    for i, name in enumerate(names):
        write_case(cases / f"{name}.npz", *arrays(i, (1, 20, 20), 1, colour=False))
    rows = [f"{name},{name[-4:] if int(name[-4:]) % 2 else name}\n" for name in names]
    (cases / "groups.csv").write_text("case,group\n" + "".join(rows))
    pack(cases, tmp_path / "out")
    parts = [[sorted(path.name for path in part) for part in split(where, 0)] for where in (cases, tmp_path / "out")]
    assert parts[0] == parts[1]


def test_a_mammogram_takes_a_label_map_for_each_way_to_label_it(tmp_path: Path) -> None:
    path = tmp_path / "2DBox_Mammography_a_0001.npz"
    image = mammogram(0)
    np.savez(path, imgs=image, gts=np.asarray(image > 200, np.uint8))
    built = build_pool([path], np.ones(1), torch.device("cpu"), side=352, augmentation=ALL_FINDINGS, seed=0)
    assert built is not None
    assert len(built.labels) > 10 * image.size
    assert len(built.pixels) + 2 * len(built.labels) <= size_in_pool(path, 352, VARIANTS)
    assert TrainingSet([path], torch.device("cpu"), augmentation=ALL_FINDINGS).parts.sizes[0] > 20 * image.size
    assert TrainingSet([path], torch.device("cpu"), augmentation=NO_AUGMENTATION).parts.sizes[0] == 3 * image.size
