"""Progress where there is no terminal."""

import io
import re
import time

import pytest
import rich.console

from srn_tf.progress import progress


def test_a_log_gets_a_line_for_new_words_with_the_time_left(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress("training", total=100, completed=20, lines=True) as advance:
        for step in range(21, 61):
            now += 2.0
            advance("loss 0.5" if step < 60 else "loss 0.4")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "step 21 of 100: loss 0.5  0:02:38 left",
        "step 60 of 100: loss 0.4  0:01:20 left",
    ]
    assert printed.err == ""


@pytest.mark.parametrize(("width", "has_words"), [(40, False), (100, True)])
def test_step_and_time_left_have_room_on_any_terminal(monkeypatch, width, has_words):
    shown = io.StringIO()
    terminal = rich.console.Console(file=shown, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr("srn_tf.progress.Console", lambda stderr: terminal)
    with progress("training", total=20000) as advance:
        for _ in range(9000):
            advance("loss 0.5")
    line = next(line for line in shown.getvalue().splitlines() if "9000/20000" in line)
    assert re.search(r"training .*9000/20000 .*left \d+:\d\d:\d\d", line)
    assert ("loss 0.5" in line) == has_words


def test_other_work_says_nothing_in_a_log(capsys):
    with progress("deblurring", total=2) as advance:
        advance("a.png")
        advance("tile 1 of 4", parts=0)
        advance()
    printed = capsys.readouterr()
    assert not re.search(r"\S", printed.out + printed.err)
