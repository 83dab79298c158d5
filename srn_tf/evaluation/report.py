"""A page to look at the results: every picture before and after, in one HTML file.

Where there is a sharp picture it can be looked at in place of the restored one.
"""

import base64
import dataclasses
import importlib.resources
import json
import math
import os
import pathlib
import re
import urllib.parse
from collections.abc import Sequence

import cv2
import numpy as np

from srn_tf import UserError
from srn_tf.atomic import atomic_file

# A sharp photograph takes some 14 kB so: 500 of them, before and after, make a page of 19 MB.
THUMBNAIL_SIDE = 320
THUMBNAIL_QUALITY = 75


@dataclasses.dataclass(frozen=True)
class Entry:
    """One picture of the report.

    Attributes:
        name: as shown, such as "holiday/a.png".
        blurred, restored: the full-size files.
        width, height: in pixels, upright.
        thumbnails: JPEG of the blurred, of the restored, and of the sharp picture, if there is one.
        seconds: that the network took; None where an earlier run restored the picture.
        scores: by name, the blurred picture's with "blurred_" before it (blurred_psnr, psnr, ...);
            None without a sharp picture.
        sharp: the full-size file, if there is one.
        words: what the method decided on this picture.
        maps: small JPEG pictures of what it found, by name.
    """

    name: str
    blurred: pathlib.Path
    restored: pathlib.Path
    width: int
    height: int
    thumbnails: tuple[bytes, ...]
    seconds: float | None
    scores: dict[str, float] | None
    sharp: pathlib.Path | None = None
    words: str = ""
    maps: dict[str, bytes] = dataclasses.field(default_factory=dict)


def thumbnail(pixels: np.ndarray) -> bytes:
    """A small JPEG of uint8 RGB [height, width, 3]; small pictures keep their size."""
    height, width = pixels.shape[:2]
    scale = min(1, THUMBNAIL_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY])
    return encoded.tobytes()


def gray_map(values: np.ndarray) -> np.ndarray:
    """Values [height, width] in [0, 1] as uint8 RGB, small ones enlarged."""
    scale = max(1, 96 // max(values.shape))
    gray = np.rint(values * 255).astype(np.uint8)
    gray = np.kron(gray, np.ones((scale, scale), np.uint8))
    return np.repeat(gray[..., np.newaxis], 3, axis=2)


def write_report(path, entries: list[Entry], title: str, failures: Sequence[str] = ()) -> None:
    """Writes the page; whole or not at all. It begins with what failed, a line each.

    Script, style and thumbnails are inside. The full-size pictures are linked relative to the
    page, so that it can be moved together with them.
    """
    folder = pathlib.Path(path).parent
    data = {
        "title": _text(title),
        "entries": [_as_json(entry, folder) for entry in entries],
        "failures": [_text(line) for line in failures],
    }
    write_page(path, data)


def data_of_report(path) -> dict:
    """What a report that `write_report` wrote shows, as `write_page` takes it.

    Raises:
        UserError: if it is no such page.
    """
    text = pathlib.Path(path).read_text(encoding="utf-8")
    match = re.search('<script type="application/json" id="data">(.*)</script>', text)
    if match is None:
        raise UserError(f"{path}: is no report")
    return json.loads(match[1])


def write_page(path, data: dict) -> None:
    """Writes a page of what `data_of_report` gives; whole or not at all."""
    # Names are data: without "<", none can end the <script> that holds them.
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    here = importlib.resources.files("srn_tf.evaluation")
    page, style, script = (
        here.joinpath(name).read_text(encoding="utf-8")
        for name in ("report.html", "viewer.css", "viewer.js")
    )
    # A page that is opened as a file can load no module: what is one becomes a part of its script.
    page = page.replace("__STYLE__", style)
    page = page.replace("__VIEWER__", re.sub("^export ", "", script, flags=re.MULTILINE))
    page = page.replace("__DATA__", text)  # last: names may be anything
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _as_json(entry: Entry, folder: pathlib.Path) -> dict:
    scores = entry.scores and {name: _number(value) for name, value in entry.scores.items()}
    return {
        "name": _text(entry.name),
        "files": [
            _link(file, folder) for file in (entry.blurred, entry.restored, entry.sharp) if file
        ],
        "width": entry.width,
        "height": entry.height,
        "thumbnails": [base64.b64encode(jpeg).decode() for jpeg in entry.thumbnails],
        "seconds": entry.seconds,
        "scores": scores,
        "words": entry.words,
        "maps": {name: base64.b64encode(jpeg).decode() for name, jpeg in entry.maps.items()},
    }


def _text(name: str) -> str:
    """A name for people; a byte of it that is no text becomes the usual replacement."""
    return os.fsencode(name).decode(errors="replace")


def _link(file: pathlib.Path, folder: pathlib.Path) -> str:
    relative = pathlib.Path(os.path.relpath(file, folder)).as_posix()
    # As bytes, because file names need not be valid text.
    return urllib.parse.quote(os.fsencode(relative))


def _number(value: float) -> float | str:
    """The PSNR of identical pictures is infinite, which JSON lacks; JavaScript reads the word."""
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
