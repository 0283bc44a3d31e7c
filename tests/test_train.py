"""Training learns, resumes exactly, and its result becomes weights that segment."""

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from repmedsam_infer.decoder_roi import rois_around  # noqa: E402
from repmedsam_infer.engines.load import load_engine  # noqa: E402
from repmedsam_infer.engines.weights import find_weights  # noqa: E402
from repmedsam_infer.errors import UsageError  # noqa: E402
from repmedsam_infer.io.case_files import find_cases  # noqa: E402
from repmedsam_infer.network import RepMedSAM, reparameterize  # noqa: E402
from repmedsam_infer.network.focus import inside_rois  # noqa: E402
from repmedsam_train.cli import main  # noqa: E402
from repmedsam_train.comparison.litemedsam import LiteMedSAM  # noqa: E402
from repmedsam_train.data.augmentation import NO_AUGMENTATION, Augmentation  # noqa: E402
from repmedsam_train.data.dataset import TrainingSet, draw_probabilities  # noqa: E402
from repmedsam_train.data.drawn import SIDE, draw_case  # noqa: E402
from repmedsam_train.data.sampling import draw_sample, read_training_case, training_case  # noqa: E402
from repmedsam_train.data.split import split  # noqa: E402
from repmedsam_train.distill import distill, embedding_divergence  # noqa: E402
from repmedsam_train.finetune import finetune  # noqa: E402
from repmedsam_train.losses import LossWeights, neighbourhood, segmentation_loss  # noqa: E402
from repmedsam_train.recipe import Phase, Recipe, changed, named_recipe, shortened  # noqa: E402
from repmedsam_train.run.schedule import learning_rate  # noqa: E402
from repmedsam_train.weights.export import export  # noqa: E402
from repmedsam_train.weights.networks import load_trained  # noqa: E402
from repmedsam_train.weights.unfuse import is_fused  # noqa: E402
from tests.seeded import fill  # noqa: E402

TINY = Recipe(
    phases=(Phase(64, 3, 2, drawn=0.5), Phase(96, 3, 2)),
    warmup_steps=1,
    checkpoint_every=3,
    validate_every=6,
    validation_samples=2,
)


@given(seed=st.integers(0, 500), size=st.sampled_from([64, 128, 256]), focus=st.booleans())
@pytest.mark.slow
def test_samples_hold_their_promises(seed: int, size: int, focus: bool, samples: Path) -> None:
    batch = TrainingSet(find_cases(samples), seed, focus=focus).batch(0, 2, size, 4)
    prompted = batch.prompted
    assert batch.images.shape == (2, 3, size, size)
    assert 0 <= batch.images.min() <= batch.images.max() <= 1
    assert len(prompted.boxes) == len(prompted.rois) == len(prompted.masks) == len(batch.image_index)
    assert set(batch.image_index) == {0, 1}
    assert (prompted.boxes[:, :2] <= prompted.boxes[:, 2:] + 1e-3).all()
    assert prompted.masks.shape[1:] == ((128, 128) if focus else (256, 256))
    assert prompted.masks.any((1, 2)).all()


@pytest.mark.parametrize("focus", [False, True])
@given(seed=st.integers(0, 500))
@pytest.mark.slow
def test_boxes_hold_their_objects_before_jitter(focus: bool, seed: int, samples: Path) -> None:
    """Whatever was flipped, cropped or turned: image, mask and box stay in step."""
    still = Augmentation(tight_box=1, loose_box=0, volume_box=0)
    prompted = TrainingSet(find_cases(samples), seed, still, focus=focus).batch(0, 2, 256, 8).prompted
    side = prompted.masks.shape[-1]
    boxes, rois = torch.from_numpy(prompted.boxes), torch.from_numpy(prompted.rois)
    placed = inside_rois(boxes, rois, side).numpy()
    for mask, (x_min, y_min, x_max, y_max), roi in zip(prompted.masks, placed, prompted.rois, strict=True):
        ys, xs = np.nonzero(mask > 200)
        near = 2 * max(1, side / (roi[2] - roi[0]), side / (roi[3] - roi[1]))  # two pixels of either kind
        if len(ys):
            assert xs.min() >= x_min - near
            assert ys.min() >= y_min - near
            assert xs.max() <= x_max + near
            assert ys.max() <= y_max + near


