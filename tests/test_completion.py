"""Completion in the shell: options have the values that they take, and nothing else."""

import os
import subprocess
import sys
from typing import get_args

import pytest

from repmedsam_infer.engines.load import EngineName
from repmedsam_infer.engines.precision import Wanted
from repmedsam_infer.formats.endings import OUTPUTS
from repmedsam_infer.formats.intensity import PERCENTILES, WINDOWS
from repmedsam_infer.preprocess import Zoom
from repmedsam_infer.segmentation.propagation import Propagation
from tests.conftest import Repmedsam

RUN = "import sys; sys.argv[0] = 'repmedsam'; from repmedsam_infer.cli import main; main()"


def completed(line: str) -> list[str]:
    """What bash offers at the end of a command line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    asked = {**os.environ, "_REPMEDSAM_COMPLETE": "complete_bash", **words}
    return subprocess.run(
        [sys.executable, "-c", RUN], env=asked, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--engine", get_args(EngineName)),
        ("--precision", get_args(Wanted)),
        ("--zoom", get_args(Zoom)),
        ("--propagation", get_args(Propagation)),
        ("--window", (*WINDOWS, PERCENTILES)),
        ("--format", OUTPUTS),
    ],
)
def test_an_option_is_completed_by_the_values_that_it_takes_and_its_help_names_them(
    option: str, values: tuple[str, ...], repmedsam: Repmedsam
) -> None:
    assert completed(f"repmedsam segment {option} ") == list(values)
    text = repmedsam("segment", "--help").out
    assert [value for value in values if value not in text] == []


def test_a_word_that_was_begun_is_finished() -> None:
    assert completed("repmedsam segment --window l") == ["lung"]
    assert completed("repmedsam seg") == ["segment"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_script_for_a_shell_is_shown(shell: str) -> None:
    asked = {**os.environ, "_REPMEDSAM_COMPLETE": f"source_{shell}"}  # --show-completion finds out which shell it is in
    done = subprocess.run([sys.executable, "-c", RUN], env=asked, capture_output=True, text=True, check=True)
    assert "_REPMEDSAM_COMPLETE" in done.stdout
    assert f"complete_{shell}" in done.stdout
