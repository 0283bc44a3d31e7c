"""Shipped weights can be trained further: their training form does the same, in both modes."""

import pytest

torch = pytest.importorskip("torch")

from repmedsam_infer.network import RepMedSAM, reparameterize  # noqa: E402
from repmedsam_train.unfuse import is_fused, unfuse  # noqa: E402
from tests.seeded import fill  # noqa: E402


@pytest.mark.slow
def test_the_training_form_of_fused_weights_does_the_same_in_both_modes() -> None:
    original = RepMedSAM(16, focus=True)
    fill(original, 4)
    fused = reparameterize(original)
    assert is_fused(fused.state_dict())
    assert not is_fused(original.state_dict())

    images = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    again = RepMedSAM(16, focus=True)
    unfuse(fused.state_dict(), again, [images])
    with torch.inference_mode():
        wanted = fused.image_encoder(images)
        torch.testing.assert_close(again.eval().image_encoder(images), wanted, atol=5e-3, rtol=0)
        torch.testing.assert_close(reparameterize(again).image_encoder(images), wanted, atol=5e-3, rtol=0)
        # On the batch that it was calibrated on, training mode normalises by the very same statistics.
        torch.testing.assert_close(again.train().image_encoder(images), wanted, atol=5e-3, rtol=0)
    for name, tensor in original.mask_decoder.state_dict().items():
        assert torch.equal(again.mask_decoder.state_dict()[name], tensor), name
