"""How well blind deconvolution deblurs, what it leaves alone, and what it costs.

Photographs get uniform blur of curved paths with noise of 0.5%, or noise of 2 (of 255) and JPEG 90,
or none, or that of a lens out of focus; real pairs are taken as they are. Luma is compared where it
fits best, shifted by up to three whole pixels, blurred and restored alike: where a kernel's middle
lies nobody can know. Real pairs are also compared by quarter pixels, as Levin et al. do.

Prints a table of gains and writes every score as JSON.
"""

import argparse
import json
import pathlib
import statistics
import time

import cv2
import numpy as np
from lib.blur import aligned_psnr, blur, disc_kernel, finely_aligned_psnr, path_kernel
from lib.results import table

from srn_tf.atomic import atomic_file
from srn_tf.images.files import find_images
from srn_tf.images.rgb import read_rgb
from srn_tf.progress import progress
from srn_tf.restoration.blind import BlindDeblurrer

EXTENTS = (3, 8, 16, 24)
LARGE, SIDE = 60, 560  # an extent for photographs whose shorter side has so many pixels
NOISE, STRONG_NOISE, QUALITY = 0.005 * 255, 2.0, 90
DISC = 3.0  # radius in pixels
SPEED_SIZE = (720, 1280)


def made(photos):
    """(name, kind, blurred, sharp) of all blurs of all photographs."""
    for i, path in enumerate(photos):
        sharp = read_rgb(path)
        yield path.name, "sharp", sharp, sharp
        rng = np.random.default_rng(i)
        yield path.name, "out of focus", *blur(sharp, disc_kernel(DISC), rng, NOISE)
        for extent in (*EXTENTS, LARGE) if min(sharp.shape[:2]) >= SIDE else EXTENTS:
            rng = np.random.default_rng([extent, i])
            kernel = path_kernel(rng, extent)
            yield path.name, f"{extent} pixels", *blur(sharp, kernel, rng, NOISE)
            if extent >= 8:
                pair = blur(sharp, kernel, rng, STRONG_NOISE, QUALITY)
                yield path.name, f"{extent} pixels, noise, JPEG", *pair


def real(folder: pathlib.Path):
    """The same of real pairs."""
    for path in sorted(folder.glob("*_blurred.*")):
        name = path.stem.removesuffix("_blurred")
        (sharp,) = map(read_rgb, folder.glob(f"{name}_sharp.*"))
        yield name, "gray" if not np.ptp(sharp, axis=-1).any() else "colour", read_rgb(path), sharp


def score(deblurrer, name, kind, blurred, sharp, compare) -> dict:
    start = time.process_time()
    restored = deblurrer.deblur(blurred)
    (decision,) = deblurrer.decisions
    return {
        "name": name,
        "kind": kind,
        "seconds": time.process_time() - start,
        "blurred": compare(sharp, blurred),
        "restored": compare(sharp, restored),
        "decision": decision.words,
    }


def summary(rows) -> str:
    """A row a kind."""
    lines = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of = [row for row in rows if row["kind"] == kind]
        gains = [row["restored"] - row["blurred"] for row in of]
        lines.append(
            {
                "kind": kind,
                "count": len(of),
                "blurred": statistics.fmean(row["blurred"] for row in of),
                "gain": statistics.fmean(gains),
                "worst": min(gains),
                "least": min(row["restored"] for row in of),
                "restored": sum(gain != 0 for gain in gains),
            }
        )
    columns = {
        "blur": "{kind}",
        "pictures": "{count}",
        "blurred, dB": "{blurred:.2f}",
        "gain": "{gain:+.2f}",
        "worst": "{worst:+.2f}",
        "least, dB": "{least:.2f}",
        "not left alone": "{restored}",
    }
    return table(lines, columns)


def speed(photo) -> list[str]:
    """Processor seconds for a picture of 1280x720, with one kernel and with a grid."""
    height, width = SPEED_SIZE
    sharp = cv2.resize(read_rgb(photo), (width + 64, height + 64), interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng(0)
    blurred, _ = blur(sharp, path_kernel(rng, 16), rng, NOISE)
    blurred, lines = blurred[:height, :width], []
    for words, grid in (("one kernel", False), ("a grid", True)):
        deblurrer = BlindDeblurrer(grid=grid, threads=1)
        start = time.process_time()
        deblurrer.deblur(blurred)
        seconds = time.process_time() - start
        lines.append(f"{width}x{height}, {words}: {seconds:.1f} s ({deblurrer.decisions[0].words})")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", help="folder of sharp photographs, to be blurred")
    parser.add_argument("--pictures", type=int, help="how many of them; default: all")
    parser.add_argument("--kinds", help="of blur that contain these words alone; default: all")
    parser.add_argument("--real_pairs", type=pathlib.Path, help="folder of real pairs")
    parser.add_argument("--speed", action="store_true", help="time a picture of 1280x720, too")
    parser.add_argument("--size", type=int, help="of the largest blur, in pixels")
    parser.add_argument("--one_kernel", action="store_true", help="no grid of kernels")
    parser.add_argument("--output", type=pathlib.Path, help="JSON file to write every score into")
    options = parser.parse_args()
    if not (options.photos or options.real_pairs):
        parser.error("--photos or --real_pairs is needed")
    cv2.setNumThreads(1)
    deblurrer, rows = BlindDeblurrer(options.size, grid=not options.one_kernel, threads=1), []
    if options.photos:
        photos = find_images(options.photos)[: options.pictures]
        with progress("photographs", len(photos)) as advance:
            for case in made(photos):
                if not options.kinds or options.kinds in case[1]:
                    rows.append(score(deblurrer, *case, aligned_psnr))
                if case[1] == "sharp":
                    advance()
        print(summary(rows))
    if options.real_pairs:
        pairs = [score(deblurrer, *case, aligned_psnr) for case in real(options.real_pairs)]
        fine = [score(deblurrer, *case, finely_aligned_psnr) for case in real(options.real_pairs)]
        for row, better in zip(pairs, fine, strict=True):
            print(
                f"{row['name']}: {row['blurred']:.2f} dB, {row['restored'] - row['blurred']:+.2f}; "
                f"by quarter pixels {better['restored'] - better['blurred']:+.2f}; "
                f"{row['decision']}"
            )
        print("aligned by whole pixels", summary(pairs), sep="\n")
        print("aligned by quarter pixels", summary(fine), sep="\n")
        rows += pairs + [{**row, "kind": f"{row['kind']}, fine"} for row in fine]
    if options.speed:
        print(*speed(find_images(options.photos)[0]), sep="\n")
    if options.output:
        with atomic_file(options.output) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
