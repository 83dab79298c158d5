"""Progress on a terminal; nothing in a log."""

import contextlib

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextlib.contextmanager
def progress(description: str, total: int, completed: int = 0):
    """A progress bar on standard error, where that is a terminal.

    Gives a function `advance(text, parts=1)`, to be called after each of the `total` parts of the
    work, with a few words to show beside the bar; with `parts=0` it changes the words alone.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(description, total=total, completed=completed, text="")
        yield lambda text="", parts=1: bar.update(task, advance=parts, text=text)
