"""Without the packages of an extra: help is there, and each command says in one line what to install."""

import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = ("torch", "nncf", "matplotlib", "scipy", "safetensors")
BLOCKER = """
import sys

class Blocker:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker)
blocked = sys.argv.pop(1).split(",")
sys.argv[0] = "repmedsam-train"
from repmedsam_train.cli import main
main()
"""
COMMANDS = {
    "distill": ["--train", "cases", "--out", "out", "--teacher", "teacher.pth"],
    "finetune": ["--train", "cases", "--out", "out"],
    "calibrate": ["model.safetensors", "out.safetensors", "--train", "cases"],
    "confidence": ["weights", "--train", "cases"],
    "average": ["one.safetensors", "other.safetensors", "--out", "mean.safetensors"],
    "export": ["model.safetensors", "weights", "--train", "cases"],
    "import-weights": ["published.pth", "out.safetensors"],
    "predict": ["model.safetensors", "-i", "cases", "-o", "segs"],
    "compare": ["one=segs", "-g", "cases"],
    "agreement": ["segs", "other", "-g", "cases"],
    "one-slice": ["cases"],
    "speed": ["-o", "speed"],
    "ceiling": ["cases"],
    "table4": ["--train", "cases", "--val", "cases", "--out", "out", "--seconds", "9"],
}
NEED_NOTHING = {
    "loosen": ["cases", "out"],
    "pack": ["cases", "out"],
    "cases": ["images", "masks", "-o", "out"],
}


def train(*arguments: str, folder: Path, blocked: tuple[str, ...] = BLOCKED) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKER, ",".join(blocked), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_every_command_of_training_is_tried_here() -> None:
    from typer.main import get_group

    from repmedsam_train.cli import app

    assert set(get_group(app).commands) == COMMANDS.keys() | NEED_NOTHING.keys()


@pytest.mark.parametrize("command", NEED_NOTHING)
def test_commands_that_make_cases_need_no_extra(command: str, tmp_path: Path) -> None:
    """They get as far as to look for what is not there."""
    done = train(command, *NEED_NOTHING[command], folder=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "package" not in line


@pytest.mark.parametrize("command", COMMANDS)
def test_training_without_its_extra_is_one_line_and_exit_code_3(command: str, tmp_path: Path) -> None:
    done = train(command, *COMMANDS[command], folder=tmp_path)
    assert done.returncode == 3, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: this command needs the package ")
    assert line.endswith(": pip install 'repmedsam[train]'")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("command", "package"), [("finetune", "matplotlib"), ("export", "nncf")])
def test_one_package_that_is_missing_is_named_before_anything_is_done(
    command: str, package: str, tmp_path: Path
) -> None:
    done = train(command, *COMMANDS[command], folder=tmp_path, blocked=(package,))
    assert (done.returncode, done.stderr) == (
        3,
        f"error: this command needs the package {package}: pip install 'repmedsam[train]'\n",
    )


@pytest.mark.parametrize("arguments", [["--help"], ["finetune", "--help"]], ids=["all", "one"])
def test_the_help_of_training_needs_no_extra(arguments: list[str], tmp_path: Path) -> None:
    done = train(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Usage: repmedsam-train" in done.stdout
