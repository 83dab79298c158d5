"""What a terminal shows: progress, of which a log has a line now and then; and names."""

import contextlib
import datetime
import os
import sys
import tempfile
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

_WIDE = 80  # columns of a terminal


def printable(text) -> str:
    """Text without what a terminal obeys: a name may hold escape sequences or a line break."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


@contextlib.contextmanager
def progress(description: str, total: int | None, completed: int = 0, lines: bool = False):
    """A progress bar on standard error, where that is a terminal.

    Gives a function `advance(text, parts=1)`, to be called after each of the `total` parts of the
    work, with a few words to show beside the bar; with `parts=0` it changes the words alone.

    Args:
        description: of the work, one word.
        total: how many parts it has; None if nobody knows.
        completed: how many of them are done.
        lines: where it is no terminal, print a line whenever the words have changed, with the time
            left.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _printing(total, completed) if lines else lambda text="", parts=1: None
        return
    step = MofNCompleteColumn(table_column=Column(no_wrap=True))
    left = TextColumn("left"), TimeRemainingColumn(table_column=Column(no_wrap=True))
    text = TextColumn("{task.fields[text]}", markup=False)
    if console.width < _WIDE:  # how far it is, and how long it takes, have room
        columns = [step, *left]
    else:
        columns = [BarColumn(bar_width=24), step, text, TimeElapsedColumn(), *left]
    bar = Progress(TextColumn("{task.description}"), *columns, console=console)
    with bar:
        task = bar.add_task(description, total=total, completed=completed, text="")
        yield lambda text="", parts=1: bar.update(task, advance=parts, text=printable(text))


def _printing(total: int, completed: int):
    begun, done, last = time.monotonic(), 0, ""

    def advance(text: str = "", parts: int = 1) -> None:
        nonlocal done, last
        done += parts
        if text and text != last:
            last, at = text, completed + done
            seconds = (time.monotonic() - begun) / done * (total - at)
            left = datetime.timedelta(seconds=round(seconds))
            print(f"step {at} of {total}: {text}  {left} left", flush=True)

    return advance


@contextlib.contextmanager
def quiet_stderr():
    """Holds back what C++ libraries print while they load; shows it if loading fails."""
    if sys.stderr is not None:
        sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(tempfile.TemporaryFile())
            saved = os.dup(2)
        except OSError:  # nowhere to hold it, or nothing to hold
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
