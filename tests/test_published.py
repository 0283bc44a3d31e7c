"""LiteMedSAM is the published one, and published checkpoints load by their own names; files are made by our code."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from repmedsam_infer.engines.weights import (  # noqa: E402
    Weights,
    read_tensors,
)
from repmedsam_infer.errors import UsageError  # noqa: E402
from repmedsam_infer.io.case_files import find_cases  # noqa: E402
from repmedsam_infer.network import RepMedSAM, reparameterize  # noqa: E402
from repmedsam_train.cli import main  # noqa: E402
from repmedsam_train.comparison.litemedsam import LiteMedSAM  # noqa: E402
from repmedsam_train.comparison.published import import_checkpoint  # noqa: E402
from repmedsam_train.comparison.tinyvit import TinyViT  # noqa: E402
from repmedsam_train.data.dataset import TrainingSet  # noqa: E402# noqa: E402
from repmedsam_train.finetune import inputs_of, load_initial  # noqa: E402
from repmedsam_train.weights.networks import load_trained  # noqa: E402
from tests.conftest import PARITY  # noqa: E402
from tests.seeded import fill, seeded_image  # noqa: E402

State = dict[str, Tensor]


def filled(module: nn.Module, seed: int = 1) -> State:
    fill(module, seed)
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.fixture(scope="module")
def repvit_sam() -> State:
    return filled(RepMedSAM())


@pytest.fixture(scope="module")
def litemedsam() -> State:
    return filled(LiteMedSAM())


def test_tinyvit_has_the_published_names_and_shapes() -> None:
    lines = [f"{name} {tuple(tensor.shape)}" for name, tensor in TinyViT().state_dict().items()]
    digests = json.loads((PARITY / "state_dict_names.json").read_text())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == digests["tinyvit"]


@pytest.mark.slow
def test_tinyvit_computes_what_the_published_one_does() -> None:
    expected = np.load(PARITY / "tinyvit.npz")
    encoder = TinyViT()
    fill(encoder, int(expected["seed"]))
    with torch.inference_mode():
        embedding = encoder(seeded_image(int(expected["seed"]))).numpy()
    assert embedding.shape == (1, 256, 64, 64)
    assert np.abs(embedding[:, ::16, ::4, ::4] - expected["embedding_strided"]).max() < 2e-3
    assert embedding.mean() == pytest.approx(float(expected["mean"]), abs=1e-4)
    assert embedding.std() == pytest.approx(float(expected["std"]), abs=1e-4)


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_loads_however_it_is_wrapped(
    wrapper: str | None, prefix: str, repvit_sam: State, tmp_path: Path
) -> None:
    named = {prefix + name: tensor for name, tensor in repvit_sam.items()}
    torch.save(named if wrapper is None else {wrapper: named, "epoch": 3}, tmp_path / "repvit_sam.pth")
    kind, model = import_checkpoint(tmp_path / "repvit_sam.pth")
    assert kind == "repvit-sam"
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, repvit_sam[name]), name


def test_safetensors_and_sams_pixel_statistics_are_taken_too(repvit_sam: State, tmp_path: Path) -> None:
    save_file({**repvit_sam, "pixel_mean": torch.zeros(3, 1, 1)}, tmp_path / "sam.safetensors")
    assert import_checkpoint(tmp_path / "sam.safetensors")[0] == "repvit-sam"


def test_litemedsam_loads_as_the_baseline(litemedsam: State, tmp_path: Path) -> None:
    torch.save(litemedsam, tmp_path / "lite_medsam.pth")
    kind, model = import_checkpoint(tmp_path / "lite_medsam.pth")
    assert kind == "litemedsam"
    assert isinstance(model, LiteMedSAM)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, litemedsam[name]), name


def test_of_rep_medsam_the_heads_are_taken(repvit_sam: State, tmp_path: Path) -> None:
    heads = {name: tensor for name, tensor in repvit_sam.items() if not name.startswith("image_encoder.")}
    other_encoder = {"image_encoder.features.0.0.c.weight": torch.zeros(24, 3, 3, 3)}
    torch.save({**heads, **other_encoder}, tmp_path / "rep.pth")
    kind, model = import_checkpoint(tmp_path / "rep.pth")
    assert kind == "rep-medsam"
    assert isinstance(model, RepMedSAM)
    assert model.grid == 64
    for name, tensor in heads.items():
        assert torch.equal(model.state_dict()[name], tensor), name


@pytest.mark.slow
def test_imported_weights_can_be_started_from(
    repvit_sam: State,
    samples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save(repvit_sam, tmp_path / "repvit_sam.pth")
    arguments = ["import-weights", str(tmp_path / "repvit_sam.pth"), str(tmp_path / "imported.safetensors")]
    monkeypatch.setattr("sys.argv", ["repmedsam-train", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    assert "is repvit-sam" in capsys.readouterr().out
    for focus in (False, True):  # published networks have none; what ours adds starts without their weights
        model = RepMedSAM(16, focus=focus)
        load_initial(model, tmp_path / "imported.safetensors", fused=False, batches=())
        for name, tensor in repvit_sam.items():
            assert torch.equal(model.state_dict()[name], tensor), name


@pytest.mark.slow
def test_shipped_weights_can_be_started_from(weights: Weights, samples: Path) -> None:
    """In training form they do what they did as they were shipped."""
    path = weights.folder / "repmedsam.safetensors"
    state, settings = read_tensors(path)
    model = RepMedSAM.from_settings(settings)
    fused = reparameterize(model)
    fused.load_state_dict(state)
    cases = TrainingSet(find_cases(samples), torch.device("cpu"))
    load_initial(model, path, fused=False, batches=(inputs_of(cases.batch(step, 4, 128, 1)) for step in range(16)))
    images, boxes = torch.rand(1, 3, 256, 256), torch.tensor([[30.0, 40, 180, 200]])
    with torch.inference_mode():
        wanted, _ = fused(images, boxes)
        given, _ = model.eval()(images, boxes)
    torch.testing.assert_close(given, wanted, atol=1e-2, rtol=1e-2)


@pytest.mark.slow
def test_a_training_form_may_be_half_as_precise_and_lack_its_counters(tmp_path: Path) -> None:
    """As machines with little room to send it through store it."""
    network = RepMedSAM(16, focus=True)
    state = {n: t.half() if t.ndim > 1 else t for n, t in filled(network).items() if "num_batches_tracked" not in n}
    path = tmp_path / "small.safetensors"
    save_file(state, path, network.settings)
    for loaded in (load_trained(path), load_initial(RepMedSAM(16, focus=True), path, fused=False, batches=())):
        for name, tensor in state.items():
            assert torch.equal(loaded.state_dict()[name], tensor.float()), name
    kept = {name: t for name, t in state.items() if not name.startswith(("high_res.", "contrast."))}
    save_file(kept, tmp_path / "published.safetensors")
    kind, imported = import_checkpoint(tmp_path / "published.safetensors")
    assert kind == "repvit-sam"
    assert torch.equal(
        imported.state_dict()["image_encoder.neck.0.weight"], state["image_encoder.neck.0.weight"].float()
    )


def test_weights_that_do_not_fit_cannot_be_started_from(litemedsam: State, tmp_path: Path) -> None:
    save_file(litemedsam, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="does not fit RepMedSAM"):
        load_initial(RepMedSAM(), tmp_path / "other.safetensors", fused=False, batches=())
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="cannot be read as safetensors"):
        load_initial(RepMedSAM(), tmp_path / "damaged.safetensors", fused=False, batches=())


def test_a_wrong_file_is_refused_with_the_keys_that_are_wrong(repvit_sam: State, tmp_path: Path) -> None:
    path = tmp_path / "wrong.pth"
    wrong = dict(repvit_sam)
    del wrong["mask_decoder.iou_token.weight"]
    wrong["mask_decoder.extra"] = torch.zeros(1)
    wrong["prompt_encoder.no_mask_embed.weight"] = torch.zeros(1, 128)
    torch.save(wrong, path)
    with pytest.raises(UsageError) as caught:
        import_checkpoint(path)
    message = str(caught.value)
    assert "missing: mask_decoder.iou_token.weight" in message
    assert "unexpected: mask_decoder.extra" in message
    assert "prompt_encoder.no_mask_embed.weight is (1, 128) instead of (1, 256)" in message


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("harm-was-done"),))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"encoder.weight": torch.zeros(2)}, "first keys: encoder.weight"),
        (["a list"], "no state dict"),
        ({"image_encoder.x": "text"}, "no state dict"),
        ({"image_encoder.x": Harmful()}, "cannot be read safely|not a checkpoint"),
    ],
    ids=["other network", "list", "text", "code"],
)
def test_what_is_no_checkpoint_is_refused(
    content: object, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(UsageError, match=says):
        import_checkpoint(tmp_path / "file.pth")
    assert not (tmp_path / "harm-was-done").exists()


def test_a_missing_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a file"):
        import_checkpoint(tmp_path / "none.pth")
    for name in ("damaged.pth", "damaged.safetensors"):
        (tmp_path / name).write_bytes(b"\x80\x04 nothing")
        with pytest.raises(UsageError, match="not a checkpoint"):
            import_checkpoint(tmp_path / name)
