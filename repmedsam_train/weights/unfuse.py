"""Shipped weights back into training form, so that training can go on from them.

Re-parameterization cannot be undone (which branch a kernel came from is lost), but it can be continued from: every
fused convolution becomes a convolution with a normalisation behind it that changes nothing. For that to hold in
training, too, where a normalisation uses its batch's statistics, each is given the statistics that it meets on real
batches, and the scale and shift that undo them.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from repmedsam_infer.network import RepMedSAM
from repmedsam_infer.network.repvit import Conv2dBN, RepVGGDepthwise

Inputs = tuple[Tensor, Tensor, Tensor]  # of RepMedSAM.forward: images, boxes, image_index


def is_fused(state: Mapping[str, Tensor]) -> bool:
    """Whether these are weights of the inference form."""
    return "image_encoder.features.0.0.weight" in state


@torch.no_grad()
def unfuse(state: Mapping[str, Tensor], model: RepMedSAM, batches: Iterable[Inputs]) -> None:
    """Give `model`, in training form, the function of the fused `state`; `batches`: such as it will meet."""
    model.load_state_dict(state, strict=False)  # all but the fused convolutions
    within = {id(module.conv) for module in model.modules() if isinstance(module, RepVGGDepthwise)}
    for name, module in model.named_modules():
        if isinstance(module, RepVGGDepthwise):
            weight = state[f"{name}.weight"].clone()
            weight[:, :, 1, 1] -= 1  # the identity branch's part
            make_plain(module.conv, weight, state[f"{name}.bias"])
            nn.init.zeros_(module.conv1.weight)
            assert module.conv1.bias is not None
            nn.init.zeros_(module.conv1.bias)
            make_neutral(module.bn)
        elif isinstance(module, Conv2dBN) and id(module) not in within:
            make_plain(module, state[f"{name}.weight"], state[f"{name}.bias"])
    match_statistics(model, batches)


def make_plain(pair: Conv2dBN, weight: Tensor, bias: Tensor) -> None:
    """Set the pair to compute a convolution of this weight and bias."""
    pair.c.weight.copy_(weight)
    make_neutral(pair.bn)
    pair.bn.bias.copy_(bias)


def make_neutral(bn: nn.BatchNorm2d) -> None:
    bn.reset_running_stats()
    bn.weight.fill_((1 + bn.eps) ** 0.5)
    bn.bias.zero_()


def match_statistics(model: RepMedSAM, batches: Iterable[Inputs]) -> None:
    """Give every neutral normalisation the mean and variance of its input, and make up for both."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    sums: dict[nn.Module, tuple[Tensor, Tensor, int]] = {}

    def collect(bn: nn.Module, inputs: tuple[Tensor]) -> None:
        x = inputs[0].double()
        first, second, count = sums.get(bn, (0, 0, 0))
        sums[bn] = (first + x.sum((0, 2, 3)), second + x.square().sum((0, 2, 3)), count + x[:, 0].numel())

    hooks = [bn.register_forward_pre_hook(collect) for bn in norms]
    was_training = model.training
    model.eval()
    for images, boxes, image_index in batches:
        model(images, boxes, image_index)
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    for bn in norms:
        first, second, count = sums[bn]
        mean = first / count
        variance = (second / count - mean.square()).clamp(min=1e-6)
        assert bn.running_mean is not None and bn.running_var is not None
        bn.running_mean.copy_(mean)
        bn.running_var.copy_(variance)
        bn.weight.copy_((variance + bn.eps).sqrt())
        bn.bias.add_(mean)
