"""`repmedsam benchmark --choose`: which precision to take, in words; none that is wrong, nor another for nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repmedsam_infer.commands.timing.advice import ALIKE, Measured, advice, table, taken
from repmedsam_infer.commands.timing.choose import agreement, cases_by_kind
from repmedsam_infer.engines.precision import PRECISIONS, VARIABLE, Choice, Precision, choose_precision
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import UsageError
from tests.conftest import Repmedsam, good_box, good_image, write_npz

SAME = [0.999, 0.995]


def measured(
    kind: str, agree: list[float] | None = None, alone: float | None = None, **seconds: float
) -> list[Measured]:
    """Precisions by the seconds of a whole process; `agree` is that of all but fp32."""
    return [
        Measured(kind, precision, [seconds[precision]] * 3, [alone or seconds[precision]] * 3,
                 [1.0] if precision == "fp32" else agree or SAME)
        for precision in PRECISIONS if precision in seconds
    ]  # fmt: skip


def auto(pictures: Precision, volumes: Precision) -> dict[str, Choice]:
    return {"pictures": Choice(pictures, ""), "volumes": Choice(volumes, "")}


def test_where_auto_is_fastest_it_is_kept() -> None:
    lines = advice(measured("pictures", fp32=0.7, bf16=0.5, int8=0.9), auto("bf16", "int8"))
    assert lines == ["pictures: take bf16, as auto does: 0.50 s (fp32 0.70 s, int8 0.90 s)"]


def test_where_another_is_faster_it_says_by_how_much_and_how_to_keep_it() -> None:
    both = measured("pictures", fp32=0.7, bf16=0.5) + measured("volumes", fp32=2.0, int8=1.5)
    lines = advice(both, auto("fp32", "fp32"))
    assert lines == [
        "pictures: take bf16 instead of fp32, which auto takes: 0.50 s instead of 0.70, 29 % less",
        "volumes: take int8 instead of fp32, which auto takes: 1.50 s instead of 2.00, 25 % less",
        "To keep that, set the environment variable REPMEDSAM_PRECISION to pictures=bf16,volumes=int8",
    ]


def test_what_it_says_to_keep_is_what_auto_takes_then(monkeypatch: pytest.MonkeyPatch, weights: Weights) -> None:
    lines = advice(measured("volumes", fp32=2.0, int8=1.5), auto("bf16", "fp32"))
    monkeypatch.setenv(VARIABLE, lines[-1].rpartition(" to ")[2])
    assert choose_precision("auto", weights, volumes=True).precision == "int8"


@pytest.mark.parametrize("agree", [[0.98, 0.985], [*[1.0] * 50, 0.85]], ids=["mean", "one object"])
def test_what_is_fast_and_wrong_is_not_taken(agree: list[float]) -> None:
    lines = advice(measured("volumes", agree, fp32=2.0, int8=0.5), auto("bf16", "int8"))
    assert lines[0] == "volumes: take fp32; auto takes int8, whose masks differ from those in fp32"
    assert lines[1].startswith("volumes: int8 is not for use here")
    assert lines[-1].endswith("volumes=fp32")


def test_what_auto_takes_and_does_not_run_is_said() -> None:
    lines = advice(measured("pictures", fp32=0.7, int8=0.9), auto("bf16", "int8"))
    assert lines[0] == "pictures: take fp32; auto takes bf16, which does not run here"


def test_long_runs_are_spoken_of_where_they_differ() -> None:
    of_kind = measured("pictures", fp32=0.7, bf16=0.5) + measured("pictures", alone=0.01, int8=0.9)
    lines = advice(of_kind, auto("bf16", "int8"))
    assert lines[1].startswith("pictures: where networks stay loaded")
    assert "int8" in lines[1]


def test_unsteady_times_are_said() -> None:
    one = Measured("pictures", "fp32", [0.5, 0.5, 1.2], [0.1] * 3)
    assert "measure again" in advice([one], auto("fp32", "fp32"))[-1]


TIMES = st.floats(0.01, 100)


@given(
    st.dictionaries(st.sampled_from(PRECISIONS), st.tuples(TIMES, st.floats(0, 1))), TIMES, st.sampled_from(PRECISIONS)
)
def test_nothing_wrong_or_clearly_slower_is_taken(
    others: dict[Precision, tuple[float, float]], fp32: float, automatic: Precision
) -> None:
    of_kind = [Measured("volumes", "fp32", [fp32], [fp32], [1.0])]
    of_kind += [Measured("volumes", p, [s], [s], [dsc]) for p, (s, dsc) in others.items() if p != "fp32"]
    best, line = taken(of_kind, Choice(automatic, ""))
    assert best.right
    assert all(best.whole <= one.whole * ALIKE for one in of_kind if one.right)
    assert best.precision in line
    assert table(of_kind, auto("fp32", automatic)).count("\n") == len(of_kind) + 1


def test_masks_are_compared_object_by_object() -> None:
    reference = np.array([[1, 1, 2, 2, 0, 3]])
    ours = np.array([[1, 1, 2, 0, 0, 0]])
    assert agreement(ours, reference) == pytest.approx([1, 2 / 3, 0])
    assert agreement(reference, reference) == [1, 1, 1]


@pytest.mark.slow
def test_drawn_cases_are_a_picture_and_a_volume_and_others_to_compare(tmp_path: Path) -> None:
    cases = cases_by_kind(None, tmp_path)
    assert list(cases) == ["pictures", "volumes"]
    for one in cases.values():
        assert len(list(one.timed.iterdir())) == 1
        assert one.compared


def test_it_compares_precisions_alone(repmedsam: Repmedsam, tmp_path: Path) -> None:
    done = repmedsam("benchmark", "--choose", "--precision", "fp32")
    assert done.code == 2
    assert "--precision" in done.err
    assert repmedsam("benchmark", tmp_path, "--choose").code == 2  # no cases
    with pytest.raises(UsageError):
        cases_by_kind(tmp_path, tmp_path / "scratch")


def test_a_case_that_cannot_be_read_is_named(repmedsam: Repmedsam, tmp_path: Path) -> None:
    (tmp_path / "2D_broken.npz").write_bytes(b"nothing")
    done = repmedsam("benchmark", tmp_path, "--choose")
    assert done.code == 1
    assert "2D_broken.npz" in done.err


@pytest.mark.slow
def test_the_command_measures_what_runs_here_on_own_cases(tmp_path: Path, repmedsam: Repmedsam) -> None:
    (tmp_path / "cases").mkdir()
    write_npz(tmp_path / "cases" / "2D_disc.npz", imgs=good_image(), boxes=good_box())
    done = repmedsam("benchmark", tmp_path / "cases", "--choose", "--rounds", 2, "-o", tmp_path / "times.json")
    assert done.code == 0
    assert "pictures: take " in done.out
    assert "volumes" not in done.out
    written = json.loads((tmp_path / "times.json").read_text())
    assert written["machine"]["processor"]
    for times in written["times"]:
        assert f"pictures, {times['precision']}" in done.out
        assert len(times["whole_seconds"]) == len(times["case_seconds"]) == 2
        assert min(times["whole_seconds"]) > max(times["case_seconds"])
        assert min(times["agreement"]) > 0.95
