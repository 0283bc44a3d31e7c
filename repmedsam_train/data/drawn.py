"""Drawn cases: smooth shapes on textured ground, each unlike what surrounds it in brightness, colour or texture.

Real borders are faint and disputed; drawn ones are not. A network from scratch learns from them within minutes what a
box asks for (what is in it and differs from what is around it), and then from real cases what that is in medical
images.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Rng = np.random.Generator

SIDE = 192  # pixels of a drawn image
MOST_OBJECTS = 12


def draw_case(rng: Rng) -> tuple[U8, NDArray[np.uint8]]:
    """Images (1, SIDE, SIDE, 3) uint8 and gts (1, SIDE, SIDE) uint8; later labels cover earlier ones."""
    grey = rng.random() < 0.6
    image: NDArray[np.floating] = surface(rng, grey=grey)
    gts = np.zeros((SIDE, SIDE), np.uint8)
    many = rng.random() < 0.4
    largest = 0.12 if many else 0.35
    kinds = [surface(rng, grey=grey) for _ in range(2 if many else 3)]  # objects of a kind look alike
    for label in range(1, int(rng.integers(4, MOST_OBJECTS + 1) if many else rng.integers(1, 5)) + 1):
        mask = shape(rng, SIDE * np.exp(rng.uniform(np.log(0.03), np.log(largest))))
        softness = rng.uniform(0.4, 2.0)
        alpha = np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), softness), np.float32)[..., None]
        opacity = rng.uniform(0.5, 1)
        kind = kinds[int(rng.integers(len(kinds)))]
        image = image * (1 - opacity * alpha) + kind * opacity * alpha
        if rng.random() < 0.15:  # a rim
            rim = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))[..., None]
            image = np.where(rim > 0, rng.uniform(0, 255), image)
        gts[mask > 0] = label
    if rng.random() < 0.3:  # speckle
        image = image * rng.gamma(6, 1 / 6, (SIDE, SIDE, 1))
    image = image + rng.normal(0, rng.uniform(0, 14), (SIDE, SIDE, 1))
    if rng.random() < 0.3:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5)), np.float64)
    return np.clip(image, 0, 255).astype(np.uint8)[None], gts[None]


def shape(rng: Rng, radius: float) -> U8:
    """(SIDE, SIDE) of 1 inside a closed curve: a turned ellipse, its outline waving; at times a ring or a crescent."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    outline = np.ones(72)
    roughness = rng.uniform(0, 0.5)
    for order in range(2, 7):
        outline += roughness / order * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    stretch, turn = np.exp(rng.uniform(-0.5, 0.5)), rng.uniform(0, np.pi)
    x, y = np.clip(outline, 0.2, None) * np.cos(angle) * stretch, np.clip(outline, 0.2, None) * np.sin(angle) / stretch
    centre = rng.uniform(0.08 * SIDE, 0.92 * SIDE, 2)
    points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 1) * radius
    mask = np.zeros((SIDE, SIDE), np.uint8)
    fill(mask, points + centre, 1)
    if radius > 12 and rng.random() < 0.12:
        fill(mask, 0.6 * points + centre + rng.uniform(-0.35, 0.35, 2) * radius, 0)
    return mask


def fill(mask: U8, points: NDArray[np.float64], value: int) -> None:
    cv2.fillPoly(mask, [(points * 16).round().astype(np.int32)], (value,), shift=4)


def surface(rng: Rng, *, grey: bool) -> F32:
    """(SIDE, SIDE, 3): a level, a slow change over the image, and texture of a random grain and strength."""
    level = np.full(3, rng.uniform(20, 235)) if grey else rng.uniform(20, 235, 3)
    slow = noise(rng, 2) * rng.uniform(0, 25)
    grain = noise(rng, int(np.exp(rng.uniform(np.log(6), np.log(SIDE))))) * rng.uniform(0, 30)
    return (level + (slow + grain)[..., None]).astype(np.float32)


def noise(rng: Rng, cells: int) -> F32:
    """(SIDE, SIDE) of smooth noise with `cells` grains a side, deviation about 1."""
    coarse = rng.normal(0, 1, (cells + 1, cells + 1)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.float32)
