"""Calibration adds the offset that scores best, and nothing else."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from repmedsam_infer.errors import UsageError  # noqa: E402
from repmedsam_infer.network import RepMedSAM  # noqa: E402
from repmedsam_train.calibrate import OFFSETS, calibrate  # noqa: E402


@pytest.mark.slow
def test_the_offset_that_scores_best_is_added_to_all_logits(samples: Path) -> None:
    torch.manual_seed(0)
    model = RepMedSAM(16, focus=True).eval()
    embedding, boxes = torch.randn(1, *model.embedding_shape), torch.tensor([[30.0, 40, 180, 200]])
    with torch.inference_mode():
        before, _ = model.decode(embedding, boxes)
        scores = calibrate(model, samples, per_modality=1)
        after, _ = model.decode(embedding, boxes)
    assert tuple(scores) == OFFSETS
    best = max(scores, key=lambda offset: scores[offset])
    # Offsets are 0.25 apart; an untrained network's logits are large, and rounded accordingly.
    torch.testing.assert_close(after, before + best, atol=1e-2, rtol=0)


def test_what_cannot_be_calibrated_is_refused(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="focus"):
        calibrate(RepMedSAM(16), samples)
    with pytest.raises(UsageError, match="no pictures"):
        calibrate(RepMedSAM(16, focus=True), tmp_path)
