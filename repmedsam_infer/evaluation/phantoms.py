"""Sample cases with ground truth, drawn by this code alone: phantoms in the manner of several modalities.

They show that the program works and how cases look; they say nothing about accuracy on real images.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.boxes import tight_boxes
from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.npz import write_npz

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]
Labels = NDArray[np.uint16]
Rng = np.random.Generator


def write_samples(folder: Path, seed: int = 0) -> list[Path]:
    """Write every phantom as challenge npz (`imgs`, `gts`, `boxes`, volumes also `spacing`) into `folder`.

    Raises:
        UsageError: the folder cannot be made or written.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [write_sample(folder, number, seed) for number in range(len(PHANTOMS))]
    except OSError as error:
        raise UsageError(f"samples could not be written to {folder} ({error.strerror})") from error


def write_sample(folder: Path, number: int, seed: int) -> Path:
    name, draw = list(PHANTOMS.items())[number]
    imgs, gts, spacing = draw(np.random.default_rng([seed, number]))
    arrays: dict[str, NDArray[Any]] = {"imgs": imgs, "gts": gts, "boxes": tight_boxes(gts)}
    if spacing is not None:
        arrays["spacing"] = np.array(spacing)
    path = folder / f"{name}.npz"
    write_npz(path, **arrays)
    return path


Phantom = tuple[U8, Labels, tuple[float, float, float] | None]


def draw_dermoscopy(rng: Rng) -> Phantom:
    """Draw a pigmented lesion on skin, with hairs."""
    shape = (448, 600)
    gts = stack_labels(shape, [blob(shape, (220, 300), 95, rng, 0.6)])
    image = colour(shape, (226, 178, 156)) + 14 * texture(shape, 24, rng)[..., None]
    depth = soft(gts > 0, 6)[..., None] * (0.75 + 0.25 * texture(shape, 9, rng)[..., None])
    image = image * (1 - depth) + colour(shape, (112, 66, 52)) * depth
    canvas = to_uint8(image + rng.normal(0, 3, (*shape, 3)))
    for _ in range(7):
        x, y, dx, dy = rng.integers([0, 0, -220, -220], [600, 448, 220, 220])
        cv2.line(canvas, (int(x), int(y)), (int(x + dx), int(y + dy)), (70, 50, 45), 1, cv2.LINE_AA)
    return canvas, gts, None


def draw_endoscopy(rng: Rng) -> Phantom:
    """Draw a pink polyp, with a highlight and a shadow beside it, in a folded tube that darkens towards its middle."""
    shape = (400, 480)
    gts = stack_labels(shape, [blob(shape, (235, 190), 78, rng, 0.35)])
    distance = radius(shape, (150, 330), (260, 320))
    image = colour(shape, (206, 112, 92)) * np.clip(0.3 + 0.75 * distance, 0, 1)[..., None]
    folds = np.sin(16 * distance + 0.6 * texture(shape, 30, rng))
    image += 10 * folds[..., None] + 5 * texture(shape, 6, rng)[..., None]
    shadow = soft(np.roll(gts > 0, (14, 18), (0, 1)) & (gts == 0), 9)[..., None]
    image *= 1 - 0.5 * shadow
    inside = soft(gts > 0, 1.5)[..., None]
    light = np.clip(1.1 - 0.3 * radius(shape, (205, 160), (95, 95)), 0.7, 1.1)[..., None]
    polyp = colour(shape, (232, 138, 128)) * light + 6 * texture(shape, 4, rng)[..., None]
    image = image * (1 - inside) + polyp * inside
    shine = soft(radius(shape, (200, 165), (7, 13)) < 1, 2)[..., None]
    image = image * (1 - shine) + 250 * shine
    return to_uint8(image + rng.normal(0, 3, (*shape, 3))), gts, None


def draw_fundus(rng: Rng) -> Phantom:
    """Draw a bright optic disc with a paler cup on a red retina, whose vessels leave it, fork and grow thinner."""
    shape = (512, 512)
    gts = stack_labels(shape, [blob(shape, (250, 340), 46, rng, 0.08)])
    field = soft(radius(shape, (256, 256), (245, 245)) < 1, 2)[..., None]
    shade = np.clip(1.15 - 0.35 * radius(shape, (256, 256), (245, 245)) ** 2, 0, 2)[..., None]
    image = colour(shape, (188, 88, 42)) * shade + 9 * texture(shape, 40, rng)[..., None]
    macula = np.exp(-(radius(shape, (262, 190), (48, 48)) ** 2))[..., None]
    image *= 1 - 0.35 * macula
    inside = soft(gts > 0, 3)[..., None]
    image = image * (1 - inside) + colour(shape, (238, 186, 112)) * inside
    cup = soft(radius(shape, (252, 344), (20, 18)) < 1, 4)[..., None]
    image = image * (1 - cup) + colour(shape, (252, 228, 176)) * cup
    vessels = np.zeros(shape, np.float32)
    for bend in (-1.7, -1.1, 1.1, 1.7, -2.6, 2.6):
        draw_vessel(vessels, (344.0, 250.0), bend, 4.0, 2, rng)
    visible = 0.5 - 0.25 * inside  # on the disc, vessels are paler
    depth = visible * np.asarray(cv2.GaussianBlur(vessels, (0, 0), 1.0), np.float64)[..., None]
    image = image * (1 - depth) + colour(shape, (96, 22, 18)) * depth
    return to_uint8(image * field + rng.normal(0, 2, (*shape, 3)) * field), gts, None


