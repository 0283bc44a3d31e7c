"""Grey levels varied: gamma, contrast, curves, inversion, colour, fields, sharpness, noise."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from repmedsam_train.data.augmentation import Augmentation
from repmedsam_train.data.sampler.chance import Chance, changed, constant, smooth

LUMINANCE = (0.299, 0.587, 0.114)
BLUR = (0.4, 1.2)  # pixels of the slice
NOISE = (2 / 255, 12 / 255)
POINTS = 6  # of a curve of grey levels
CELLS = 4  # a side of a field of brightness
UNEVEN = 0.25  # deviation of the logarithm of a field
REACH = 3  # pixels that a blur reaches


@dataclass(frozen=True)
class Placed:
    """images (B, 3, S, S) float32 in [0, 1], shown (B, 1, S, S) bool where they are, grey (B,) bool, and scale (B,)
    float32: pixels of the image per pixel of the slice.
    """

    images: Tensor
    shown: Tensor
    grey: Tensor
    scale: Tensor


def vary(placed: Placed, augmentation: Augmentation, chance: Chance) -> Tensor:
    """Return the images varied, in [0, 1]; what is not shown is left to be cut off."""
    x, count = placed.images.clone(), len(placed.images)

    def some(probability: float) -> Tensor:
        return chance.happens(count, probability=probability)

    x = changed(x, some(augmentation.grey) & ~placed.grey, greyed)
    x = changed(x, some(augmentation.intensity), gamma_and_contrast, *curve_numbers(placed.grey, chance))
    x = changed(x, some(augmentation.curve), curved, chance.uniform(count, POINTS))
    x = changed(x, some(augmentation.inversion), lambda rows: 1 - rows)
    x = changed(x, some(augmentation.field), uneven, chance.normal(count, 1, CELLS, CELLS))
    x = changed(x, some(augmentation.coarse), coarsened, placed.shown)
    deviation = chance.uniform(count, low=BLUR[0], high=BLUR[1]) * placed.scale
    x = changed(x, some(augmentation.blur), blurred, placed.shown, deviation)
    strength = chance.uniform(count, low=NOISE[0], high=NOISE[1]) * placed.scale.clamp(max=1)
    noise = chance.normal(count, 1, *x.shape[2:]) if augmentation.noise else x[:, :1]
    x = changed(x, some(augmentation.noise), with_noise, noise, strength)
    return x.clamp(0, 1)


def normalised(images: Tensor, shown: Tensor) -> Tensor:
    """Map the range of what is shown to [0, 1]; 0 elsewhere."""
    inside = torch.where(shown, images, images[:, :1, :1, :1])  # the first pixel is always shown
    low, high = inside.amin((1, 2, 3), keepdim=True), inside.amax((1, 2, 3), keepdim=True)
    return (inside - low) / (high - low).clamp(min=1e-8) * shown


def greyed(x: Tensor) -> Tensor:
    return (x * constant(LUMINANCE, x.device)[:, None, None]).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def curve_numbers(grey: Tensor, chance: Chance) -> tuple[Tensor, Tensor, Tensor]:
    """Gamma (B, 3), contrast (B, 3) and brightness (B, 1); channels of grey images are alike."""
    count = len(grey)

    def each(common: float, apart: float) -> Tensor:
        own = chance.normal(count, 3) * apart
        own = torch.where(grey[:, None], own[:, :1], own)
        return (chance.normal(count, 1) * common + own).exp()

    return each(0.3, 0.1), each(0.2, 0.08), chance.normal(count, 1) * 0.05


def gamma_and_contrast(x: Tensor, gamma: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    gamma, contrast, brightness = (number[:, :, None, None] for number in (gamma, contrast, brightness))
    return ((x**gamma - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)


def curved(x: Tensor, heights: Tensor) -> Tensor:
    """Map grey levels by a curve that rises through POINTS random heights (B, POINTS), from 0 to 1."""
    heights = heights.sort(1).values
    heights = (heights - heights[:, :1]) / (heights[:, -1:] - heights[:, :1]).clamp(min=1e-3)
    at = x.clamp(0, 1) * (POINTS - 1)
    low = at.floor().clamp(max=POINTS - 2)

    def height(place: Tensor) -> Tensor:
        return heights.gather(1, place.long().flatten(1)).view_as(x)

    return height(low) * (1 - at + low) + height(low + 1) * (at - low)


def uneven(x: Tensor, cells: Tensor) -> Tensor:
    """Multiply by a smooth field, as coils and lamps do."""
    return (x * smooth(cells * UNEVEN, x.shape[-1]).exp()).clamp(0, 1)


def coarsened(x: Tensor, shown: Tensor) -> Tensor:
    """Show the image through pixels of twice the side."""
    weight = shown.float()
    low = functional.avg_pool2d(x * weight, 2, ceil_mode=True)
    low = low / functional.avg_pool2d(weight, 2, ceil_mode=True).clamp(min=0.2)
    return functional.interpolate(low, x.shape[2:], mode="bilinear", align_corners=False)


def blurred(x: Tensor, shown: Tensor, deviation: Tensor) -> Tensor:
    """Blur by Gaussians of `deviation` (B,) pixels, of what is shown only."""
    at = torch.arange(-REACH, REACH + 1, device=x.device, dtype=torch.float32)
    kernel = (-(at**2) / (2 * deviation[:, None].clamp(min=0.1) ** 2)).exp()
    kernel = kernel / kernel.sum(1, keepdim=True)
    weight = shown.float()
    count, size = len(x), x.shape[-1]
    planes = torch.cat([x * weight, weight], 1).view(1, 4 * count, size, size)
    kernels = kernel.repeat_interleave(4, 0)[:, None]
    planes = functional.conv2d(planes, kernels[..., None], padding=(REACH, 0), groups=4 * count)
    planes = functional.conv2d(planes, kernels[:, :, None], padding=(0, REACH), groups=4 * count)
    sums = planes.view(count, 4, size, size)
    return sums[:, :3] / sums[:, 3:].clamp(min=1e-3)


def with_noise(x: Tensor, noise: Tensor, strength: Tensor) -> Tensor:
    return (x + noise * strength[:, None, None, None]).clamp(0, 1)
