"""The moving average of a network's weights, which is what is validated and kept."""

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Tensors = tuple[Tensor, ...] | list[Tensor]


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of weights and normalisation statistics (paper section 3.2), a frozen copy of `model`.

    Early on the average forgets faster, so that the start never dominates it: update n (from 0) keeps
    (1 + n) / (10 + n) of what was, `decay` at most. All tensors are updated at once, which on a GPU takes a few
    launches instead of a thousand.
    """

    def update(averages: Tensors, current: Tensors, _: Tensor | int) -> None:
        if averages[0].is_floating_point():
            # Counted by the average's own counter: the one given lies on the GPU, and reading it would wait for that.
            done = int(average.n_averaged) - 1
            get_ema_multi_avg_fn(min(decay, (1 + done) / (10 + done)))(averages, current, done)
        else:
            for kept, new in zip(averages, current, strict=True):
                kept.copy_(new)

    average = AveragedModel(model, multi_avg_fn=update, use_buffers=True)
    average.n_averaged.fill_(1)  # the start counts: at 0 the first update would replace it
    average.eval().requires_grad_(requires_grad=False)
    return average
