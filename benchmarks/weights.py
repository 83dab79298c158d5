"""How well weights deblur: photographs blurred at three strengths, restored, and scored.

Beside the network stands a Richardson-Lucy deconvolution that is told what the network has to find
out: the line from end to end of the camera's path. Sharp photographs are restored too, which should
leave them alone. The blurred pictures are those of
`srn-data blur --input_path PHOTOS --extent EXTENT --seed 0`.

Real pairs count more: --real_pairs names a folder of NAME_blurred and NAME_sharp. They are scored
plain and aligned, which is the best over shifts of whole pixels, for blurred and restored alike:
the target of a pair may lie beside the middle of the blur.

Prints the tables of the model card and writes every score as JSON, and, with --figure, a picture of
where the network helps most and least.
"""

import argparse
import itertools
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
from srn_tf.images.rgb import LUMA, read_rgb, write_image
from srn_tf.options import PRECISIONS
from srn_tf.progress import progress
from srn_tf.restoration.classical import ClassicalDeblurrer, line_kernel
from srn_tf.restoration.deblurrer import Deblurrer

STRENGTHS = {"light": 3.0, "medium": 8.0, "heavy": 16.0}
SEED = 0
SIDE = 224  # of the figure's crops, in pixels
REACH = 3  # of the shifts that align pictures, in pixels


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
            classical = ClassicalDeblurrer("richardson_lucy", line_kernel(*line))
            row |= {f"classical_{k}": v for k, v in _scores(classical, blurred, sharp).items()}
            rows.append(row)
            pictures[photo.name, strength] = blurred, sharp
            advance()
    return rows, pictures


def _scores(deblurrer, picture, sharp) -> dict:
    restored = deblurrer.deblur(picture)
    return {"psnr": psnr(sharp, restored), "ssim": ssim(sharp, restored)}


def aligned(sharp: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """A picture moved by whole pixels, up to REACH, so that its luma is closest to the sharp one.

    Args:
        sharp, picture: uint8 [height, width, 3].

    Returns:
        uint8, REACH pixels smaller on each side.
    """
    height, width = (side - 2 * REACH for side in sharp.shape[:2])
    target = luma(sharp[REACH:-REACH, REACH:-REACH])

    def window(shift):
        top, left = shift
        return picture[top : top + height, left : left + width]

    shifts = itertools.product(range(2 * REACH + 1), repeat=2)
    return window(max(shifts, key=lambda shift: psnr_of(target, luma(window(shift)))))


def luma(picture: np.ndarray) -> np.ndarray:
    """float32 [height, width] in [0, 255]."""
    return picture @ np.float32(LUMA)


def psnr_of(sharp: np.ndarray, picture: np.ndarray) -> float:
    """Peak signal-to-noise ratio of values up to 255, dB, at most 99."""
    return min(99.0, -10 * math.log10(max(np.mean((sharp - picture) ** 2) / 255**2, 1e-12)))


def score_pairs(deblurrer, folder: pathlib.Path, advance) -> list[dict]:
    """Scores of real pairs: of the luma PSNR, of the colours SSIM, plain and aligned."""
    rows = []
    for blurred_path in sorted(folder.glob("*_blurred.*")):
        name = blurred_path.stem.removesuffix("_blurred")
        (sharp_path,) = folder.glob(f"{name}_sharp.*")
        blurred, sharp = read_rgb(blurred_path), read_rgb(sharp_path)
        inside = sharp[REACH:-REACH, REACH:-REACH]
        row = {"pair": name, "gray": bool(np.ptp(sharp, axis=-1).max() == 0)}
        for kind, picture in (("blurred", blurred), ("restored", deblurrer.deblur(blurred))):
            moved = aligned(sharp, picture)
            row[f"{kind}_psnr"] = psnr_of(luma(sharp), luma(picture))
            row[f"{kind}_ssim"] = ssim(sharp, picture)
            row[f"{kind}_aligned_psnr"] = psnr_of(luma(inside), luma(moved))
            row[f"{kind}_aligned_ssim"] = ssim(inside, moved)
        rows.append(row)
        advance()
    return rows


def print_pairs(rows: list[dict]) -> None:
    def gains(kind, of):
        return [row[f"restored_{kind}"] - row[f"blurred_{kind}"] for row in of]

    print("| pair | blurred, dB | gain | gain, aligned | SSIM | gain | gain, aligned |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        plain, moved, structure, moved_structure = (
            gains(kind, [row])[0] for kind in ("psnr", "aligned_psnr", "ssim", "aligned_ssim")
        )
        print(
            f"| {row['pair']} | {row['blurred_psnr']:.2f} | {plain:+.2f} | {moved:+.2f} "
            f"| {row['blurred_ssim']:.4f} | {structure:+.4f} | {moved_structure:+.4f} |"
        )
    for words, of in (
        ("colour", [row for row in rows if not row["gray"]]),
        ("gray", [row for row in rows if row["gray"]]),
    ):
        for kind in ("psnr", "aligned_psnr") if of else ():
            values = gains(kind, of)
            worse = sum(value < 0 for value in values)
            print(
                f"{words}, {kind}: mean {statistics.fmean(values):+.2f} dB, worst "
                f"{min(values):+.2f}, made worse: {worse} of {len(values)}"
            )


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
    parser.add_argument("--photos", help="folder of sharp photographs, to be blurred")
    parser.add_argument("--real_pairs", type=pathlib.Path, help="folder of real pairs")
    parser.add_argument("--checkpoint", help="as for test.py; default: the weights shipped")
    parser.add_argument("--openvino", type=pathlib.Path, help="a folder of srn-export instead")
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--output", type=pathlib.Path, help="JSON file to write every score into")
    parser.add_argument("--figure", help="picture to draw")
    options = parser.parse_args()
    if not (options.photos or options.real_pairs):
        parser.error("--photos or --real_pairs is needed")
    if options.openvino:
        if options.checkpoint:
            parser.error("--openvino has no part beside --checkpoint")
        from lib.exported import Exported

        deblurrer = Exported(options.openvino)
    else:
        deblurrer = Deblurrer(options.checkpoint, options.precision)
    rows, pairs = [], []
    if options.real_pairs:
        count = len(list(options.real_pairs.glob("*_blurred.*")))
        with progress("scoring real pairs", count) as advance:
            pairs = score_pairs(deblurrer, options.real_pairs, advance)
        print_pairs(pairs)
    if options.photos:
        photos = find_images(options.photos)
        with progress("scoring", (1 + len(STRENGTHS)) * len(photos)) as advance:
            rows, pictures = score(deblurrer, photos, advance)
        for row in rows:  # a picture left alone to the last bit; JSON has no infinity
            row["psnr"] = min(row["psnr"], 99.0)
        print_tables(rows)
    if options.output:
        with atomic_file(options.output) as temporary:
            temporary.write_text(json.dumps(pairs + rows, indent=1) + "\n")
    if options.figure and rows:
        draw(options.figure, deblurrer, rows, pictures)


if __name__ == "__main__":
    main()
