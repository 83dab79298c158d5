"""Pictures as periodic signals, and small kernels on them, in Fourier space.

All arrays are float32, [..., height, width]; spectra are those of scipy.fft.rfft2. The number of
threads is that of `scipy.fft.set_workers`.
"""

import numpy as np
from scipy import fft


def good_size(shape: tuple[int, int], margin: int) -> tuple[int, int]:
    """The sizes, at least `margin` larger, at which transforms are fast."""
    height, width = (fft.next_fast_len(size + margin, real=True) for size in shape)
    return height, width


def periodic(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture enlarged to `size` to the right and below, so that it goes on across the edges.

    What is added fades from the mirror image of one edge to that of the opposite one.
    """
    for axis in (-2, -1):
        length = picture.shape[axis]
        more = size[axis] - length
        last = np.minimum(np.arange(more), length - 1)
        after = np.take(picture, length - 1 - last, axis)
        before = np.take(picture, last[::-1], axis)
        fade = ((np.arange(more, dtype=np.float32) + 0.5) / max(more, 1)) ** 2
        fade = fade * (3 - 2 * fade**0.5)  # smooth at both ends
        fade = fade[:, np.newaxis] if axis == -2 else fade
        picture = np.concatenate([picture, after + fade * (before - after)], axis)
    return picture


def transfer(kernel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The spectrum of a kernel [odd, odd] whose middle lies at the origin."""
    height, width = kernel.shape
    placed = np.zeros(size, np.float32)
    placed[:height, :width] = kernel
    return fft.rfft2(np.roll(placed, (-(height // 2), -(width // 2)), (0, 1)))


def moved(offset: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """What a spectrum is multiplied with to move a signal back by an offset (y, x) in pixels."""
    y, x = (
        np.exp(2j * np.pi * frequencies * distance).astype(np.complex64)
        for frequencies, distance in zip(
            (fft.fftfreq(size[0]), fft.rfftfreq(size[1])), offset, strict=True
        )
    )
    return y[:, np.newaxis] * x


def gradient(picture: np.ndarray) -> np.ndarray:
    """Forward differences along x and y, periodic: [..., 2, height, width]."""
    result = np.empty((*picture.shape[:-2], 2, *picture.shape[-2:]), picture.dtype)
    dx, dy = result[..., 0, :, :], result[..., 1, :, :]
    np.subtract(picture[..., 1:], picture[..., :-1], out=dx[..., :-1])
    np.subtract(picture[..., 0], picture[..., -1], out=dx[..., -1])
    np.subtract(picture[..., 1:, :], picture[..., :-1, :], out=dy[..., :-1, :])
    np.subtract(picture[..., 0, :], picture[..., -1, :], out=dy[..., -1, :])
    return result


def gradient_adjoint(field: np.ndarray) -> np.ndarray:
    """The adjoint of `gradient`."""
    dx, dy = field[..., 0, :, :], field[..., 1, :, :]
    result = -dx
    result -= dy
    result[..., 1:] += dx[..., :-1]
    result[..., 0] += dx[..., -1]
    result[..., 1:, :] += dy[..., :-1, :]
    result[..., 0, :] += dy[..., -1, :]
    return result


def laplacian_power(size: tuple[int, int]) -> np.ndarray:
    """|spectrum|^2 of `gradient`, both parts added."""
    height, width = size
    y = 2 - 2 * np.cos(2 * np.pi * np.arange(height) / height)
    x = 2 - 2 * np.cos(2 * np.pi * np.arange(width // 2 + 1) / width)
    return (y[:, np.newaxis] + x).astype(np.float32)


def power(spectrum: np.ndarray) -> np.ndarray:
    """|spectrum|^2."""
    return spectrum.real**2 + spectrum.imag**2
