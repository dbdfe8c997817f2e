"""Slices of different sizes meet centre upon centre."""

import pytest
import torch

from common.inferers.canvas import common_size, place, take_out


@pytest.mark.parametrize(("size", "canvas"), [((4, 6), (8, 8)), ((5, 3), (8, 9)), ((8, 7), (8, 8)), ((8, 8), (8, 8))])
def test_placing_and_taking_out(size, canvas):
    volume = torch.rand(*size, 2)
    placed = place(volume, canvas, -1.0)
    assert placed.shape == (*canvas, 2)
    assert float(placed[canvas[0] // 2, canvas[1] // 2, 0]) == float(volume[size[0] // 2, size[1] // 2, 0])
    assert int((placed == -1).sum()) == 2 * (canvas[0] * canvas[1] - size[0] * size[1])
    assert torch.equal(take_out(placed[None], size)[0], volume)


def test_the_canvas_holds_all():
    assert common_size([torch.zeros(4, 9, 1), torch.zeros(8, 3, 5)]) == (8, 9)