def test_volumes_are_prompted_as_in_inference(samples: Path) -> None:
    """By sections of their 3D box, which fill no more than the roi around it."""
    augmentation = NO_AUGMENTATION
    (path,) = samples.glob("3DBox_CT*.npz")
    case = read_training_case(path)
    smaller = 0
    for seed in range(20):
        sample = draw_sample(case, np.random.default_rng(seed), 256, 1, augmentation, focus=True)
        assert sample is not None
        around = rois_around(sample.prompted.boxes)
        assert (around[:, :2] >= sample.prompted.rois[:, :2] - 1e-2).all()
        assert (around[:, 2:] <= sample.prompted.rois[:, 2:] + 1e-2).all()
        smaller += int((around[:, 2:] < sample.prompted.rois[:, 2:] - 1).any())
    assert smaller > 5


@given(seed=st.integers(0, 500))
def test_drawn_cases_are_cases(seed: int) -> None:
    imgs, gts = draw_case(np.random.default_rng(seed))
    assert imgs.shape == (*gts.shape, 3) == (1, SIDE, SIDE, 3)
    assert imgs.dtype == gts.dtype == np.uint8
    assert gts.any()


def test_rare_modalities_are_drawn_more_often_than_their_share() -> None:
    paths = [Path(f"2DBox_US_a_{i}.npz") for i in range(100)] + [Path(f"2DBox_OCT_b_{i}.npz") for i in range(4)]
    probabilities = draw_probabilities(paths)
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[100:].sum() == pytest.approx(2 / 12)
    assert draw_probabilities(paths, balance=0)[100:].sum() == pytest.approx(1 / 2)


def test_a_modality_can_be_emphasised() -> None:
    paths = [Path(f"2DBox_US_a_{i}.npz") for i in range(100)] + [Path(f"2DBox_OCT_b_{i}.npz") for i in range(4)]
    assert draw_probabilities(paths, emphasis={"OCT": 3})[100:].sum() == pytest.approx(6 / 16)
    with pytest.raises(UsageError, match="emphasis names PET"):
        draw_probabilities(paths, emphasis={"PET": 2})


def test_the_loss_falls_to_nothing_for_the_truth() -> None:
    masks = torch.zeros(2, 64, 64)
    masks[:, 20:40, 10:50] = 1
    boxes = torch.tensor([[10.0, 20, 49, 39]] * 2)
    counted = torch.ones_like(masks)
    right, dice = segmentation_loss((masks * 2 - 1) * 20, torch.ones(2), masks, boxes, counted, LossWeights())
    wrong, none = segmentation_loss((1 - masks * 2) * 20, torch.ones(2), masks, boxes, counted, LossWeights())
    assert right < 1e-3
    assert dice == 1
    assert wrong > 2
    assert none == 0


def test_what_another_object_covers_does_not_matter() -> None:
    masks = torch.zeros(1, 64, 64)
    masks[:, 20:40, 10:50] = 1
    masks[:, 25:35, 20:40] = 0  # where a smaller object lies
    counted = torch.ones_like(masks)
    counted[:, 25:35, 20:40] = 0
    boxes = torch.tensor([[10.0, 20, 49, 39]])
    filled = masks + 1 - counted
    for logits in (masks * 40 - 20, filled * 40 - 20):
        loss, dice = segmentation_loss(logits, torch.ones(1), masks, boxes, counted, LossWeights())
        assert loss < 1e-3
        assert dice == 1


def test_smaller_objects_cover_larger_ones_and_never_the_other_way() -> None:
    gts = np.zeros((1, 64, 64), np.uint8)
    gts[0, 10:50, 10:50] = 2
    gts[0, 20:30, 20:30] = 1
    case = training_case(np.repeat(gts[..., None] * 100, 3, -1), gts)
    sample = draw_sample(case, np.random.default_rng(0), 256, 8, NO_AUGMENTATION, focus=True)
    assert sample is not None
    small, large = (int(i) for i in np.argsort(np.prod(sides_of(sample.prompted.boxes), 1)))
    assert not sample.prompted.covered[small].any()
    covered = (sample.prompted.covered[large] > 127).mean() * np.prod(sides_of(sample.prompted.rois)[large])
    assert covered == pytest.approx(40 * 40, rel=0.05)  # 10 x 10 pixels, in a frame four times as fine
    assert not ((sample.prompted.covered[large] > 200) & (sample.prompted.masks[large] > 200)).any()


