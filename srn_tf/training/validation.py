"""Scores on held-out pairs during training."""

import itertools

import numpy as np

from srn_tf.data.examples import Source, fingerprint, make_batch
from srn_tf.evaluation.metrics import psnr, ssim
from srn_tf.evaluation.scores import summarize

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
            Scores: means of `psnr` (dB; without crops restored to the last bit, where it is
            infinite) and `ssim`, and on which `data`. The first crops, blurred, restored and sharp
            side by side, uint8 [height, width, 3].

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
                name = str(len(rows))
                rows.append({"name": name, "psnr": psnr(truth, ours), "ssim": ssim(truth, ours)})
                if len(shown) < SHOWN:
                    shown.append(np.hstack([crop, ours, truth]))
        mean = summarize(rows)[-1]
        scores = {"psnr": mean["psnr"], "ssim": mean["ssim"], "data": fingerprint(self._source)}
        return scores, np.vstack(shown)
