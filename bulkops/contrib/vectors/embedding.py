"""What a vector may be: reads it from JSON, text or an array, checks every number, and makes it storable float32.

numpy is imported by what computes. Its import starts threads, and a leader, which only names this operation, forks.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from bulkops import packages
from bulkops.contrib.vectors.models import Metric
from bulkops.exceptions import BulkopsError

if TYPE_CHECKING:
    import numpy as np

packages.need("numpy")

MOST_DIMENSIONS = 16_000
"""What pgvector's type takes."""
LARGEST = 1e15
"""Of a number where lengths count: squares of larger ones, summed up, would leave float32."""
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class BadVector(BulkopsError):
    """This vector cannot be used."""

    code = "bad-vector"


def read(value: Any) -> np.ndarray:
    """The numbers as float64: of a list, an array, or text such as “[1, 2.5]” or “1 2.5”. Raises BadVector."""
    import numpy as np

    numbers = _from_text(value) if isinstance(value, str) else value
    if hasattr(numbers, "tolist"):
        numbers = numbers.tolist()
    if not isinstance(numbers, list | tuple):
        raise BadVector(f"A vector is a list of numbers, not {_named(value)}.")
    if not numbers:
        raise BadVector("The vector is empty.")
    if len(numbers) > MOST_DIMENSIONS:
        raise BadVector(f"The vector has {len(numbers):,} numbers; the most is {MOST_DIMENSIONS:,}.")
    for place, number in enumerate(numbers):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise BadVector(f"Number {place} of the vector is {_named(number)}.")
    try:
        read = np.array(numbers, dtype=np.float64)
    except OverflowError:
        raise BadVector("The vector holds a number that is too large.") from None
    if not np.isfinite(read).all():
        place = int(np.flatnonzero(~np.isfinite(read))[0])
        raise BadVector(f"Number {place} of the vector is {read[place]}, which is not finite.")
    return read


def _from_text(text: str) -> Any:
    text = text.strip()
    if text.startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise BadVector("The vector's text is not a JSON list of numbers.") from None
    words = text.split()
    for place, word in enumerate(words):
        if not NUMBER.fullmatch(word):
            raise BadVector(f"Number {place} of the vector is “{word[:40]}”.")
    return [float(word) for word in words]


def _named(value: Any) -> str:
    names = {bool: "true or false", str: "a text", list: "a list", dict: "an object", type(None): "nothing"}
    return names.get(type(value), type(value).__name__)


def storable(vector: np.ndarray, metric: str, dimension: int) -> np.ndarray:
    """The vector as it is kept and compared: float32, of length 1 for cosine. Raises BadVector."""
    import numpy as np

    if len(vector) != dimension:
        has = "1 number" if len(vector) == 1 else f"{len(vector):,} numbers"
        raise BadVector(f"The vector has {has}, but the collection's have {dimension:,}.")
    largest = float(np.abs(vector).max())
    if metric == Metric.COSINE:
        if not largest:
            raise BadVector("The vector is zero: it has no direction to compare.")
        # Scaled first, so that neither huge nor tiny numbers leave the range when they are squared.
        scaled = vector / largest
        return (scaled / np.linalg.norm(scaled)).astype(np.float32)
    if largest > LARGEST:
        raise BadVector(f"The vector holds a number beyond {LARGEST:g}.")
    return vector.astype(np.float32)
