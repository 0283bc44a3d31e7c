"""Table 4: the rows are the networks that they claim to be, all of one recipe; a run goes on where it was."""

import csv
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file

from repmedsam_infer.errors import UsageError
from repmedsam_infer.evaluation.evaluate import Score
from repmedsam_infer.io.case_files import find_cases
from repmedsam_infer.network import RepMedSAM, reparameterize
from repmedsam_train.cli import main
from repmedsam_train.comparison.litemedsam import LiteMedSAM
from repmedsam_train.comparison.medsam import MedSAM
from repmedsam_train.comparison.vit import ViT
from repmedsam_train.loop import save_weights
from repmedsam_train.recipe import Recipe
from repmedsam_train.table4 import run
from repmedsam_train.table4.networks import OnDevice, load_row, parameters
from repmedsam_train.table4.plan import MEDSAM, TRAINED, grid_of, plain_recipe, recipes
from repmedsam_train.table4.report import Result, Table, as_csv, as_markdown
from repmedsam_train.table4.run import Job, claim, folder_of_checkpoint, table4
from repmedsam_train.table4.scoring import MASKS, Scores, kept_scores, make_masks, score_masks, segmenter_of
from repmedsam_train.table4.timing import Times, kept_times, time_networks, write_times
from tests.conftest import write_npz
from tests.seeded import fill

CPU = torch.device("cpu")
TINY = """
phases = [{size = 64, steps = 1, batch = 2}]
boxes_per_image = 1
warmup_steps = 0
validation_samples = 1
"""


def by_key(size: int = 128, seconds: float = 40.0) -> dict[str, Recipe]:
    return recipes(plain_recipe(size, CPU), seconds)


@pytest.fixture
def few(samples: Path, tmp_path: Path) -> Path:
    """Two of the drawn cases, a picture and a volume of two slices."""
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "2DBox_US_phantom_0000.npz").write_bytes((samples / "2DBox_US_phantom_0000.npz").read_bytes())
    with np.load(samples / "3DBox_CT_phantom_0000.npz") as volume:
        middle = len(volume["imgs"]) // 2
        gts = np.minimum(volume["gts"][middle : middle + 2, ::4, ::4], 1)
        ys, xs = np.nonzero(gts[0])
        box = np.array([[xs.min(), ys.min(), 0, xs.max(), ys.max(), 1]])
        imgs, spacing = volume["imgs"][middle : middle + 2, ::4, ::4], volume["spacing"]
    write_npz(folder / "3DBox_CT_phantom_0000.npz", imgs=imgs, gts=gts, boxes=box, spacing=spacing)
    return folder


def test_rows_differ_in_their_networks_and_the_split_of_their_time_alone() -> None:
    own = {"network", "grid", "focus", "seconds"}
    shared = [{name: value for name, value in asdict(one).items() if name not in own} for one in by_key().values()]
    assert all(one == shared[0] for one in shared)


def test_every_row_has_the_same_time_the_distilled_one_in_two_parts() -> None:
    """Of the paper's 40 epochs 10 are for the student; the teacher's time does not count."""
    seconds = {key: recipe.seconds for key, recipe in by_key(seconds=40.0).items()}
    assert seconds == {"litemedsam": 40.0, "scratch": 40.0, "student": 10.0, "distilled": 30.0, "focus": 40.0}


def test_networks_are_what_the_rows_say() -> None:
    rows = by_key(256)
    assert rows["litemedsam"].network == "litemedsam"
    assert {rows[key].network for key in rows if key != "litemedsam"} == {"repmedsam"}
    assert {(rows[key].grid, rows[key].focus) for key in ("scratch", "student", "distilled")} == {(64, False)}
    assert (rows["focus"].grid, rows["focus"].focus) == (16, True)


@pytest.mark.parametrize(("size", "grid"), [(64, 16), (96, 32), (128, 32), (192, 64), (256, 64)])
def test_the_published_network_is_trained_on_cells_of_one_size(size: int, grid: int) -> None:
    """LiteMedSAM's are of four pixels at every size."""
    assert grid_of(size) == grid


def test_the_published_network_is_evaluated_on_its_own_grid(tmp_path: Path) -> None:
    recipe = by_key(128)["scratch"]
    network = RepMedSAM(recipe.grid)
    save_weights(tmp_path / "last.safetensors", network, network.settings)
    evaluated = load_row(tmp_path / "last.safetensors", recipe)
    assert (recipe.grid, evaluated.grid) == (32, 64)
    with torch.inference_mode():
        assert evaluated.encode(torch.zeros(1, 3, 256, 256)).shape == (1, 256, 64, 64)


def test_masks_of_another_checkpoint_are_kept_apart(tmp_path: Path) -> None:
    for name, content in (("one", b"1"), ("same", b"1"), ("other", b"2")):
        (tmp_path / name).write_bytes(content)
    one, same, other = (folder_of_checkpoint(tmp_path, tmp_path / name) for name in ("one", "same", "other"))
    assert one == same != other


