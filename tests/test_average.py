"""The mean of networks, in whichever form they are saved."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from repmedsam_infer.engines.weights import shipped_folder  # noqa: E402
from repmedsam_infer.errors import UsageError  # noqa: E402
from repmedsam_infer.network import RepMedSAM, reparameterize  # noqa: E402
from repmedsam_train.cli import main  # noqa: E402
from repmedsam_train.loop import save_weights  # noqa: E402
from repmedsam_train.weights.networks import average, load_trained  # noqa: E402

KEPT = "image_encoder.neck."


def saved(network: RepMedSAM, path: Path) -> Path:
    save_weights(path, network, network.settings)
    return path


@pytest.mark.slow
def test_the_mean_of_a_network_in_both_forms_is_that_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = RepMedSAM(focus=True).eval()
    paths = [saved(network, tmp_path / "trained.st"), saved(reparameterize(network), tmp_path / "fused.st")]
    image, boxes = torch.rand(1, 3, 256, 256), torch.tensor([[10.0, 20, 90, 80]])
    with torch.inference_mode():
        expected, _ = network(image, boxes)
        found, _ = average(paths)(image, boxes)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_every_number_is_the_mean_and_the_command_saves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = shipped_folder() / "repmedsam.safetensors"
    one = load_trained(shipped)
    assert isinstance(one, RepMedSAM)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(0.5)
    other = saved(one, tmp_path / "other.st")
    arguments = [
        "repmedsam-train",
        "average",
        str(shipped),
        str(other),
        "--out",
        str(tmp_path / "mean.st"),
        "--keep",
        KEPT,
    ]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match="0"):
        main()
    mean, before = load_trained(tmp_path / "mean.st").state_dict(), load_trained(shipped).state_dict()
    moved = {name for name, _ in one.named_parameters() if not name.startswith(KEPT)}
    for name, tensor in before.items():
        torch.testing.assert_close(mean[name], tensor + 0.25 if name in moved else tensor)


@pytest.mark.slow
def test_networks_of_another_make_are_refused(tmp_path: Path) -> None:
    paths = [saved(RepMedSAM(focus=focus), tmp_path / f"{focus}.st") for focus in (True, False)]
    with pytest.raises(UsageError, match=r"False\.st cannot be averaged with .*True\.st"):
        average(paths)
