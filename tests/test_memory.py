"""Memory: what does not fit is refused before it is read, by one sentence, and what stands behind it is done."""

import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from repmedsam_infer.boxes import find_extents
from repmedsam_infer.case import read_case
from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.system import memory
from repmedsam_infer.system.process import A_THREAD, LEAST_ADDRESS_SPACE
from repmedsam_infer.system.threads import available_threads
from tests.conftest import good_box, good_image, npy_header, takes_less_than, write_npz

GIB = 1 << 30


@pytest.fixture
def machine_of_8_gib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose system states what these files say; the folder is that of its control groups."""
    meminfo, cgroup = tmp_path / "meminfo", tmp_path / "cgroup"
    meminfo.write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    cgroup.write_text("")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    monkeypatch.setattr(memory, "CGROUP", cgroup)
    monkeypatch.setattr(memory, "MOUNT", tmp_path)
    monkeypatch.setattr(memory, "process_limits", list)
    monkeypatch.setattr(memory, "promised", memory.Promised())
    return tmp_path


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_what_the_machine_has_is_what_may_be_taken(machine_of_8_gib: Path) -> None:
    assert memory.available_bytes() == 8 * GIB
    memory.check_fits("a", 8 * GIB)
    with pytest.raises(CaseReadError, match=r"^a: needs about 9\.0 GiB of memory, and 8\.0 GiB are free; give"):
        memory.check_fits("a", 9 * GIB)


def test_a_container_and_every_group_above_it_may_have_less(machine_of_8_gib: Path) -> None:
    (machine_of_8_gib / "cgroup").write_text("0::/slurm/job/step\n")
    group(machine_of_8_gib / "slurm" / "job" / "step", memory__max="max", memory__current=GIB)
    group(machine_of_8_gib / "slurm" / "job", memory__max=3 * GIB, memory__current=GIB)
    assert memory.available_bytes() == 2 * GIB
    group(machine_of_8_gib / "slurm" / "job", memory__stat=f"anon 5\ninactive_file {GIB // 2}")  # can be taken back
    assert memory.available_bytes() == 2 * GIB + GIB // 2


def test_version_1_of_control_groups_counts_too_and_its_no_limit_is_none(machine_of_8_gib: Path) -> None:
    (machine_of_8_gib / "cgroup").write_text("5:cpu:/\n4:cpuset,memory:/docker/abc\n")
    # In a container the path is that on the host, and the group is mounted at the root.
    group(machine_of_8_gib / "memory", memory__limit_in_bytes=4 * GIB, memory__usage_in_bytes=3 * GIB)
    assert memory.available_bytes() == GIB
    group(machine_of_8_gib / "memory", memory__limit_in_bytes=9223372036854771712)
    assert memory.available_bytes() == 8 * GIB


def test_a_system_that_states_nothing_refuses_nothing(machine_of_8_gib: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MEMINFO", machine_of_8_gib / "none")
    assert memory.available_bytes() is None
    memory.check_fits("a", 1 << 50)


def test_cases_at_once_are_not_granted_the_same_memory_twice(machine_of_8_gib: Path) -> None:
    granted, done = threading.Event(), threading.Event()

    def other_case() -> None:
        with memory.promised.one_case():
            memory.check_fits("other", 6 * GIB)
            granted.set()
            done.wait(10)

    thread = threading.Thread(target=other_case)
    thread.start()
    granted.wait(10)
    with memory.promised.one_case():
        with pytest.raises(CaseReadError, match=r"3\.0 GiB of memory, and 2\.0 GiB are free"):
            memory.check_fits("this", 3 * GIB)
        memory.check_fits("this", 2 * GIB)
        memory.check_fits("this", 2 * GIB)  # the same two
    done.set()
    thread.join()
    memory.check_fits("next", 8 * GIB)


def write_zeros(path: Path, imgs: tuple[int, ...], boxes: list[list[int]], spacing: tuple[int, ...] = ()) -> Path:
    """A case of zeros, honest about its sizes, in a thousandth of them on disk."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, shape, dtype in (("imgs", imgs, "|u1"), ("spacing", spacing, "<f8")):
            if not shape:
                continue
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(npy_header(shape, dtype))
                size = int(np.prod(shape)) * np.dtype(dtype).itemsize
                for start in range(0, size, 1 << 24):
                    member.write(bytes(min(1 << 24, size - start)))
        with archive.open("boxes.npy", "w") as member:
            np.save(member, np.array(boxes))
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of address space")
def test_a_case_too_large_for_the_process_fails_alone_and_those_behind_it_are_done(tmp_path: Path) -> None:
    write_zeros(tmp_path / "in.npz", (1 << 14, 1 << 15), [[10, 10, 16000, 16000]]).rename(
        tmp_path / "2DBox_A_large.npz"
    )
    write_zeros(tmp_path / "in.npz", (1 << 9, 1 << 10, 1 << 10), [[1, 1, 1, 9, 9, 3]]).rename(tmp_path / "3DBox_B.npz")
    write_npz(tmp_path / "2DBox_C_good.npz", imgs=good_image(), boxes=good_box())
    limited = (
        "import resource; from repmedsam_infer.cli import main; "
        f"resource.setrlimit(resource.RLIMIT_AS, ({LEAST_ADDRESS_SPACE + A_THREAD * available_threads()},) * 2); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, "predict", "-i", tmp_path, "-o", tmp_path / "out", "--threads", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    failed = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(failed) == 2, done.stderr
    assert all("of memory, and" in line for line in failed), failed
    assert done.returncode == 1
    assert [path.name for path in (tmp_path / "out").glob("*.npz")] == ["2DBox_C_good.npz"]


def test_a_spacing_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = write_zeros(tmp_path / "3DBox_A.npz", (4, 20, 20), [[1, 1, 1, 9, 9, 3]], (1 << 24,))
    with takes_less_than(4 << 20):
        case = read_case(path)
    assert case.spacing is None
    assert any("spacing of shape (16777216,) is not three" in warning for warning in case.warnings)


def test_boxes_of_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "2DBox_A.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("imgs.npy", npy_header((20, 20)) + bytes(400))
        with archive.open("boxes.npy", "w") as member:
            member.write(npy_header((1 << 21, 4), "<i8"))
            for _ in range(64):
                member.write(bytes(1 << 20))
    with (
        takes_less_than(8 << 20),
        pytest.raises(CaseReadError, match=r"'boxes' declares shape \(2097152, 4\) of int64, .* the limit is"),
    ):
        read_case(path)


def test_an_archive_whose_directory_is_a_hole_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "2DBox_A.npz", imgs=good_image(), boxes=good_box())
    content = bytearray(path.read_bytes())
    end = content.rfind(b"PK\x05\x06")
    hole = 256 << 20
    content[end + 12 : end + 16] = hole.to_bytes(4, "little")  # the size of the directory
    content[end + 16 : end + 20] = (0).to_bytes(4, "little")  # where it begins
    with path.open("wb") as file:
        file.truncate(hole)
        file.seek(hole)
        file.write(content[end:])
    with takes_less_than(8 << 20), pytest.raises(CaseReadError, match=r"2DBox_A\.npz: its list of arrays is too long"):
        read_case(path)


