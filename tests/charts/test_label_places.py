"""Labels beside boxes: over no line and no other label where there is room."""

from __future__ import annotations

import numpy as np
import pytest

from weighbridge.charts.label_places import Rectangle, label_places, rectangle_of

BOX = Rectangle(100.0, 100.0, 110.0, 110.0)


def across(y: float) -> np.ndarray:
    return np.array([[0.0, y], [300.0, y]])


@pytest.mark.parametrize(
    ("lines", "side"),
    [
        ([], "above"),
        ([across(89.0)], "below"),
        ([across(89.0), across(121.0)], "left"),
        ([across(89.0), across(121.0), np.array([[90.0, 0.0], [90.0, 300.0]])], "right"),
    ],
)
def test_a_label_takes_the_first_side_that_covers_no_line(lines, side):
    assert label_places(["label"], [BOX], lines) == [rectangle_of("label", BOX, side)]


def test_labels_of_neighbours_lie_apart_from_each_other_and_from_the_boxes():
    boxes = [BOX, Rectangle(120.0, 100.0, 130.0, 110.0), Rectangle(140.0, 100.0, 150.0, 110.0)]
    first, second, third = label_places(["a long label"] * 3, boxes, [])
    assert not first.meets(second)
    assert not second.meets(third)
    assert not first.meets(third)
    assert not any(at.meets(box) for at in (first, second, third) for box in boxes)
