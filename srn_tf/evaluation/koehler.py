"""The protocol of the Köhler benchmark: the best score over the sharp pictures of a camera's path.

Köhler, Hirsch, Mohler, Schölkopf and Harmeling, "Recording and playback of camera shake:
benchmarking blind deconvolution with a real-world database" (ECCV 2012): 4 pictures x 12 paths give
48 blurred pictures of 800x800, and for each about 199 sharp ones taken along the path. A restored
picture may be any of them, so it is scored against all, and the best counts.

The steps are those of the authors' evaluation script (eval_image.m), which published numbers come
from. For each ground truth x and the restored picture z, both 8 bits, 0 to 255:

1. z is scaled by sum(x z) / sum(z z) over R, G and B: the least squares before registration.
2. It is shifted by whole pixels to the peak of the circular cross-correlation of the means of R, G
   and B. (The script's dftregistration of Guizar-Sicairos et al. 2008 is known as phase
   correlation, but does not normalize the spectrum.) Where nothing of it comes to lie, both
   pictures are set to 0; these pixels count as equal.
3. PSNR, with the peak 255, and MS-SSIM (the script's MSSIM is MeTriX MuX's multi-scale SSIM, not
   the mean of SSIM) compare the luma 0.299 R + 0.587 G + 0.114 B, neither rounded nor clipped.

The best PSNR and the best MS-SSIM are each taken over all ground truths, and may be of two
different ones. No ground truth can be passed over without computing both.
"""

import pathlib
import re

import cv2
import numpy as np
import scipy.fft

from srn_tf import UserError
from srn_tf.evaluation.metrics import ms_ssim
from srn_tf.evaluation.scores import require_same_size
from srn_tf.images.rgb import read_rgb

# For picture 1, path 3 the authors' script passes over frame 30, as missing, and ends at 198.
_LEFT_OUT = {(1, 3): {30, 199}}
_LUMA = np.array((0.299, 0.587, 0.114))


def picture_and_path(name: str) -> tuple[int, int]:
    """The numbers of picture and camera path at the end of a file's name: (3, 8) of Blurry3_8.png.

    Raises:
        UserError: if the name does not end like that.
    """
    match = re.search(r"([1-4])_([1-9]|1[0-2])$", pathlib.PurePath(name).stem)
    if match is None:
        raise UserError(
            f"{name}: a name of the Köhler set ends in PICTURE_PATH, from 1_1 to 4_12, "
            "as Blurry3_8.png"
        )
    return int(match[1]), int(match[2])


def trajectory(name: str) -> str:
    """What the pictures of a camera path are summarized under; for `scores.summarize`."""
    return f"trajectory {picture_and_path(name)[1]}"


def ground_truths(folder, name: str) -> list[pathlib.Path]:
    """The sharp pictures of a blurred or restored one, in the order of the path.

    Args:
        folder: where the authors' archives GroundTruth_pngs_Image1.zip to 4 were unpacked. The
            files GroundTruth{picture}_{path}_{frame}.png may lie there in any folders, as the
            archives' Image3/Kernel8/.
        name: of the picture, such as Blurry3_8.png.

    Raises:
        UserError: if the name is none of the set, or has no ground truth in the folder.
    """
    picture, path = picture_and_path(name)
    prefix = f"GroundTruth{picture}_{path}_"
    frames = {}
    for file in pathlib.Path(folder).rglob(f"{prefix}*.png"):
        frame = file.stem.removeprefix(prefix)
        if frame.isdecimal() and int(frame) not in _LEFT_OUT.get((picture, path), ()):
            frames[int(frame)] = file
    if not frames:
        raise UserError(f"{folder}: no ground truths {prefix}*.png, which {name} needs")
    return [frames[frame] for frame in sorted(frames)]


def score(name: str, restored_path, ground_truth_paths, advance=lambda text: None) -> dict:
    """The best scores of a restored picture over its ground truths.

    Args:
        name: what the row is called.
        restored_path: of the restored picture, at least 161 pixels a side.
        ground_truth_paths: of pictures of the same size, at least one.
        advance: called with the name after each ground truth.

    Returns:
        name, psnr (dB), ms_ssim; of the ground truth with the best PSNR: ground_truth (its file's
        name), down and right (the shift of the restored picture in pixels), scale; and
        ms_ssim_ground_truth, the one with the best MS-SSIM.

    Raises:
        UserError: for pictures that cannot be read, differ in size, are too small or all black.
        OSError: if a picture cannot be opened.
    """
    restored = read_rgb(restored_path)
    pixels = restored.astype(np.float64)
    transformed = scipy.fft.fft2(pixels.mean(-1))
    # Here: a command that scores nothing need not wait for it.
    from skimage.registration import phase_cross_correlation

    luma = pixels @ _LUMA
    energy = np.vdot(pixels, pixels)
    if energy == 0:
        raise UserError(f"{restored_path}: all black; no intensity scale fits it")
    candidates = []
    for path in ground_truth_paths:
        sharp = read_rgb(path)
        require_same_size(restored_path, restored, path, sharp)
        truth = sharp.astype(np.float64)
        scale = float(np.vdot(truth, pixels) / energy)
        if scale == 0:
            # Scaled to it, any picture would be perfect.
            raise UserError(f"{path}: all black, or nothing in common with {restored_path}")
        (down, right), *_ = phase_cross_correlation(
            scipy.fft.fft2(truth.mean(-1)), transformed, space="fourier", normalization=None
        )
        inside = _shift(np.ones_like(luma), down, right)
        truth_luma, restored_luma = truth @ _LUMA * inside, scale * _shift(luma, down, right)
        try:
            similarity = ms_ssim(truth_luma, restored_luma)
        except UserError as error:
            raise UserError(f"{restored_path}: {error}") from None
        candidates.append(
            {
                "psnr": _psnr(truth_luma, restored_luma),
                "ms_ssim": similarity,
                "ground_truth": pathlib.Path(path).name,
                "down": int(down),
                "right": int(right),
                "scale": scale,
            }
        )
        advance(name)
    best = max(candidates, key=lambda candidate: candidate["psnr"])
    similar = max(candidates, key=lambda candidate: candidate["ms_ssim"])
    return {
        "name": name,
        **best,
        "ms_ssim": similar["ms_ssim"],
        "ms_ssim_ground_truth": similar["ground_truth"],
    }


def evaluate(pictures, ground_truth_folder, advance=lambda text: None):
    """Scores restored pictures, one after the other.

    All ground truths are looked for before the first is computed. The rows go into
    `scores.summarize(rows, koehler.trajectory)` and its writers.

    Args:
        pictures: list of (name, path of the restored picture).
        ground_truth_folder: as `ground_truths` takes it.
        advance: called after each ground truth, with its name.

    Yields:
        For each picture (row of `score`, None), or (None, the UserError or OSError it raised).

    Raises:
        UserError: as `ground_truths`.
    """
    work = [(name, path, ground_truths(ground_truth_folder, name)) for name, path in pictures]
    for name, path, paths in work:
        try:
            yield score(name, path, paths, advance), None
        except (UserError, OSError) as error:
            yield None, error


def _shift(image, down, right):
    """The image moved by whole pixels, 0 where nothing comes to lie."""
    motion = np.array([[1, 0, right], [0, 1, down]], np.float64)
    return cv2.warpAffine(image, motion, image.shape[::-1], flags=cv2.INTER_NEAREST)


def _psnr(x, y) -> float:
    error = np.mean((x - y) ** 2)
    return float(10 * np.log10(255**2 / error)) if error > 0 else float("inf")
