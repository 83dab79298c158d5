"""Scores on held-out pairs during training."""

import itertools

import numpy as np

from srn_tf.data.examples import Source, fingerprint, make_batch
from srn_tf.evaluation.metrics import psnr, ssim

SHOWN = 4
_BATCH = 8


class Validation:
    """One crop of each held-out pair, the same every time, and how well it is restored.

    Args:
        source: of the pairs.
        deblur_batch: restores uint8 [batch, height, width, 3], with the channels of what comes with
            a picture behind its own, as in use: rounded to 8 bits.
        seed: of the crops.
    """

    def __init__(self, source: Source, deblur_batch, seed: int):
        self._source, self._deblur_batch, self._seed = source, deblur_batch, seed

    def run(self) -> tuple[dict, np.ndarray]:
        """Restores the crops.

        Returns:
            Scores: means of `psnr` (dB), `ssim` and `gain` (dB, over the blurred crop), without
            crops that are equal to the last bit to the sharp one, blurred or restored, where there
            are others; and on which `data`. The first crops, blurred, restored and sharp side by
            side, uint8 [height, width, 3].

        Raises:
            UserError: if a picture cannot be read.
        """
        rows, shown = [], []
        count = len(self._source)
        for first in range(0, count, _BATCH):
            # Always of the same size, into a second pass over the pairs: one trace for all.
            pixels = make_batch(self._source, range(first, first + _BATCH), self._seed)
            *blurred, sharp = pixels
            restored = self._deblur_batch(np.concatenate(blurred, axis=-1))
            crops = zip(blurred[0], restored, sharp, strict=True)
            for crop, ours, truth in itertools.islice(crops, count - first):
                restored_psnr, blurred_psnr = psnr(truth, ours), psnr(truth, crop)
                gain = restored_psnr - blurred_psnr
                rows.append((restored_psnr, ssim(truth, ours), gain))
                if len(shown) < SHOWN:
                    shown.append(np.hstack([crop, ours, truth]))
        # A sharp crop that is no longer one must not raise the mean over one that still is.
        rows = [row for row in rows if np.isfinite(row[2])] or rows
        means = (float(mean) for mean in np.mean(rows, axis=0))
        scores = dict(zip(("psnr", "ssim", "gain"), means, strict=True))
        return scores | {"data": fingerprint(self._source)}, np.vstack(shown)
