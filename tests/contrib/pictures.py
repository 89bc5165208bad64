"""Vectors of real pictures: colour histograms of the patches of matplotlib's sample photographs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from matplotlib import cbook
from PIL import Image

PICTURES = ("grace_hopper.jpg", "logo2.png", "Minduka_Present_Blue_Pack.png")
PATCH = 16
LEVELS = 4
DIMENSION = LEVELS**3


@cache
def patches(picture: str, step: int) -> list[dict[str, Any]]:
    """Items of one picture: a patch every so many pixels, its histogram, and where it was."""
    with cbook.get_sample_data(picture) as file:
        pixels = np.asarray(Image.open(file).convert("RGB"), dtype=np.int64)
    colours = (pixels * LEVELS // 256) @ np.array([LEVELS * LEVELS, LEVELS, 1])
    return [
        {
            "id": f"{picture}:{x}:{y}",
            "vector": np.bincount(colours[y : y + PATCH, x : x + PATCH].ravel(), minlength=DIMENSION).tolist(),
            "metadata": {"picture": picture, "x": x, "y": y, "half": "top" if y < len(colours) // 2 else "bottom"},
        }
        for y in range(0, len(colours) - PATCH + 1, step)
        for x in range(0, len(colours[0]) - PATCH + 1, step)
    ]