@pytest.mark.parametrize(("size", "sizes"), [(128, {128}), (192, {128, 192}), (256, {128, 192, 256})])
def test_training_grows_to_the_size_that_is_asked_for(size: int, sizes: set[int]) -> None:
    assert {phase.size for phase in plain_recipe(size, CPU).phases} == sizes


def test_a_recipe_that_rows_could_not_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--size 100: choose one of 128, 192, 256"):
        plain_recipe(100, CPU)
    config = tmp_path / "rows.toml"
    config.write_text("grid = 32\nfocus = false\nlearning_rate = 1e-4\n")
    with pytest.raises(UsageError, match=r"rows.toml: grid, focus cannot be changed"):
        plain_recipe(128, CPU, config)
    config.write_text("learning_rate = 1e-4\n")
    assert plain_recipe(128, CPU, config) == replace(plain_recipe(128, CPU), learning_rate=1e-4)


def test_a_folder_is_of_one_table(tmp_path: Path) -> None:
    out = tmp_path / "out"
    claim(out, {"train": "a", "val": "b"})
    claim(out, {"train": "a", "val": "b"})
    with pytest.raises(UsageError, match=r"holds a table of other data or options \(val\); name another --out"):
        claim(out, {"train": "a", "val": "c"})
    (out / "made_with.json").write_text("{")
    with pytest.raises(UsageError, match="is damaged"):
        claim(out, {"train": "a", "val": "b"})
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be used"):
        claim(tmp_path / "file", {})


def test_it_is_for_one_process_on_a_device_that_is_there(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no device 'tpu'"):
        table4(replace(job, device="tpu"), print)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="without torchrun"):
        table4(job, print)


def test_weights_of_another_row_are_refused(tmp_path: Path) -> None:
    """As where a folder was put together by hand."""
    network = RepMedSAM(16, focus=True)
    save_weights(tmp_path / "last.safetensors", network, network.settings)
    loaded = load_row(tmp_path / "last.safetensors", by_key()["focus"])
    assert parameters(loaded) < parameters(network)  # it is re-parameterized
    for key in ("litemedsam", "scratch"):
        with pytest.raises(UsageError, match="remove its folder"):
            load_row(tmp_path / "last.safetensors", by_key()[key])