def draw_vessel(
    canvas: NDArray[np.float32], start: tuple[float, float], angle: float, width: float, forks: int, rng: Rng
) -> None:
    """Draw a line that bends towards the horizontal from `start` (x, y), thins out, and forks; 1 on it."""
    x, y = start
    for step in range(60):
        ends = [(x, y), (x + 4 * np.cos(angle), y + 4 * np.sin(angle))]
        x, y = ends[1]
        points = [np.round(np.array(ends) * 8).astype(np.int32)]  # in eighths of a pixel
        cv2.polylines(
            canvas, points, isClosed=False, color=1.0, thickness=max(1, round(width)), lineType=cv2.LINE_AA, shift=3
        )
        target = np.pi * np.sign(angle) if abs(angle) > np.pi / 2 - 0.6 else 0.0
        angle += 0.012 * (target - angle) + 0.03 * rng.normal()
        width *= 0.985
        if forks and step in (18, 36):
            draw_vessel(canvas, (x, y), angle + rng.choice([-0.6, 0.6]), width * 0.7, forks - 1, rng)


def draw_microscopy(rng: Rng) -> Phantom:
    """Stained nuclei on pale tissue."""
    shape = (384, 512)
    masks: list[NDArray[np.bool_]] = []
    taken = np.zeros(shape, bool)
    while len(masks) < 40:
        centre = (int(rng.integers(20, shape[0] - 20)), int(rng.integers(20, shape[1] - 20)))
        mask = blob(shape, centre, rng.uniform(10, 17), rng, 0.5)
        if not (taken & cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)).any():
            masks.append(mask)
            taken |= mask
    gts = stack_labels(shape, masks)
    image = colour(shape, (234, 196, 214)) + 12 * texture(shape, 8, rng)[..., None]
    inside = soft(gts > 0, 1.2)[..., None] * (0.8 + 0.2 * texture(shape, 3, rng)[..., None])
    image = image * (1 - inside) + colour(shape, (98, 62, 138)) * inside
    return to_uint8(image + rng.normal(0, 4, (*shape, 3))), gts, None


def draw_ultrasound(rng: Rng) -> Phantom:
    """Draw a dark cyst and a bright nodule in speckle."""
    shape = (256, 256)
    gts = stack_labels(shape, [blob(shape, (110, 95), 34, rng, 0.7), blob(shape, (165, 180), 24, rng, 0.4)])
    echo = 0.5 + 0.12 * texture(shape, 20, rng)
    echo = np.where(gts == 1, 0.12, np.where(gts == 2, 0.85, echo))
    echo = cv2.GaussianBlur(echo, (0, 0), 1.5) * rng.rayleigh(0.8, shape)
    image = to_uint8(255 * np.clip(np.asarray(cv2.GaussianBlur(echo, (0, 0), 0.8), np.float64), 0, 1))
    return np.repeat(image[..., None], 3, -1), gts, None


def draw_xray(rng: Rng) -> Phantom:
    """Two lungs behind ribs."""
    shape = (480, 512)
    lungs = [radius(shape, (230, x), (165, 78)) + 0.12 * texture(shape, 60, rng) < 1 for x in (150, 362)]
    gts = stack_labels(shape, lungs)
    image = 175 * np.ones(shape) - 110 * soft(gts > 0, 7) + 10 * texture(shape, 30, rng)
    y, x = np.mgrid[: shape[0], : shape[1]]
    ribs = np.sin((y + 0.0012 * (x - 256) ** 2) / 9.5) > 0.75
    image += 22 * soft(ribs & (np.abs(x - 256) < 210), 2) + 45 * soft(np.abs(x - 256) < 18, 6)
    return np.repeat(to_uint8(image + rng.normal(0, 4, shape))[..., None], 3, -1), gts, None


