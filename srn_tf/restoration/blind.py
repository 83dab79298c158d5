"""Deblurring without a network: blind deconvolution of pictures of any kind."""

import numpy as np
from scipy import fft

from srn_tf import UserError
from srn_tf.deconvolution.grid import merge
from srn_tf.deconvolution.restore import SIZE, SIZES, Options, restore
from srn_tf.restoration.normalize import restore_arrays


class BlindDeblurrer:
    """Finds the blur of each picture from the picture alone; used like `deblurrer.Deblurrer`.

    Args:
        size: the largest blur looked for, in pixels.
        strength: 0 to 1, how much of the restored picture is taken, where it is trusted.
        grid: whether parts of a picture have kernels of their own.
        in_order: whether pictures are frames of a video, so that the blur of one is looked for near
            that of the one before.
        threads: of the processor.

    Attributes:
        on_tile: as that of `deblurrer.Deblurrer`.
        decisions: a Result of `deconvolution.restore` for each picture of the last call, without
            its pixels.

    Raises:
        UserError: for a size or strength outside its rule.
    """

    def __init__(
        self,
        size: int = SIZE,
        strength: float = 1.0,
        grid: bool = True,
        in_order: bool = False,
        threads: int = 1,
    ):
        low, high = SIZES
        if not low <= size <= high:
            raise UserError(f"blur_size must be {low} to {high} pixels, not {size:g}")
        if not 0 <= strength <= 1:
            raise UserError(f"strength must be 0 to 1, not {strength:g}")
        self._options = Options(int(size), grid, strength)
        self._in_order, self._threads = in_order, threads
        self.on_tile = lambda done, total: None
        self.decisions = []