class Waiting(MedSAM):
    """Takes at least so many seconds for encoding, and for decoding."""

    def __init__(self, encode: float, decode: float) -> None:
        super().__init__(ViT(64, channels=8, depth=1, heads=1))
        self.seconds = encode, decode

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds[0])
        return torch.zeros(len(images), 256, 4, 4)

    def decode(
        self,
        embedding: torch.Tensor,
        boxes: torch.Tensor,
        image_index: torch.Tensor | None = None,
        rois: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        time.sleep(self.seconds[1])
        return super().decode(embedding, boxes, image_index, rois)


def test_times_are_of_every_network_and_kept_for_this_machine(tmp_path: Path) -> None:
    networks = {"scratch": Waiting(encode=0.06, decode=0.02), "focus": Waiting(encode=0.02, decode=0.06)}
    times = time_networks(networks, CPU, rounds=1)
    assert times.keys() == networks.keys()
    assert 60 <= times["scratch"].encode < 60_000  # ms
    assert 20 <= times["scratch"].decode < 60_000
    assert 20 <= times["focus"].encode < 60_000
    assert 60 <= times["focus"].decode < 60_000
    path = tmp_path / "times.json"
    assert kept_times(path, "machine", set(networks)) is None
    write_times(path, "machine", times)
    assert kept_times(path, "machine", set(networks)) == times
    assert kept_times(path, "another machine", set(networks)) is None
    assert kept_times(path, "machine", {"scratch"}) is None
    path.write_text("[]")
    assert kept_times(path, "machine", set(networks)) is None


def test_masks_and_scores_are_made_once(few: Path, tmp_path: Path) -> None:
    network = RepMedSAM(16, focus=True)
    fill(network, 1)
    cases, folder, said = find_cases(few), tmp_path / "focus", list[str]()
    segmenter = segmenter_of(OnDevice(reparameterize(network), CPU))
    assert kept_scores(folder, cases) is None
    make_masks(cases, folder / MASKS, segmenter, said.append)
    assert said == ["focus: masks of 2 of 2 cases"]
    (folder / MASKS / cases[1].name).unlink()
    make_masks(cases, folder / MASKS, segmenter, said.append)
    assert said[1:] == ["focus: masks of 1 of 1 cases"]
    scores = score_masks(cases, folder, baselines=True)
    assert scores.keys() == {"network", "box", "ellipse"}
    assert scores["ellipse"].mean.dsc > scores["box"].mean.dsc > 0.5
    for one in scores.values():
        assert one.modalities.keys() == {"CT", "US"}
        assert one.mean.dsc == pytest.approx((one.modalities["CT"].dsc + one.modalities["US"].dsc) / 2)
    assert kept_scores(folder, cases) == scores
    assert kept_scores(folder, cases[:1]) is None


def test_the_table_says_what_is_known_and_leaves_out_the_rest() -> None:
    scores = Scores(Score(0.5, 0.25), {"CT": Score(0.4, 0.2), "US": Score(0.6, 0.3)})
    results = [
        Result("scratch", "from scratch", 256, 23_040_480, 27_104_800, (12,), Times(100.0, 20.0), scores),
        Result("distilled", "distilled", 256, 23_040_480, 27_104_800, (4, 9), Times(100.0, 20.0), scores),
        Result("medsam", "MedSAM", 1024, 89_670_912, 93_735_472, (), Times(5000.0, 20.0)),
    ]
    table = Table(results, {"train": "a"}, 9, "two cores")
    lines = as_markdown(table).splitlines()
    assert lines[2] == "| from scratch | 256 | 23.04 M | 23.04 M | 27.10 M | 12 | 0.5000 | 0.2500 | 100 | 20.0 |"
    assert lines[3].split("|")[6].strip() == "4 + 9"
    assert lines[4] == "| MedSAM | 1024 | 89.67 M |  | 93.74 M |  |  |  | 5000 | 20.0 |"
    assert "| CT | 0.4000 / 0.2000 | 0.4000 / 0.2000 |" in lines
    rows = list(csv.DictReader(as_csv(table).splitlines()))
    assert [row["network"] for row in rows] == ["scratch", "distilled", "medsam"]
    assert (rows[1]["steps"], rows[1]["US NSD"], rows[2]["mean DSC"]) == ("13", "0.3", "")


@pytest.fixture
def job(few: Path, tmp_path: Path) -> Job:
    config = tmp_path / "tiny.toml"
    config.write_text(TINY)
    return Job(few, few, tmp_path / "out", 0.1, 128, 1, "cpu", None, config, rounds=1)


@pytest.mark.slow
def test_a_table_is_trained_scored_and_timed_and_nothing_is_done_twice(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "untrained_medsam", lambda: MedSAM(ViT(depth=1)).eval())  # of twelve blocks: 10 s an image
    said: list[str] = []
    table = table4(job, said.append)
    keys = [row.key for row in (*TRAINED, MEDSAM)]
    assert [one.key for one in table.results] == [*keys, "box", "ellipse"]
    for one in table.results:
        assert (one.scores is None) == (one.key == "medsam")
        assert (one.times is None) == (one.key in {"box", "ellipse"})
    written = json.loads((job.out / "table4.json").read_text())
    assert [one["key"] for one in written["networks"]] == [*keys, "box", "ellipse"]
    assert written["recipes"]["focus"]["seconds"] == 0.1
    assert (job.out / "table4.md").read_text() == as_markdown(table)
    steps = {one.key: one.steps for one in table.results}
    assert len(steps["distilled"]) == 2
    assert min(steps["litemedsam"]) >= 1

    # The student starts from the teacher's heads and keeps them.
    teacher = load_file(job.out / "litemedsam" / "last.safetensors")
    student = load_file(job.out / "student" / "last.safetensors")
    heads = [name for name in teacher if name.startswith(("prompt_encoder.", "mask_decoder."))]
    assert len(heads) > 100
    assert all(torch.equal(student[name], teacher[name]) for name in heads)

    before = {path: path.stat().st_mtime_ns for path in job.out.rglob("*") if path.suffix in {".npz", ".safetensors"}}
    (job.out / "focus" / "scores.json").unlink()  # as if it had been stopped there
    again: list[str] = []
    assert table4(job, again.append).results == table.results
    assert again == [f"{row.key}: is trained" for row in TRAINED] + ["focus: scoring"]
    after = {path: path.stat().st_mtime_ns for path in job.out.rglob("*") if path.suffix in {".npz", ".safetensors"}}
    assert after == before
    with pytest.raises(UsageError, match=r"other data or options \(recipes\)"):
        table4(replace(job, seconds=0.2), again.append)


def test_a_checkpoint_that_is_not_medsams_is_refused_before_anything_is_trained(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(LiteMedSAM().state_dict(), tmp_path / "lite_medsam.pth")
    with pytest.raises(UsageError, match=r"lite_medsam.pth is litemedsam; --medsam takes MedSAM's checkpoint"):
        table4(replace(job, medsam=tmp_path / "lite_medsam.pth"), print)
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"nothing")
    options = {"--train": job.train, "--val": job.val, "--out": job.out, "--seconds": 1, "--medsam": damaged}
    arguments = [str(part) for option in options.items() for part in option]
    monkeypatch.setattr("sys.argv", ["repmedsam-train", "table4", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == UsageError("").exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {damaged} is not a checkpoint")
    assert not job.out.exists()
