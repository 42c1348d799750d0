"""Where a label goes beside its box, so that it lies over no line and no other label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LABEL_CHAR_PX = 6.9  # mean width of a bold character of 12 px
LABEL_HALF_HEIGHT_PX = 7.0
GAP_PX = 4.0  # from the box to its label


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A stretch of the drawing in pixels; y grows downwards."""

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float

    def meets(self, other: Rectangle) -> bool:
        """Whether two rectangles share any area."""
        return (
            self.left_px < other.right_px
            and other.left_px < self.right_px
            and self.top_px < other.bottom_px
            and other.top_px < self.bottom_px
        )

    def covers(self, points_px: NDArray[np.float64]) -> int:
        """How many points, rows of x and y, lie inside."""
        x, y = points_px[:, 0], points_px[:, 1]
        inside = (x > self.left_px) & (x < self.right_px) & (y > self.top_px) & (y < self.bottom_px)
        return int(np.count_nonzero(inside))


def rectangle_of(text: str, box: Rectangle, side: str) -> Rectangle:
    """The rectangle that a label fills on one side of its box."""
    width = LABEL_CHAR_PX * len(text)
    x, y = (box.left_px + box.right_px) / 2, (box.top_px + box.bottom_px) / 2
    far = GAP_PX + LABEL_HALF_HEIGHT_PX
    middle = {
        "above": (x, box.top_px - far),
        "below": (x, box.bottom_px + far),
        "left": (box.left_px - GAP_PX - width / 2, y),
        "right": (box.right_px + GAP_PX + width / 2, y),
    }
    mid_x, mid_y = middle[side]
    half = LABEL_HALF_HEIGHT_PX
    return Rectangle(mid_x - width / 2, mid_y - half, mid_x + width / 2, mid_y + half)


def label_places(
    texts: Sequence[str], boxes: Sequence[Rectangle], lines_px: Iterable[NDArray[np.float64]]
) -> list[Rectangle]:
    """A place for each label: the side that covers least, the first of them above its box.

    Parameters
    ----------
    texts : Sequence[str]
        Labels, in the order in which they choose.
    boxes : Sequence[Rectangle]
        The box of each label [px].
    lines_px : Iterable[NDArray[np.float64]]
        Lines as rows of x and y [px], in order along the line.

    Returns
    -------
    list[Rectangle]
        One for each label [px].

    Examples
    --------
    >>> box, line = Rectangle(50, 50, 60, 60), np.array([[0.0, 38.0], [200.0, 38.0]])
    >>> label_places(["a"], [box], [line])[0].top_px
    64.0
    """
    ink = np.concatenate([np.empty((0, 2)), *(_dense(line) for line in lines_px)])
    placed: list[Rectangle] = []
    for text, box in zip(texts, boxes, strict=True):
        sides = [rectangle_of(text, box, side) for side in ("above", "below", "left", "right")]
        others = [*placed, *(other for other in boxes if other is not box)]

        def covered(at: Rectangle, others: list[Rectangle] = others) -> tuple[int, int]:
            return sum(at.meets(other) for other in others), at.covers(ink)

        placed.append(min(sides, key=covered))
    return placed


def _dense(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points at most about a pixel apart, so that a line cannot slip through a label unseen."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    wanted = np.linspace(0.0, along[-1], int(along[-1]) + 2)
    return np.column_stack([np.interp(wanted, along, line[:, i]) for i in (0, 1)])
