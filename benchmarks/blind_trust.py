"""Finds the weights of `srn_tf.deconvolution.trust`: which kernels make a picture better.

Photographs are left sharp or blurred (out of focus; along tiny and larger paths; by a camera that
also rolls, with parts that move), get noise and JPEG, and are deconvolved by the kernels found. A
logistic regression learns from the features whether that was a gain; large gains and losses count
more, losses twice. Prints the weights, and what is kept and lost at several odds, of pictures that
did not take part in the fit.

Use other photographs than those that judge the method.
"""

import argparse
import functools
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np
from lib.blur import aligned_psnr, blur, disc_kernel, path_kernel
from scipy.optimize import minimize

from srn_tf.data.camera_shake import shake
from srn_tf.deconvolution import trust
from srn_tf.deconvolution.colour import luma_of
from srn_tf.deconvolution.deconvolve import deconvolve, noise
from srn_tf.deconvolution.kernel import CLIPPED, estimate_kernel
from srn_tf.images.files import find_images
from srn_tf.images.rgb import read_rgb
from srn_tf.progress import progress

KINDS = {"sharp": 0.1, "out of focus": 0.1, "tiny": 0.12, "path": 0.44, "shake": 0.24}
SIDES = (220, 480)  # of the crops, in pixels
SIZE = 41  # of the largest kernel, in pixels
FOLDS = 8
MOST = 4.0  # dB; larger gains and losses count no more


def sample(photo: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(blurred, sharp), uint8 of a random kind."""
    height, width = rng.integers(*SIDES, 2)
    top = rng.integers(max(1, photo.shape[0] - height))
    left = rng.integers(max(1, photo.shape[1] - width))
    photo = photo[top : top + height, left : left + width]
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    sigma = rng.choice([0, 0, 0.5, 1.3, 2, 3]) * rng.uniform(0.5, 1)
    quality = int(rng.integers(80, 97)) if rng.random() < 0.4 else None
    low, high = {"out of focus": (0.7, 7), "tiny": (0.8, 4.5), "path": (4.5, 40)}.get(kind, (3, 30))
    extent, kernel = np.exp(rng.uniform(np.log(low), np.log(high))), np.ones((1, 1), np.float32)
    sharp = photo
    if kind == "out of focus":
        kernel = disc_kernel(extent)
    elif kind in ("tiny", "path"):
        kernel = path_kernel(rng, extent)
    elif kind == "shake":
        photo = shake(photo, rng, extent, exposure=rng.uniform(0.2, 1))
    blurred, inside = blur(photo, kernel, rng, sigma, quality)
    return blurred, sharp if kind == "shake" else inside


def measure(blurred: np.ndarray, sharp: np.ndarray) -> tuple[dict[str, float], float] | None:
    """(features, gain of the luma in dB); None where the kernel is no motion."""
    luma = luma_of(np.float32(blurred) / 255)
    clipped = (blurred >= CLIPPED * 255).any(-1)
    kernel = estimate_kernel(luma, SIZE, clipped)
    if not trust.is_motion(kernel):
        return None
    found, residual = deconvolve(luma, kernel, clipped, noise(luma))
    weights = trust.by_pixel(luma, residual, kernel)
    restored = luma + weights * (found.clip(0, 1) - luma)
    pictures = (np.repeat(p[..., np.newaxis] * 255, 3, -1) for p in (luma, restored))
    before, after = (aligned_psnr(sharp, picture) for picture in pictures)
    return trust.features(luma, clipped, kernel), after - before


def measure_nth(photos: list, i: int) -> tuple[dict[str, float], float] | None:
    """`measure` of the sample of this number."""
    rng = np.random.default_rng([1, i])
    return measure(*sample(read_rgb(photos[rng.integers(len(photos))]), rng))


def fit(values: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Bias and weights."""
    mean, spread = values.mean(0), values.std(0)
    scaled, better = (values - mean) / spread, gains > 0.1
    counts = (np.minimum(np.abs(gains), MOST) + 0.3) * np.where(gains < 0, 2, 1)

    def loss(weights):
        odds = weights[0] + scaled @ weights[1:]
        errors = np.logaddexp(0, odds) - better * odds
        return (counts * errors).mean() + 0.03 * (weights[1:] ** 2).sum()

    weights = minimize(loss, np.zeros(1 + values.shape[1])).x
    slopes = weights[1:] / spread
    return np.array([weights[0] - mean @ slopes, *slopes])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+", help="folders of sharp photographs")
    parser.add_argument("--samples", type=int, default=500)
    options = parser.parse_args()
    photos, found = [path for folder in options.photos for path in find_images(folder)], []
    with (
        progress("samples", options.samples) as advance,
        ProcessPoolExecutor(initializer=cv2.setNumThreads, initargs=(1,)) as pool,
    ):
        for each in pool.map(functools.partial(measure_nth, photos), range(options.samples)):
            found.append(each)
            advance()
    measured = [each for each in found if each]
    names = list(measured[0][0])
    values = np.array([[features[name] for name in names] for features, _ in measured])
    gains = np.array([gain for _, gain in measured])
    odds = np.zeros(len(gains))
    folds = np.random.default_rng(0).permutation(len(gains)) % FOLDS
    for fold in range(FOLDS):
        bias, *weights = fit(values[folds != fold], gains[folds != fold])
        odds[folds == fold] = bias + values[folds == fold] @ weights
    print(f"no motion: {found.count(None)} of {len(found)}")
    for least in (-np.inf, 0, 0.5, 0.75, 1, 1.5, 2):
        kept = gains[odds >= least]
        print(
            f"odds {least:4.1f}: {len(kept)} of {len(gains)} trusted, mean gain "
            f"{kept.sum() / len(gains):+.2f} dB of {gains.clip(0).mean():+.2f}, "
            f"worst {kept.min():+.2f}"
        )
    bias, *weights = fit(values, gains)
    print(f"bias {bias:.3f}", *(f"{n} {w:.3f}" for n, w in zip(names, weights, strict=True)))


if __name__ == "__main__":
    main()
