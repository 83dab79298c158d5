"""Scores on held-out pairs during training."""

import itertools
import math

import numpy as np

from srn_tf.data.examples import fingerprint
from srn_tf.data.pipeline import Batches
from srn_tf.evaluation.metrics import psnr, ssim
from srn_tf.evaluation.scores import summarize
from srn_tf.restoration.deblurrer import Deblurrer

SHOWN = 4
_BATCH = 8


class Validation:
    """One crop of each held-out pair, the same every time, and how well it is restored.

    Args:
        source: of the pairs; see `data.pair_list.PairSource`.
        model: the network, restored with as in use: colour pictures, rounded to 8 bits.
        seed: of the crops.
    """

    def __init__(self, source, model, seed: int):
        self._source, self._seed = source, seed
        self._deblurrer = Deblurrer(model)

    def run(self) -> tuple[dict, np.ndarray]:
        """Restores the crops.

        Returns:
            Scores: means of `psnr` (dB; without crops restored to the last bit, where it is
            infinite) and `ssim`, and on which `data`. The first crops, blurred, restored and sharp
            side by side, uint8 [height, width, 3].

        Raises:
            ValueError: if a picture cannot be read.
        """
        rows, shown = [], []
        count = len(self._source)
        batches = Batches(self._source, _BATCH, channels=3, seed=self._seed)
        for batch in itertools.islice(batches, math.ceil(count / _BATCH)):
            blurred, sharp = (np.rint(part * 255).astype(np.uint8) for part in batch)
            restored = self._deblurrer.deblur_batch(blurred)
            crops = zip(blurred, restored, sharp, strict=True)
            # The last batch may reach into a second pass over the pairs.
            for crop, ours, truth in itertools.islice(crops, count - len(rows)):
                name = str(len(rows))
                rows.append({"name": name, "psnr": psnr(truth, ours), "ssim": ssim(truth, ours)})
                if len(shown) < SHOWN:
                    shown.append(np.hstack([crop, ours, truth]))
        mean = summarize(rows)[-1]
        scores = {"psnr": mean["psnr"], "ssim": mean["ssim"], "data": fingerprint(self._source)}
        return scores, np.vstack(shown)
