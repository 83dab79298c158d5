"""Augmentation of training pairs. The paper has none; all of it is off by default."""

import cv2
import numpy as np

from srn_tf.images.rgb import LUMA


class AugmentedSource:
    """Another source, its examples changed at random; see `examples.Source`.

    What is on is drawn after the source has drawn its crop, so that crops stay the same. Flips and
    turns together reach all eight positions of a square.

    Args:
        source: gives (blurred, sharp), uint8 [size, size, 3].
        flips: mirror half of the pairs left to right.
        turns: turn each pair by a random number of right angles.
        noise: largest standard deviation of the Gaussian noise added to blurred pictures, in grey
            levels of 255; each gets one drawn evenly from 0 to this.
        saturation: each pair's distance from gray is multiplied by a factor drawn evenly from
            1 - saturation to 1 + saturation; luma stays.
        jpeg: half of the blurred pictures are compressed as JPEG of a quality drawn evenly from
            this to 100, and opened again; 0 is off.
    """

    def __init__(
        self,
        source,
        *,
        flips: bool = False,
        turns: bool = False,
        noise: float = 0.0,
        saturation: float = 0.0,
        jpeg: int = 0,
    ):
        self._source = source
        self.crop_size = source.crop_size
        self.names, self.notes = source.names, source.notes
        self.flips, self.turns = flips, turns
        self.noise, self.saturation, self.jpeg = noise, saturation, jpeg

    @property
    def content_marks(self) -> list[str]:
        return self._source.content_marks

    def __len__(self) -> int:
        return len(self._source)

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp) of the source, both changed alike but for noise and JPEG.

        Raises:
            UserError: as the source.
        """
        pair = np.stack(self._source.example(index, rng))
        if self.flips and rng.random() < 0.5:
            pair = pair[:, :, ::-1]
        if self.turns:
            pair = np.rot90(pair, rng.integers(4), axes=(1, 2))
        if self.saturation:
            luma = (pair @ np.float32(LUMA))[..., np.newaxis]
            factor = np.float32(rng.uniform(1 - self.saturation, 1 + self.saturation))
            pair = _to_uint8(luma + factor * (pair - luma))
        blurred, sharp = pair
        if self.noise:
            deviation = np.float32(rng.uniform(0, self.noise))
            noise = rng.standard_normal(blurred.shape, dtype=np.float32)
            blurred = _to_uint8(blurred + deviation * noise)
        if self.jpeg and rng.random() < 0.5:
            options = (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(self.jpeg, 100, endpoint=True)))
            _, file = cv2.imencode(".jpg", blurred[..., ::-1], options)
            blurred = cv2.imdecode(file, cv2.IMREAD_COLOR_RGB)
        return blurred, sharp


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)