def test_images_of_other_numbers_are_converted_without_a_second_copy(tmp_path: Path) -> None:
    shape = (64, 256, 256)
    path = write_npz(tmp_path / "3DBox_A.npz", imgs=np.full(shape, 7.0), boxes=np.array([[1, 1, 1, 9, 9, 3]]))
    with takes_less_than((8 + 1.5) * np.prod(shape)):  # as read, and as converted
        case = read_case(path)
    assert case.imgs.dtype == np.uint8


def test_extents_of_a_large_label_map_take_little(monkeypatch: pytest.MonkeyPatch) -> None:
    segs = np.ones((6000, 6000), np.uint8)
    segs[4000:, :10] = 2
    with takes_less_than(segs.nbytes):
        found = find_extents(segs)
    assert found.low.tolist() == [[0, 0], [4000, 0]]
    assert found.high.tolist() == [[5999, 5999], [5999, 9]]
    assert found.counts.tolist() == [6000 * 6000 - 20_000, 20_000]


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs /proc")
def test_this_machine_states_what_it_has() -> None:
    free = memory.available_bytes()
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_what_was_granted_is_the_peak_of_a_case_and_is_given_back_once(
    machine_of_8_gib: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "UNCHECKED", 0)
    shape = (20, 200, 200)
    path = write_npz(tmp_path / "3DBox_A.npz", imgs=np.ones(shape, np.uint8), boxes=np.array([[1, 1, 1, 9, 9, 3]]))
    promised = memory.promised
    with promised.one_case():
        read_case(path)
        assert sum(promised.by_thread.values()) > 5 * np.prod(shape)
        with pytest.raises(CaseReadError):
            memory.check_fits("a", 50 * GIB)
        assert promised.left == 8 * GIB
    assert promised.left is None


def test_a_low_moment_passes(machine_of_8_gib: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, done = threading.Event(), threading.Event()

    def small_case() -> None:
        with memory.promised.one_case():
            memory.check_fits("small", GIB)
            held.set()
            done.wait(10)

    monkeypatch.setattr(memory, "available_bytes", lambda: 2 * GIB)
    thread = threading.Thread(target=small_case)
    thread.start()
    held.wait(10)
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 * GIB)
    with memory.promised.one_case():
        memory.check_fits("large", 7 * GIB)
        with pytest.raises(CaseReadError):
            memory.check_fits("large", 7 * GIB + 1)
    done.set()
    thread.join()
