"""Scores and reports of a folder that several processes restored, a shard each, made one.

Shard 3 of 16 writes scores.3-of-16.json, and what goes with it, where an undivided run would write
scores.json. It does so last, and also if it scored nothing: where all these files are, all is done.
"""

import dataclasses
import json
import math
import pathlib
import re

from srn_tf import UserError
from srn_tf.evaluation import koehler
from srn_tf.evaluation.report import data_of_report, write_page
from srn_tf.evaluation.scores import first_folder, summarize, write_csv, write_json

_NAME = re.compile(r"scores\.(\d+)-of-(\d+)\.json")


@dataclasses.dataclass(frozen=True)
class Shard:
    """Of `count` equal parts of a list the one of this number, which begins at 1.

    Raises:
        UserError: for numbers that are none.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self):
        if not 1 <= self.number <= self.count:
            raise UserError(f"shard must be 1/N to N/N, not {self.number}/{self.count}")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From "3/16"; raises UserError for what is no such text."""
        if not (match := re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)):
            raise UserError(f"shard must be a number and how many there are, as 3/16, not {text!r}")
        return cls(int(match[1]), int(match[2]))

    def of(self, items: list, key) -> list:
        """Every count-th of the items in the order of `key`: the same whatever their order was."""
        return sorted(items, key=key)[self.number - 1 :: self.count]

    def name(self, file: str) -> str:
        """What this shard calls "scores.csv": "scores.3-of-16.csv"; one that is all, the same."""
        stem, ending = file.rsplit(".", 1)
        return file if self.count == 1 else f"{stem}.{self.number}-of-{self.count}.{ending}"


def merge(folder) -> tuple[list[dict], list[dict], pathlib.Path | None]:
    """Writes scores.csv, scores.json and report.html of all shards; what is not theirs is left out.

    Args:
        folder: where the shards wrote their scores and reports.

    Returns:
        The rows and means, as `scores.summarize` has them, and the report; none of what no shard
        had.

    Raises:
        UserError: if a shard is not there or not done, or they are of different divisions.
    """
    folder = pathlib.Path(folder)
    shards = _shards(folder)
    rows = []
    for shard in shards:
        path = folder / shard.name("scores.json")
        try:
            rows += json.loads(path.read_text(encoding="utf-8"))["pictures"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: cannot be read as scores: {error}") from None
    rows = [_with_infinity(row) for row in sorted(rows, key=lambda row: row["name"])]
    means = []
    if rows:
        means = summarize(rows, koehler.trajectory if "ms_ssim" in rows[0] else first_folder)
        write_csv(folder / "scores.csv", rows, means)
        write_json(folder / "scores.json", rows, means)
    reports = [folder / shard.name("report.html") for shard in shards]
    pages = [data_of_report(path) for path in reports if path.exists()]
    if not pages:
        return rows, means, None
    whole = {
        "title": pages[0]["title"],
        "entries": [entry for page in pages for entry in page["entries"]],
        "failures": [line for page in pages for line in page["failures"]],
    }
    whole["entries"].sort(key=lambda entry: entry["name"])
    write_page(folder / "report.html", whole)
    return rows, means, folder / "report.html"


def _shards(folder: pathlib.Path) -> list[Shard]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    matches = [match for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    found = {Shard(int(match[1]), int(match[2])) for match in matches}
    counts = sorted({shard.count for shard in found})
    if not counts:
        raise UserError(f"{folder}: no scores of shards (scores.1-of-N.json)")
    if len(counts) > 1:
        raise UserError(f"{folder}: has scores of {' and of '.join(map(str, counts))} shards")
    shards = [Shard(number, counts[0]) for number in range(1, counts[0] + 1)]
    if missing := [str(shard.number) for shard in shards if shard not in found]:
        raise UserError(f"{folder}: not there yet, of {counts[0]} shards: {', '.join(missing)}")
    return shards


def _with_infinity(row: dict) -> dict:
    """JSON has no infinity: the PSNR of equal pictures."""
    return {key: math.inf if value is None else value for key, value in row.items()}
