"""How well weights deblur: photographs blurred at three strengths, restored, and scored.

Beside the network stands a Richardson-Lucy deconvolution that is told what the network has to find
out: the line from end to end of the camera's path. Sharp photographs are restored too, which should
leave them alone. The blurred pictures are those of
`srn-data blur --input_path PHOTOS --extent EXTENT --seed 0`.

Prints the tables of the model card and writes every score as JSON, and, with --figure, a picture of
where the network helps most and least.
"""

import argparse
import json
import math
import pathlib
import statistics

import cv2
import numpy as np

from srn_tf.atomic import atomic_file
from srn_tf.data.camera_shake import CameraPath, shake
from srn_tf.evaluation.metrics import psnr, ssim
from srn_tf.images.files import find_images
from srn_tf.images.rgb import read_rgb, write_image
from srn_tf.options import PRECISIONS
from srn_tf.progress import progress
from srn_tf.restoration.classical import ClassicalDeblurrer
from srn_tf.restoration.deblurrer import Deblurrer

STRENGTHS = {"light": 3.0, "medium": 8.0, "heavy": 16.0}
SEED = 0
SIDE = 224  # of the figure's crops, in pixels


def line_of(path: CameraPath) -> tuple[float, float]:
    """Length in pixels and angle in degrees of the line between a path's farthest places."""
    places = path.offsets(33)[:, :2]
    steps = places[:, None] - places[None]
    lengths = np.linalg.norm(steps, axis=-1)
    x, y = steps[np.unravel_index(lengths.argmax(), lengths.shape)]
    return float(lengths.max()), math.degrees(math.atan2(-y, x))


def score(deblurrer: Deblurrer, photos, advance) -> tuple[list[dict], dict]:
    """Scores of all photographs at all strengths, and the pictures themselves by their key."""
    rows, pictures = [], {}
    for i, photo in enumerate(photos):
        sharp = read_rgb(photo)
        rows.append({"photo": photo.name, "strength": "none", **_scores(deblurrer, sharp, sharp)})
        advance()
        for strength, extent in STRENGTHS.items():
            blurred = shake(sharp, np.random.default_rng([SEED, i]), extent)
            line = line_of(CameraPath(np.random.default_rng([SEED, i]), extent, sharp.shape[:2]))
            row = {"photo": photo.name, "strength": strength}
            row |= {"blurred_psnr": psnr(sharp, blurred), "blurred_ssim": ssim(sharp, blurred)}
            row |= _scores(deblurrer, blurred, sharp)
            classical = ClassicalDeblurrer("richardson_lucy", *line)
            row |= {f"classical_{k}": v for k, v in _scores(classical, blurred, sharp).items()}
            rows.append(row)
            pictures[photo.name, strength] = blurred, sharp
            advance()
    return rows, pictures


def _scores(deblurrer, picture, sharp) -> dict:
    restored = deblurrer.deblur(picture)
    return {"psnr": psnr(sharp, restored), "ssim": ssim(sharp, restored)}


def mean(rows, *strengths) -> dict:
    """Means of all scores of some strengths."""
    chosen = [row for row in rows if row["strength"] in strengths]
    names = [name for name in chosen[0] if name not in ("photo", "strength")]
    return {name: statistics.fmean(row[name] for row in chosen) for name in names}


def print_tables(rows) -> None:
    print("| blur | | blurred | restored | gain | deconvolution, told the line |")
    print("|---|---|---|---|---|---|")
    for names in [*([name] for name in STRENGTHS), ["medium", "heavy"]]:
        means = mean(rows, *names)
        extents = [f"{name} ({STRENGTHS[name]:g} pixels)" for name in names]
        for kind, digits in (("psnr", 2), ("ssim", 4)):
            ours, blurred, classical = (
                means[f"{part}{kind}"] for part in ("", "blurred_", "classical_")
            )
            print(
                f"| {' and '.join(extents)} | {kind.upper()} | {blurred:.{digits}f} | "
                f"**{ours:.{digits}f}** | {ours - blurred:+.{digits}f} | {classical:.{digits}f} |"
            )
    sharp = [row["psnr"] for row in rows if row["strength"] == "none"]
    print(
        f"\nsharp photographs, restored: {min(statistics.fmean(sharp), 99):.2f} dB "
        f"({min(sharp):.2f} at least)"
    )
    gains = [row["psnr"] - row["blurred_psnr"] for row in rows if row["strength"] != "none"]
    print(f"made worse: {sum(gain < 0 for gain in gains)} of {len(gains)}")


def draw(path, deblurrer, rows, pictures) -> None:
    """The three largest and the three smallest gains at medium and heavy blur, one a row."""
    rows = [row for row in rows if row["strength"] in ("medium", "heavy")]
    rows.sort(key=lambda row: row["blurred_psnr"] - row["psnr"])
    strips = []
    for row in rows[:3] + rows[-3:]:
        blurred, sharp = pictures[row["photo"], row["strength"]]
        top, left = ((side - SIDE) // 2 for side in sharp.shape[:2])
        window = np.s_[top : top + SIDE, left : left + SIDE]
        three = [picture[window] for picture in (blurred, deblurrer.deblur(blurred), sharp)]
        strip = np.hstack(three)
        text = f"{row['strength']}, {row['psnr'] - row['blurred_psnr']:+.1f} dB"
        for color, thickness in ((0, 3), (255, 1)):
            cv2.putText(
                strip, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (color,) * 3, thickness
            )
        strips.append(strip)
    write_image(path, np.vstack(strips))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", required=True, help="folder of sharp photographs")
    parser.add_argument("--checkpoint", help="as for test.py; default: the weights shipped")
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--output", type=pathlib.Path, help="JSON file to write every score into")
    parser.add_argument("--figure", help="picture to draw")
    options = parser.parse_args()
    deblurrer = Deblurrer(options.checkpoint, options.precision)
    photos = find_images(options.photos)
    with progress("scoring", (1 + len(STRENGTHS)) * len(photos)) as advance:
        rows, pictures = score(deblurrer, photos, advance)
    for row in rows:  # a picture left alone to the last bit; JSON has no infinity
        row["psnr"] = min(row["psnr"], 99.0)
    print_tables(rows)
    if options.output:
        with atomic_file(options.output) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n")
    if options.figure:
        draw(options.figure, deblurrer, rows, pictures)


if __name__ == "__main__":
    main()