def sides_of(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(boxes[:, 2:] - boxes[:, :2])


def test_neighbourhoods_hold_their_boxes() -> None:
    near = neighbourhood(torch.tensor([[10.0, 20, 30, 24]]), 64)[0]
    assert near[20:25, 10:31].all()
    assert near.sum() == (24 - 20 + 8 + 2 + 1) * (30 - 10 + 8 + 10 + 1)


def test_the_learning_rate_warms_up_and_falls() -> None:
    recipe = Recipe(phases=(Phase(128, 100, 8), Phase(256, 100, 8)), warmup_steps=10)
    rates = [learning_rate(step, recipe) for step in range(recipe.steps)]
    assert rates[9] == pytest.approx(recipe.learning_rate)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.02 * recipe.learning_rate


def test_shortened_keeps_every_phase() -> None:
    assert [p.steps for p in shortened(Recipe(), 1e-6).phases] == [1] * len(Recipe().phases)


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_not_been(samples: Path, tmp_path: Path) -> None:
    whole = load_trained(finetune(samples, tmp_path / "whole", TINY, samples))
    broken = tmp_path / "broken"
    stopped = RuntimeError("killed")

    def stop(*_: object) -> None:
        raise stopped

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr("repmedsam_train.finetune.validate", stop)
        finetune(samples, broken, replace(TINY, validate_every=4), samples)
    resumed = load_trained(finetune(samples, broken, TINY, samples))
    # Two whole runs differ by rounding, about 4e-5 here; a run that has forgotten its optimizer's state, by 0.2.
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(resumed.encode(image), whole.encode(image), atol=2e-3, rtol=0)


def test_options_that_make_no_sense_are_refused_in_one_line(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, message in (
        (["--seconds", "0"], "seconds is 0; it has to be more than 0"),
        (["--seconds", "nan"], "seconds is nan; it has to be more than 0"),
        (["--seconds", "60", "--shorten", "0.5"], "leave out one of them"),
        (["--device", "tpu"], "choose one of: auto, cpu, cuda"),
    ):
        arguments = ["--train", samples, "--val", samples, "--out", tmp_path / "run", *options]
        monkeypatch.setattr("sys.argv", ["repmedsam-train", "finetune", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert line.endswith(message)
    assert not (tmp_path / "run").exists()


def test_a_time_in_a_recipe_file_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("seconds = 90")
    assert changed(Recipe(), file).seconds == 90
    file.write_text("seconds = -1")
    with pytest.raises(UsageError, match=r"recipe\.toml: .*seconds is -1; it has to be more than 0"):
        changed(Recipe(), file)


@pytest.fixture(scope="module")
def started(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights in training form, of two steps."""
    out = tmp_path_factory.mktemp("started")
    return finetune(samples, out, replace(TINY, phases=(Phase(64, 2, 2),)), samples)


@pytest.mark.slow
def test_the_inference_form_is_trained_on(started: Path, samples: Path, tmp_path: Path) -> None:
    """From what the weights do that it starts from: a step later, and a very small one, it does nearly the same."""
    recipe = replace(TINY, phases=(Phase(64, 1, 2),), fused=True, learning_rate=1e-6, weight_decay=0)
    with pytest.raises(UsageError, match="--initial"):
        finetune(samples, tmp_path / "no", recipe, samples)
    written = finetune(samples, tmp_path / "fused", recipe, samples, started)
    before, after = reparameterize(load_trained(started)).state_dict(), load_file(written)
    assert is_fused(after)
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=2e-6, rtol=0)
    assert any(not torch.equal(after[name], before[name]) for name in before)


@pytest.mark.slow
def test_heads_can_be_trained_alone(started: Path, samples: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, fused=True, heads_only=True)
    written = finetune(samples, tmp_path, recipe, samples, started)
    before, after = reparameterize(load_trained(started)).state_dict(), load_file(written)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same >= {name for name in before if name.startswith("image_encoder.")}
    assert not same & {name for name in before if name.startswith(("contrast.refine.", "high_res."))}


@pytest.mark.slow
def test_the_best_average_is_what_remains_and_the_last_beside_it(samples: Path, tmp_path: Path) -> None:
    scores = iter([0.3, 0.9, 0.1])
    kept = []

    def validate(model: RepMedSAM, *_: object) -> float:
        kept.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return next(scores)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repmedsam_train.finetune.validate", validate)
        best = load_trained(finetune(samples, tmp_path, replace(TINY, validate_every=2), samples))
    for network, average in ((best, kept[1]), (load_trained(tmp_path / "last.safetensors"), kept[2])):
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, average[name]), name


@pytest.mark.slow
def test_a_student_learns_its_teachers_embeddings(samples: Path, tmp_path: Path) -> None:
    teacher = LiteMedSAM()
    fill(teacher, 0)
    torch.save(teacher.state_dict(), tmp_path / "teacher.pth")
    recipe = Recipe(phases=(Phase(64, 6, 2),), grid=64, focus=False, warmup_steps=1, validation_samples=2)
    out = tmp_path / "run"
    student = load_trained(distill(samples, out, recipe, tmp_path / "teacher.pth"))
    for name, tensor in student.mask_decoder.state_dict().items():
        assert torch.equal(tensor, teacher.mask_decoder.state_dict()[name]), name
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(recipe.seed)
    untrained = RepMedSAM(64).eval()
    with torch.inference_mode():
        wanted = teacher.encode(images)
        before, after = (embedding_divergence(m.image_encoder(images), wanted) for m in (untrained, student))
    assert after < before


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    embedding = torch.randn(2, 256, 8, 8)
    assert float(embedding_divergence(embedding, embedding)) == pytest.approx(0, abs=1e-5)
    assert float(embedding_divergence(embedding.roll(1, 0), embedding)) > 0.1


def test_the_papers_recipes_are_the_papers() -> None:
    distilling, tuning = (named_recipe(name, 200, 50) for name in ("paper-distill", "paper-finetune"))
    epoch = 200 // 4
    assert (distilling.steps, distilling.learning_rate) == (10 * epoch, 1e-4)
    assert (tuning.steps, tuning.learning_rate) == (30 * epoch, 2e-5)
    for recipe in (distilling, tuning):
        assert {(phase.size, phase.batch, phase.drawn) for phase in recipe.phases} == {(256, 4, 0)}
        assert (recipe.focus, recipe.grid, recipe.epochs, recipe.emphasis) == (False, 64, True, {})
        assert (recipe.warmup_steps, recipe.gradient_clip, recipe.decay_all) == (0, math.inf, True)
        assert recipe.loss == LossWeights(dice=1, bce=1, iou=1, plain=True)
        rates = [learning_rate(step, recipe) for step in range(recipe.steps + 1)]
        assert rates[0] == pytest.approx(recipe.learning_rate)
        assert rates[-1] == 0
        assert rates[recipe.steps // 2] == pytest.approx(recipe.learning_rate / 2)


def test_the_papers_loss_is_dice_bce_and_mse_over_all_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, covered = torch.randn(3, 32, 32, generator=generator), torch.zeros(3, 32, 32)
    masks, iou = (torch.rand(3, 32, 32, generator=generator) > 0.7).float(), torch.rand(3, generator=generator)
    boxes = torch.tensor([[4.0, 4, 20, 20]]).expand(3, 4)
    paper = named_recipe("paper-finetune", 200, 50).loss
    loss, _ = segmentation_loss(logits, iou, masks, boxes, covered, paper)
    probability, hard = logits.sigmoid(), (logits > 0).float()
    dice = 1 - (2 * (probability * masks).sum((1, 2)) + 1) / (probability.sum((1, 2)) + masks.sum((1, 2)) + 1)
    both = (hard * masks).sum((1, 2))
    true_iou = both / (hard.sum((1, 2)) + masks.sum((1, 2)) - both)
    bce = torch.nn.BCEWithLogitsLoss()(logits, masks)
    assert float(loss) == pytest.approx(float(dice.mean() + bce + torch.nn.MSELoss()(iou, true_iou)), rel=1e-5)


def test_an_epoch_is_every_picture_once_and_every_volume_four_times(samples: Path) -> None:
    paths = find_cases(samples)
    dataset = TrainingSet(paths, 3, epochs=True)
    expected = sorted(i for i, path in enumerate(paths) for _ in range(4 if path.name.startswith("3D") else 1))
    visits = len(expected)
    epochs = [[dataset.visited_index(epoch * visits + k) for k in range(visits)] for epoch in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [expected] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    batches = [dataset.batch(step, 2, 64, 1) for step in range(2)]
    again = TrainingSet(paths, 3, epochs=True).batch(1, 2, 64, 1)
    np.testing.assert_array_equal(batches[1].images, again.images)


def test_a_toml_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("grid = 32\nphases = [{size = 64, steps = 5, batch = 2}]\n[loss]\ndice = 2.0\n")
    recipe = changed(Recipe(), path)
    assert recipe == replace(Recipe(), grid=32, phases=(Phase(64, 5, 2),), loss=replace(Recipe().loss, dice=2.0))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gird = 32", "no field gird"),
        ("[loss]\ndize = 2", "no field dize"),
        ("loss = 3", "are tables"),
        ("emphasis = 3", "are tables"),
        ("grid = 48", "grid"),
        ("learning_rate = 'fast'", "learning_rate"),
        ("grid = ", "cannot be read as TOML"),
    ],
)
def test_a_wrong_toml_file_says_what_is_wrong(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        changed(Recipe(), path)


@pytest.mark.slow
def test_a_trained_network_becomes_weights_for_both_engines(samples: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = load_trained(finetune(samples, tmp_path / "run", replace(TINY, phases=(Phase(64, 1, 2),)), None))
    assert isinstance(trained, RepMedSAM)
    export(trained, tmp_path / "weights")
    found = find_weights(tmp_path / "weights")
    image = np.random.default_rng(0).random((3, 256, 256), dtype=np.float32)
    boxes = np.array([[10, 20, 90, 80], [0, 0, 255, 255]], np.float32)
    ours, theirs = (load_engine(name, found, 2, "fp32") for name in ("openvino", "torch"))
    with torch.inference_mode():
        embedding = trained.encode(torch.from_numpy(image[None]))
        logits, _ = trained.decode(embedding, torch.from_numpy(boxes))
    expected = logits[:, 0].numpy()
    for engine in (ours, theirs):
        out = engine.decode(engine.encode(image), boxes, rois_around(boxes))
        assert np.abs(out.low_res_logits - expected).max() < 0.02 * max(1, np.abs(expected).max())  # fp16 storage


def named_cases(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / f"{name}.npz").touch()
    return folder


def test_a_fifth_of_every_modality_is_held_out(tmp_path: Path) -> None:
    names = [f"2DBox_{m}_a_{i:03}" for m in ("CT", "US") for i in range(50)]
    trained_on, held_out = split(named_cases(tmp_path, names), seed=0)
    assert sorted(trained_on + held_out) == find_cases(tmp_path)
    assert [sum("_CT_" in path.name for path in part) for part in (trained_on, held_out)] == [40, 10]
    assert split(tmp_path, seed=0) == (trained_on, held_out)
    assert split(tmp_path, seed=1) != (trained_on, held_out)


@given(seed=st.integers(0, 50))
def test_no_group_is_in_both_parts(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = named_cases(tmp_path_factory.mktemp("cases"), [f"2DBox_CT_a_{i:02}" for i in range(30)])
    patients = {f"2DBox_CT_a_{i:02}": f"patient {i // 3}" for i in range(30)}
    (folder / "groups.csv").write_text("case,group\n" + "".join(f"{c},{g}\n" for c, g in patients.items()))
    trained_on, held_out = split(folder, seed)
    of_training, of_validation = ({patients[path.stem] for path in part} for part in (trained_on, held_out))
    assert len(of_validation) == 2
    assert not of_training & of_validation


@pytest.mark.parametrize(
    "text", ["patient,file\n1,2DBox_CT_a_0\n", "\x00", "case,group\n2DBox_CT_a_0,1\n2DBox_CT_a_1,1\n"]
)
def test_what_cannot_be_split_is_refused(text: str, tmp_path: Path) -> None:
    named_cases(tmp_path, ["2DBox_CT_a_0", "2DBox_CT_a_1"])
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(UsageError):
        split(tmp_path, 0)


@pytest.mark.slow
def test_a_run_leaves_pictures_of_its_loss_and_of_masks(samples: Path, tmp_path: Path) -> None:
    finetune(samples, tmp_path, replace(TINY, phases=(Phase(64, 10, 1),), validate_every=5))
    for name in ("loss.png", "masks.png"):
        picture = cv2.imread(str(tmp_path / name))
        assert picture is not None
        assert picture.std() > 10
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "5", "10", "10"]


@pytest.mark.slow
def test_the_baseline_is_trained_by_the_same_loop_segments_and_is_compared(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = tmp_path / "cases"
    cases.mkdir()
    for name in ("2DBox_US_phantom_0000.npz", "2DBox_Fundus_phantom_0000.npz"):
        (cases / name).write_bytes((samples / name).read_bytes())
    recipe = replace(TINY, network="litemedsam", phases=(Phase(64, 2, 2),))
    weights = finetune(cases, tmp_path / "run", recipe, cases)
    assert isinstance(load_trained(weights), LiteMedSAM)

    def run(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["repmedsam-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
        return capsys.readouterr().out

    run("predict", weights, "-i", cases, "-o", tmp_path / "segs")
    table = run("compare", f"baseline={tmp_path / 'segs'}", "-g", cases)
    assert "| modality | cases | objects | baseline DSC | baseline NSD | box DSC" in table
    assert "| Fundus | 1 |" in table
