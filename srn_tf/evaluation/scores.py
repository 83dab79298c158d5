"""Scores of restored pictures against sharp ones: for each, a sequence and all; CSV and JSON.

Everything is read from files, because the scores are those of the 8-bit picture as saved. Rows are
dicts with a name and scores, as `score` and `koehler` give them.

A picture equal to its sharp one has an infinite PSNR, which would make every mean infinite. Means
of PSNR are over the pictures with finite PSNR in all columns, so that blurred and restored ones are
compared over the same pictures; how many are left out is in the JSON and printed. In CSV infinity
is `inf`, in JSON, which has none, `null`.
"""

import csv
import json
import math
import pathlib

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from srn_tf import UserError
from srn_tf.atomic import atomic_file
from srn_tf.evaluation.metrics import psnr, ssim, ssim_luma, ssim_matlab3d
from srn_tf.images.rgb import read_rgb
from srn_tf.progress import printable

METRICS = {"psnr": psnr, "ssim": ssim, "ssim_luma": ssim_luma, "ssim_matlab3d": ssim_matlab3d}
_KINDS_OF_SSIM = ("ssim_luma", "ssim_matlab3d")
_SHOWN = 50


def score(name: str, blurred_path, restored_path, sharp_path) -> dict:
    """The scores of one picture and of the blurred one it was made from.

    Args:
        name: what the row is called; its first folder is its sequence.
        blurred_path, restored_path, sharp_path: of the three pictures, of one size.

    Returns:
        name, blurred_psnr, blurred_ssim, blurred_ssim_luma, blurred_ssim_matlab3d, psnr, ssim,
        ssim_luma, ssim_matlab3d.

    Raises:
        UserError: if the sharp picture is missing; if one of the three cannot be read, is smaller
            than 11 pixels, or differs in size from the sharp one.
        OSError: if the blurred or the restored picture cannot be opened.
    """
    if not pathlib.Path(sharp_path).is_file():
        raise UserError(f"{sharp_path}: no such sharp picture")
    sharp = read_rgb(sharp_path)
    row = {"name": name}
    for prefix, path in (("blurred_", blurred_path), ("", restored_path)):
        picture = read_rgb(path)
        require_same_size(path, picture, sharp_path, sharp)
        for metric, compute in METRICS.items():
            try:
                row[prefix + metric] = compute(sharp, picture)
            except UserError as error:
                raise UserError(f"{sharp_path}: {error}") from None
    return row


def require_same_size(path, picture, sharp_path, sharp) -> None:
    """Raises UserError if a picture and its sharp one differ in size."""
    if picture.shape != sharp.shape:
        size, other = (f"{image.shape[1]}x{image.shape[0]}" for image in (picture, sharp))
        raise UserError(f"{path}: {size}, but the sharp picture {sharp_path} is {other}")


def first_folder(name: str) -> str | None:
    """The sequence of a picture: "GOPR0384_11_00" of "GOPR0384_11_00/blur/000001.png"."""
    parts = pathlib.PurePath(name).parts
    return parts[0] if len(parts) > 1 else None


def summarize(rows: list[dict], sequence=first_folder) -> list[dict]:
    """The means of each sequence, in the order of the rows, and last the mean of all pictures.

    Args:
        rows: at least one.
        sequence: gives the sequence of a picture's name, or None where it belongs to none.

    Returns:
        Rows of name (of the sequence, or "mean"), pictures (how many), infinite_psnr (how many of
        them the means of PSNR leave out), and the mean of each score. If PSNR is infinite for all
        pictures, so is its mean.
    """
    sequences = {}
    for row in rows:
        if (name := sequence(row["name"])) is not None:
            sequences.setdefault(name, []).append(row)
    return [_mean(name, members) for name, members in sequences.items()] + [_mean("mean", rows)]


def _mean(name: str, rows: list[dict]) -> dict:
    scores = [column for column in rows[0] if _is_score(column)]
    ratios = [column for column in scores if column.endswith("psnr")]
    finite = [row for row in rows if all(math.isfinite(row[column]) for column in ratios)]
    means = {}
    for column in scores:
        averaged = (finite or rows) if column in ratios else rows
        means[column] = float(np.mean([row[column] for row in averaged]))
    return {
        "name": name,
        "pictures": len(rows),
        "infinite_psnr": len(rows) - len(finite),
        **means,
    }


def _is_score(column: str) -> bool:
    return column.removeprefix("blurred_") in (*METRICS, "ms_ssim")


def write_csv(path, rows: list[dict], means: list[dict]) -> None:
    """Writes the rows under a header line, then the means; whole or not at all."""
    # File names need not be valid text.
    options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with atomic_file(path) as temporary, open(temporary, "w", **options) as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        for row in (*rows, *means):
            name = row["name"]
            if name.startswith(("=", "+", "-", "@", "\t", "\r")):
                name = f"./{name}"  # the same file, which no spreadsheet takes for a formula
            row = {k: f"{v:.6f}" if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow(row | {"name": name})


def write_json(path, rows: list[dict], means: list[dict]) -> None:
    """Writes {"pictures": rows, "sequences": their means, "mean": of all}; whole or not at all.

    Without rows there is no mean.
    """
    *sequences, mean = [_without_infinity(row) for row in means] or [None]
    pictures = [_without_infinity(row) for row in rows]
    scores = {"pictures": pictures, "sequences": sequences, "mean": mean}
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(scores, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _without_infinity(row: dict) -> dict:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def print_table(rows: list[dict], means: list[dict], every: bool = False) -> None:
    """Prints the pictures, if they are few, and the means; PSNR in dB.

    Above 50 pictures only the means are printed. Of the scores PSNR and SSIM are, or `every` one.
    """
    columns = [c for c in rows[0] if every or not c.endswith(_KINDS_OF_SSIM)]
    console = Console()
    if not console.is_terminal:
        console.width = 200  # a log is not folded to 80 columns
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
    for column in columns:
        side = "left" if column == "name" else "right"
        table.add_column(column.replace("_", " "), justify=side, overflow="fold")
    *sequences, mean = means
    for section in (rows if len(rows) <= _SHOWN else [], sequences, [mean]):
        for row in section:
            table.add_row(*(_cell(column, row.get(column, "")) for column in columns))
        table.add_section()
    console.print(table)
    if mean["infinite_psnr"]:
        print(f"PSNR is infinite, and left out of its means, for pictures: {mean['infinite_psnr']}")


def _cell(column: str, value) -> Text:
    # Text, because rich would take [brackets] in a file name for its markup.
    if isinstance(value, float):
        return Text(f"{value:.{2 if column.endswith('psnr') else 4}f}")
    return Text(printable(value))
