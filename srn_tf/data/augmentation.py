"""Augmentation of training pairs. The paper has none; all of it is off by default."""

import cv2
import numpy as np

from srn_tf.images.rgb import LUMA


class AugmentedSource:
    """Another source, its examples changed at random; see `examples.Source`.

    What is on is drawn after the source has drawn its crop, so that crops stay the same. Flips and
    turns together reach all eight positions of a square.

    Args:
        source: gives pictures, uint8 [size, size, 3], the blurred one first.
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
        self.source = source
        self.crop_size, self.pictures = source.crop_size, source.pictures
        self.names, self.notes = source.names, source.notes
        self.flips, self.turns = flips, turns
        self.noise, self.saturation, self.jpeg = noise, saturation, jpeg

    @property
    def content_marks(self) -> list[str]:
        return self.source.content_marks

    def __len__(self) -> int:
        return len(self.source)

    def draw(self, rng: np.random.Generator) -> tuple[bool, int, np.float32, np.float32]:
        """What happens to an example: whether it is mirrored, its right angles, the factor on its
        distance from gray, and the deviation of its noise."""
        return (
            bool(self.flips and rng.random() < 0.5),
            int(rng.integers(4)) if self.turns else 0,
            np.float32(rng.uniform(1 - self.saturation, 1 + self.saturation))
            if self.saturation
            else np.float32(1),
            np.float32(rng.uniform(0, self.noise)) if self.noise else np.float32(0),
        )

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The pictures of the source, all changed alike; noise and JPEG are the blurred one's.

        Raises:
            UserError: as the source.
        """
        pair = np.stack(self.source.example(index, rng))
        flip, turn, saturation, deviation = self.draw(rng)
        if flip:
            pair = pair[:, :, ::-1]
        pair = np.rot90(pair, turn, axes=(1, 2))
        if self.saturation:
            luma = (pair @ np.float32(LUMA))[..., np.newaxis]
            pair = _to_uint8(luma + saturation * (pair - luma))
        blurred, *others = pair
        if self.noise:
            noise = rng.standard_normal(blurred.shape, dtype=np.float32)
            blurred = _to_uint8(blurred + deviation * noise)
        if self.jpeg and rng.random() < 0.5:
            options = (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(self.jpeg, 100, endpoint=True)))
            _, file = cv2.imencode(".jpg", blurred[..., ::-1], options)
            blurred = cv2.imdecode(file, cv2.IMREAD_COLOR_RGB)
        return blurred, *others


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)
