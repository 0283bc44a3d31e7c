"""The command line: quick to answer, clear when refused, exit codes as documented."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from repmedsam_infer import __version__
from repmedsam_infer.system.process import hasten_imports
from repmedsam_infer.system.threads import available_threads
from tests.conftest import Repmedsam, good_box, good_image, write_npz

HEAVY = {"numpy", "cv2", "scipy", "torch", "openvino", "nibabel", "SimpleITK", "pydicom", "rich.progress"}


def modules_after(code: str) -> set[str]:
    """Which of the heavy modules a fresh Python has loaded after running `code`."""
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return HEAVY & set(done.stderr.split())


def test_import_and_help_load_nothing_heavy() -> None:
    assert not modules_after("import repmedsam_infer")
    for command in ("", "'predict', ", "'segment', ", "'convert', ", "'evaluate', ", "'report', "):
        assert not modules_after(
            f"sys.argv = ['repmedsam', {command}'--help']; from repmedsam_infer.cli import main; main()"
        )
    assert not modules_after("sys.argv = ['repmedsam', 'info']; from repmedsam_infer.cli import main; main()")


def test_predict_never_loads_torch(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_npz(tmp_path / "in" / "2D.npz", imgs=good_image(), boxes=good_box())
    arguments = f"['repmedsam', 'predict', '-i', {str(tmp_path / 'in')!r}, '-o', {str(tmp_path / 'out')!r}]"
    loaded = modules_after(f"sys.argv = {arguments}; from repmedsam_infer.cli import main; main()")
    assert loaded == {"numpy", "cv2", "openvino"}
    assert (tmp_path / "out" / "2D.npz").exists()


@pytest.mark.parametrize(
    "command", ["predict", "segment", "convert", "evaluate", "report", "samples", "prepare", "benchmark", "info"]
)
def test_every_command_has_help(command: str, repmedsam: Repmedsam) -> None:
    result = repmedsam(command, "--help")
    assert result.code == 0
    assert "Usage" in result.out


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str, repmedsam: Repmedsam) -> None:
    assert repmedsam(option).out.strip() == __version__


def test_info_is_json(repmedsam: Repmedsam) -> None:
    info = json.loads(repmedsam("info").out)
    assert info["repmedsam"] == __version__
    assert info["threads"] == available_threads()
    assert info["engines"]["openvino"]
    for kind in ("pictures", "volumes"):
        assert info["auto"][kind]["precision"] in ("fp32", "bf16", "int8")
        assert info["auto"][kind]["why"]
    assert len(info["weights"]["sha256"]) == 64


def test_wrong_usage_is_exit_code_2(tmp_path: Path, repmedsam: Repmedsam) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    full.mkdir()
    write_npz(full / "2D.npz", imgs=good_image(), boxes=good_box())
    out = tmp_path / "out"
    for arguments, reason in [
        (("predict",), "Missing option"),
        (("predict", "-i", tmp_path / "nowhere", "-o", out), "does not exist"),
        (("predict", "-i", empty, "-o", out), "no .npz files"),
        (("predict", "-i", full, "-o", full), "are the same"),
        (("predict", "-i", full / "2D.npz", "-o", out), "is a file, and a folder of npz cases is needed"),
        (("segment", full / "2D.npz", "--box", "1,1,9,9", "-o", out, "--overwrite", "--resume"), "exclude"),
        (("predict", "-i", full, "-o", out, "--engine", "abacus"), "openvino, torch"),
        (("predict", "-i", full, "-o", out, "--overwrite", "--resume"), "exclude"),
        (("predict", "-i", full, "-o", out, "--threads", "-3"), "threads"),
        (("evaluate", "-s", full, "-g", tmp_path / "nowhere"), "does not exist"),
        (("evaluate", "-s", full, "-g", empty), "no .npz files"),
        (("report", "-s", full, "-i", tmp_path / "nowhere", "-o", out), "does not exist"),
        (("report", "-s", empty, "-i", full, "-o", out), "no results"),
        (("levitate",), "No such command"),
    ]:
        result = repmedsam(*arguments)
        assert result.code == 2, arguments
        assert reason in result.err
        assert "Traceback" not in result.err


def test_missing_weights_are_exit_code_3(tmp_path: Path, repmedsam: Repmedsam) -> None:
    write_npz(tmp_path / "2D.npz", imgs=good_image(), boxes=good_box())
    result = repmedsam("predict", "-i", tmp_path, "-o", tmp_path / "out", "--weights", tmp_path)
    assert result.code == 3
    assert "no weights" in result.err


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not hold root back")
def test_a_read_only_output_folder_is_exit_code_3(tmp_path: Path, repmedsam: Repmedsam) -> None:
    write_npz(tmp_path / "2D.npz", imgs=good_image(), boxes=good_box())
    (tmp_path / "out").mkdir(mode=0o555)
    result = repmedsam("predict", "-i", tmp_path, "-o", tmp_path / "out")
    assert result.code == 3
    assert "cannot be written" in result.err


def test_an_output_that_is_a_file_is_exit_code_3(tmp_path: Path, repmedsam: Repmedsam) -> None:
    write_npz(tmp_path / "2D.npz", imgs=good_image(), boxes=good_box())
    (tmp_path / "out").write_text("here first")
    assert repmedsam("predict", "-i", tmp_path, "-o", tmp_path / "out").code == 3


def test_threads_follow_affinity_and_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import repmedsam_infer.system.threads as module

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(module, "CPU_MAX", quota)
    for content, threads in [("max 100000", 16), ("250000 100000", 3), ("50000 100000", 1), ("nonsense", 16)]:
        quota.write_text(content)
        assert available_threads() == threads


def test_neither_telemetry_nor_the_model_converter_is_ever_loaded() -> None:
    script = (
        "from repmedsam_infer.engines.openvino_import import import_openvino; import_openvino(); import sys;"
        "print(sorted(m for m in sys.modules if sys.modules[m] and ('telemetry' in m or 'ovc' in m)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_process_of_ours_keeps_numpys_threads_from_spinning_unless_the_user_set_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gc, "set_threshold", lambda *_: None)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    hasten_imports()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    hasten_imports()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"


def test_a_process_that_ends_at_once_has_said_all_and_keeps_its_exit_code() -> None:
    script = "from repmedsam_infer.system.process import end_process; end_process(lambda: print('x' * 100_000) or 3)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stdout)) == (3, 100_001)
