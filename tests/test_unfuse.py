"""Shipped weights can be trained further: their training form does the same, in both modes."""

import pytest

torch = pytest.importorskip("torch")

from repmedsam_infer.network import RepMedSAM, reparameterize  # noqa: E402
from repmedsam_train.weights.unfuse import is_fused, unfuse  # noqa: E402
from tests.seeded import fill  # noqa: E402


@pytest.mark.slow
def test_the_training_form_of_fused_weights_does_the_same_in_both_modes() -> None:
    original = RepMedSAM(16, focus=True)
    fill(original, 4)
    fused = reparameterize(original)
    assert is_fused(fused.state_dict())
    assert not is_fused(original.state_dict())

    images = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[20.0, 30, 120, 140], [100, 10, 220, 60], [5, 5, 250, 200]])
    inputs = (images, boxes, torch.tensor([0, 3, 2]))
    again = RepMedSAM(16, focus=True)
    unfuse(fused.state_dict(), again, [inputs])
    with torch.inference_mode():
        wanted, _ = fused(*inputs)
        tolerance = 2e-3 * float(wanted.std())
        for network in (again.eval(), reparameterize(again), again.train()):
            # On the batch that it was calibrated on, training mode normalises by the very same statistics.
            torch.testing.assert_close(network(*inputs)[0], wanted, atol=tolerance, rtol=2e-3)
    for name, tensor in original.mask_decoder.state_dict().items():
        assert torch.equal(again.mask_decoder.state_dict()[name], tensor), name
