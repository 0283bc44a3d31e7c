"""Shards hold what the npz files held, in the same bytes each time; what cannot be read is named and left out."""

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from repmedsam_infer.errors import CaseReadError, UsageError  # noqa: E402
from repmedsam_infer.io.case_files import find_cases  # noqa: E402
from repmedsam_train.cli import main  # noqa: E402
from repmedsam_train.data.augmentation import NO_AUGMENTATION  # noqa: E402
from repmedsam_train.data.dataset import TrainingSet  # noqa: E402
from repmedsam_train.data.labelled import labelled, read_labelled, reduced  # noqa: E402
from repmedsam_train.data.packing.encoding import decoded, encoded, known_of  # noqa: E402
from repmedsam_train.data.packing.pack import pack  # noqa: E402
from repmedsam_train.data.split import split  # noqa: E402
from repmedsam_train.data.stored_cases import find_training_cases, read_training_case, size_in_pool  # noqa: E402
from tests.labelled_cases import arrays, write_case  # noqa: E402


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
