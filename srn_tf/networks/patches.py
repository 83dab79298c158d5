"""Squares of pixels as the channels of one place.

A square's pixels are nearly alike: of what they hold together, the mean varies hundreds of times as
much as the finest detail, which is what deblurring is about. A network that sees the pixels as they
are learns the mean at once and the detail for thousands of steps. Whitened, a square is its cosine
transform (over rows, columns and colours), each number divided by the deviation that it has in
photographs, whose spectrum falls as a power of the frequency (Field, JOSA A 1987), so that those of
a photograph are within a factor of about twenty: what is near the noise is not made as strong as
the rest. What the network gives goes the other way, scaled by the deviations of what blur takes
away.

All arrays are [batch, height, width, channels].
"""

import numpy as np
from keras import ops
from scipy.fft import dct

from srn_tf.networks.configs import SRNConfig

# Fitted to photographs of 0.1 to 0.7 megapixels, values in [0, 1]: the deviation of one pixel, and
# that of a coefficient at a frequency in cycles a pixel.
_DEVIATION, _DETAIL, _POWER = 0.245, 0.006, 1.6
_NOISE = 0.01  # what is weaker is not made stronger
# The same of what motion blur of up to 12 pixels takes away.
_LOST, _FALL = 0.03, 3.2
# Of the sum of the colours, red less blue, and green less both: the mean of a square, its detail.
_COLOUR_MEANS, _COLOUR_DETAILS = (1.0, 0.35, 0.12), (1.0, 0.25, 0.1)


class Patches:
    """Pictures as squares of pixels and back, for a network of a configuration.

    Args:
        config: of the network; with a `patch` of 1 everything stays as it is.
    """

    def __init__(self, config: SRNConfig):
        self.side, self.channels = config.patch, config.channels
        self.whitened = config.whitened
        if self.whitened:
            self._forth, self._back = _whitening(self.side, self.channels)

    def shape(self, shape: tuple) -> tuple:
        """That of `split` for pictures of this shape, where None stands for any size."""
        batch, height, width, channels = shape
        sides = (side and side // self.side for side in (height, width))
        return (batch, *sides, channels * self.side**2)

    def split(self, x):
        """[b, H, W, n channels] -> [b, H / side, W / side, n channels side^2]."""
        if not self.whitened:
            return _to_squares(x, self.side)
        count = x.shape[-1] // self.channels
        pictures = ops.split(x - 0.5, count, axis=-1)
        forth = ops.convert_to_tensor(self._forth)
        squares = [ops.matmul(_to_squares(each, self.side), forth) for each in pictures]
        return ops.concatenate(squares, axis=-1)

    def join(self, x):
        """[b, H / side, W / side, m side^2], of any floating type -> float32 [b, H, W, m], where
        the first channels are a picture's; it is what is added to a picture."""
        if not self.whitened:
            return ops.cast(_from_squares(x, self.side), "float32")
        x, size = ops.cast(x, "float32"), self.channels * self.side**2
        picture = ops.matmul(x[..., :size], ops.convert_to_tensor(self._back))
        parts = [picture] if x.shape[-1] == size else [picture, x[..., size:]]
        return ops.concatenate([_from_squares(part, self.side) for part in parts], axis=-1)


def _whitening(side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 matrices from a square's values less 0.5 to numbers of a deviation of about one, less
    where it is near the noise, and from such numbers to the values of a correction."""
    waves, colours = (dct(np.eye(n), axis=0, norm="ortho") for n in (side, channels))
    transform = np.einsum("ui,vj,ck->uvcijk", waves, waves, colours)
    transform = transform.reshape(channels * side**2, -1)
    frequency = np.add.outer(np.arange(side), np.arange(side))[..., None] / (2 * side)
    mean = _DEVIATION * side * np.sqrt(channels) * np.array(_COLOUR_MEANS[:channels])
    details = np.array(_COLOUR_DETAILS[:channels])
    detail = _DETAIL * np.maximum(frequency, 1 / (2 * side)) ** -_POWER * details
    seen = np.hypot(np.where(frequency == 0, mean, detail), _NOISE).reshape(-1, 1)
    lost = (_LOST * side * np.sqrt(channels) * np.exp(-_FALL * frequency) * details).reshape(-1, 1)
    return np.float32(transform / seen).T, np.float32(transform * lost)


def _to_squares(x, side: int):
    """Squares of pixels become channels: [b, H, W, c] -> [b, H / side, W / side, side^2 c]."""
    if side == 1:
        return x
    batch, height, width, channels = ops.shape(x)
    x = ops.reshape(x, (batch, height // side, side, width // side, side * channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    return ops.reshape(x, (batch, height // side, width // side, side**2 * channels))


def _from_squares(x, side: int):
    """The inverse of `_to_squares`."""
    if side == 1:
        return x
    batch, height, width, channels = ops.shape(x)
    x = ops.reshape(x, (batch, height, width, side, channels // side))
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    return ops.reshape(x, (batch, height * side, width * side, channels // side**2))
