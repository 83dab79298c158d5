"""Scores of restored pictures against sharp ones, as a table and as CSV."""

import csv
import pathlib

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from srn_tf.files import atomic_file
from srn_tf.images import read_image
from srn_tf.metrics import psnr, ssim, ssim_matlab3d

METRICS = {"psnr": psnr, "ssim": ssim, "ssim_matlab3d": ssim_matlab3d}


def score(path: pathlib.Path, blurred, restored, sharp_path) -> dict:
    """The scores of one picture and of the blurred one it was made from.

    Args:
        path: of the blurred picture; the sharp one has the same file name.
        blurred, restored: uint8 [height, width, 3].
        sharp_path: folder of the sharp pictures.

    Returns:
        name, blurred_psnr, blurred_ssim, blurred_ssim_matlab3d, psnr, ssim, ssim_matlab3d.

    Raises:
        ValueError: if the sharp picture is missing, cannot be read, or has another size.
    """
    sharp_file = pathlib.Path(sharp_path) / path.name
    if not sharp_file.is_file():
        raise ValueError(f"{path}: no sharp picture of that name in {sharp_path}")
    sharp = read_image(sharp_file)
    if sharp.shape != restored.shape:
        raise ValueError(
            f"{sharp_file}: {sharp.shape[1]}x{sharp.shape[0]}, but the blurred picture is "
            f"{restored.shape[1]}x{restored.shape[0]}"
        )
    try:
        return {
            "name": path.name,
            **{f"blurred_{name}": metric(sharp, blurred) for name, metric in METRICS.items()},
            **{name: metric(sharp, restored) for name, metric in METRICS.items()},
        }
    except ValueError as error:
        raise ValueError(f"{sharp_file}: {error}") from None


def with_mean(rows: list[dict]) -> list[dict]:
    """The rows, and one more with the mean of each column."""
    columns = [column for column in rows[0] if column != "name"]
    mean = {column: float(np.mean([row[column] for row in rows])) for column in columns}
    return [*rows, {"name": "mean", **mean}]


def write_csv(path, rows: list[dict]) -> None:
    """Writes the rows under a header line; whole or not at all."""
    # File names need not be valid text.
    options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with atomic_file(path) as temporary, open(temporary, "w", **options) as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: v if isinstance(v, str) else f"{v:.4f}" for k, v in row.items()})


def print_table(rows: list[dict]) -> None:
    """Prints the rows, the mean last; PSNR in dB with two decimals, SSIM with four."""
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a log is not folded to 80 columns
    table = Table()
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="left" if column == "name" else "right")
    for row in rows:
        numbers = [
            f"{value:.{2 if 'psnr' in column else 4}f}"
            for column, value in row.items()
            if column != "name"
        ]
        # Text, because rich would take [brackets] in a file name for its markup.
        table.add_row(Text(row["name"]), *numbers, end_section=row is rows[-2])
    console.print(table)
