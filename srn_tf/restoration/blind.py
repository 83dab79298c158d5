"""Deblurring without a network: blind deconvolution of pictures of any kind."""

import dataclasses
import functools
import os

import numpy as np
from scipy import fft

from srn_tf import UserError
from srn_tf.deconvolution.find import SIZES
from srn_tf.deconvolution.restore import Decision, Options, restore
from srn_tf.restoration.normalize import as_array, restore_any, restore_arrays


class BlindDeblurrer:
    """Finds the blur of each picture from the picture alone; used like `deblurrer.Deblurrer`.

    Args:
        size: the largest blur looked for, in pixels; by default 41, in larger pictures up to 81.
        strength: 0 to 1, how much of the restored picture is taken where it is trusted.
        grid: whether parts of a picture have kernels of their own.
        threads: of the processor; 0: as many as cores.

    Attributes:
        in_order: whether the pictures are frames of a video, so that the blur of each is looked
            for near that of the one before.
        decisions: a `deconvolution.restore.Decision` on each picture of the last call.

    Raises:
        UserError: for a size or strength outside its rule.
    """

    def __init__(
        self,
        size: int | None = None,
        strength: float = 1.0,
        grid: bool = True,
        threads: int = 0,
    ):
        low, high = SIZES
        if size is not None and not low <= size <= high:
            raise UserError(f"blur_size must be {low} to {high} pixels, not {size}")
        if not 0 <= strength <= 1:
            raise UserError(f"strength must be 0 to 1, not {strength:g}")
        self._options = Options(size, grid, strength)
        self.in_order = False
        self._threads = threads or len(os.sched_getaffinity(0))
        self.decisions: list[Decision] = []

    def deblur(self, image):
        """As `deblurrer.Deblurrer.deblur`; the red, green and blue of a picture have one blur."""
        return restore_any(image, self.deblur_batch)

    def deblur_batch(self, images, on_tile=lambda done, total: None) -> np.ndarray:
        """As `deblurrer.Deblurrer.deblur_batch`; `on_tile` is called after each picture."""
        images = as_array(images)
        channels = 3 if images.ndim == 4 and images.shape[-1] >= 3 else 1
        return restore_arrays(images, channels, functools.partial(self._restore, on_tile))

    def _restore(self, on_tile, blurred: np.ndarray, peak) -> np.ndarray:
        last = self.decisions[-1].kernel if self.in_order and self.decisions else None
        self.decisions, restored = [], []
        with fft.set_workers(self._threads):
            for picture in blurred:
                picture = picture.astype(np.float32) / np.float32(peak)
                pixels, decision = self._restore_one(picture, last)
                restored.append(pixels)
                self.decisions.append(decision)
                last = decision.kernel if self.in_order else None
                on_tile(len(restored), len(blurred))
        return np.stack(restored)

    def _restore_one(self, picture: np.ndarray, last: np.ndarray | None):
        if last is not None:
            near = restore(picture, dataclasses.replace(self._options, start=last))
            if near[1].trust.any():
                return near
        return restore(picture, self._options)
