"""What the demo shows: pictures in characters on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from unfog.demo.terminal import Show, fit, half_blocks


def test_half_blocks_hold_two_pixels_a_character() -> None:
    picture = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)
    lines = Console(color_system="truecolor").render_lines(
        half_blocks(picture), pad=False, new_lines=False
    )
    lines = [[s for s in line if s.text] for line in lines if line]
    assert [len(line) for line in lines] == [3, 3]
    style = lines[1][2].style
    assert style is not None
    assert style.color is not None
    assert style.bgcolor is not None
    assert tuple(style.color.get_truecolor()) == tuple(picture[2, 2])
    assert tuple(style.bgcolor.get_truecolor()) == tuple(picture[3, 2])


def test_pictures_are_averaged_to_fit() -> None:
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[:, ::2] = 200
    assert fit(picture, 8).shape == (4, 8, 3)
    assert (fit(picture, 4) == 100).all()


def test_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    show = Show(Console(file=stream))
    with show.stage("working") as report:
        report(1, 2)
    show.pictures([np.zeros((4, 4, 3), np.uint8)])
    show.say("done [not markup]")
    assert stream.getvalue() == "working ...\ndone [not markup]\n"