def draw_ct(rng: Rng) -> Phantom:
    """Draw a trunk with liver, two kidneys, aorta and spine, in an abdominal window."""
    shape = (24, 192, 256)
    liver = ball(shape, (12, 90, 85), (10, 42, 48), rng, 0.15)
    left, right = (
        ball(shape, (11, 118, 92), (7, 16, 12), rng, 0.08),
        ball(shape, (11, 118, 172), (7, 16, 12), rng, 0.08),
    )
    aorta = ball(shape, (12, 104, 134), (200, 8, 8), rng)
    gts = stack_labels(shape, [liver & ~left, left, right, aorta])
    body = ball(shape, (12, 100, 128), (200, 78, 112), rng)
    spine = ball(shape, (12, 138, 130), (200, 16, 15), rng)
    image = 95.0 * body + 12 * body * np.stack([texture(shape[1:], 16, rng) for _ in range(shape[0])])
    for mask, level in ((liver, 150), (left, 178), (right, 178), (aorta, 205), (spine, 245)):
        image = np.where(mask & body, level, image)
    return to_uint8(image + rng.normal(0, 7, shape)), gts, (5.0, 1.4, 1.4)


def draw_mr(rng: Rng) -> Phantom:
    """Draw a head with a bright tumour and two dark ventricles."""
    shape = (28, 176, 160)
    brain = ball(shape, (14, 88, 80), (13, 68, 56), rng)
    tumour = ball(shape, (15, 70, 108), (7, 17, 15), rng, 0.15)
    ventricles = [ball(shape, (14, 88, x), (6, 24, 7), rng, 0.1) for x in (70, 88)]
    gts = stack_labels(shape, [tumour, *ventricles])
    skull = ball(shape, (14, 88, 80), (14, 80, 68), rng) & ~ball(shape, (14, 88, 80), (13.5, 74, 62), rng)
    image = 120.0 * brain + 190 * skull
    image += 14 * brain * np.stack([texture(shape[1:], 10, rng) for _ in range(shape[0])])
    for mask, level in zip([*ventricles, tumour], (48, 48, 205), strict=True):
        image = np.where(mask & brain, level, image)
    bias = 0.85 + 0.3 * np.linspace(0, 1, shape[2])
    return to_uint8(image * bias + rng.normal(0, 6, shape)), gts, (3.0, 1.1, 1.1)


PHANTOMS: dict[str, Callable[[Rng], Phantom]] = {
    "2DBox_Dermoscopy_phantom_0000": draw_dermoscopy,
    "2DBox_Endoscopy_phantom_0000": draw_endoscopy,
    "2DBox_Fundus_phantom_0000": draw_fundus,
    "2DBox_Microscopy_phantom_0000": draw_microscopy,
    "2DBox_US_phantom_0000": draw_ultrasound,
    "2DBox_XRay_phantom_0000": draw_xray,
    "3DBox_CT_phantom_0000": draw_ct,
    "3DBox_MR_phantom_0000": draw_mr,
}


def radius(shape: tuple[int, int], centre: tuple[float, float], half_sides: tuple[float, float]) -> F64:
    """Distance of every pixel from `centre`, in half-sides: 1 on the ellipse."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot((y - centre[0]) / half_sides[0], (x - centre[1]) / half_sides[1])


def blob(
    shape: tuple[int, int], centre: tuple[float, float], size: float, rng: Rng, roughness: float
) -> NDArray[np.bool_]:
    """Draw a disc of radius `size` whose outline waves by about `roughness` of it."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    angle = np.arctan2(y - centre[0], x - centre[1])
    outline = np.ones(shape)
    for order in range(2, 7):
        outline += 2 * roughness / order**2 * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(y - centre[0], x - centre[1]) < size * outline


def ball(
    shape: tuple[int, int, int],
    centre: tuple[float, float, float],
    half_sides: tuple[float, float, float],
    rng: Rng,
    roughness: float = 0.03,
) -> NDArray[np.bool_]:
    """Draw an ellipsoid whose surface is uneven by about `roughness` of its size."""
    axes = np.mgrid[: shape[0], : shape[1], : shape[2]]
    squares = [((a - c) / h) ** 2 for a, c, h in zip(axes, centre, half_sides, strict=True)]
    return np.sqrt(sum(squares)) < 1 + roughness * texture(shape[1:], 10, rng)


def texture(shape: tuple[int, ...], scale: float, rng: Rng) -> F64:
    """Smooth noise of mean 0 and deviation 1 whose features are `scale` pixels wide."""
    noise = np.asarray(cv2.GaussianBlur(rng.normal(0, 1, shape), (0, 0), scale), np.float64)
    return (noise - noise.mean()) / noise.std()


def soft(mask: NDArray[np.bool_], width: float) -> F64:
    """0 to 1 with an edge of about `width` pixels."""
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float64), (0, 0), width), np.float64)


def colour(shape: tuple[int, int], rgb: tuple[int, int, int]) -> F64:
    return np.broadcast_to(np.array(rgb, float), (*shape, 3)).copy()


def stack_labels(shape: tuple[int, ...], masks: list[NDArray[np.bool_]]) -> Labels:
    """Label i + 1 where masks[i] is set, later masks over earlier ones."""
    gts = np.zeros(shape, np.uint16)
    for label, mask in enumerate(masks, 1):
        gts[mask] = label
    return gts


def to_uint8(image: F64) -> U8:
    return np.clip(image, 0, 255).astype(np.uint8)
