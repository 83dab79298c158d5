"""Training pairs for Keras' `fit`."""

import keras
import numpy as np

from srn_tf.data.config import DataConfig
from srn_tf.data.examples import make_batch
from srn_tf.data.sources import create_source
from srn_tf.images.rgb import LUMA


class SharpPairs(keras.utils.PyDataset):
    """Random crops of sharp photographs, blurred as by a shaking hand, in batches: the pairs, and
    the order, of `srn-train --sharp_path`.

    Args:
        sharp_path: folder of photographs, each at least `crop_size` wide and high.
        batch_size: pairs a batch.
        crop_size: side of the crops, in pixels.
        batches: an epoch; by default as many as make each photograph come about once.
        channels: 3, or 1 for luma.
        seed: of order, crops and blur.
        data: what else `data.config.DataConfig` has, such as max_blur=8.0 or flips=True.
        fit: of PyDataset: workers, use_multiprocessing, max_queue_size.

    A batch is (blurred, sharp), float32 [batch_size, crop_size, crop_size, channels] in [0, 1].
    Those of the next epoch are others.

    Raises:
        UserError: if the photographs cannot be used, or a value is outside its rule.
    """

    def __init__(
        self,
        sharp_path,
        batch_size: int = 16,
        crop_size: int = 256,
        *,
        batches: int | None = None,
        channels: int = 3,
        seed: int = 0,
        fit: dict | None = None,
        **data,
    ):
        super().__init__(**(fit or {}))
        config = DataConfig(sharp_path=str(sharp_path), crop_size=crop_size, **data)
        self._source = create_source(config)
        self._batch_size, self._channels, self._seed = batch_size, channels, seed
        self._batches = batches or max(1, len(self._source) // batch_size)
        self._epoch = 0

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        first = (self._epoch * self._batches + index) * self._batch_size
        pixels = make_batch(self._source, range(first, first + self._batch_size), self._seed)
        blurred, sharp = pixels.astype(np.float32) / 255
        if self._channels == 1:
            luma = np.asarray(LUMA, np.float32)
            blurred, sharp = ((colors @ luma)[..., np.newaxis] for colors in (blurred, sharp))
        return blurred, sharp

    def on_epoch_end(self) -> None:
        self._epoch += 1
