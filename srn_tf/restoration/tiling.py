"""Pictures of any size in bounded memory: a network walks over scales, each scale over tiles.

All tiles of the coarse scale come first. Their estimates and recurrent states are stitched, then
the next scale begins: so every tile sees the coarse result of the whole picture, and only the
finest details depend on where a tile ends. Neighbouring tiles overlap and are blended there.

Pictures are [batch, height, width, channels]; sizes and overlaps are in pixels of the scale at
hand, the same at each scale. A picture that fits into one tile is not cut.
"""

import itertools
import math

import numpy as np

OVERLAP = 64
_WIDE_OVERLAP = 128  # of networks that see squares of pixels as one place, and so see farther
SMALLEST_TILE = 4 * OVERLAP


def restore_in_tiles(
    steps, blurred: np.ndarray, peak, config, tile: int, on_tile=lambda done, total: None
) -> np.ndarray:
    """Runs a network over a picture, scale by scale and tile by tile.

    Args:
        steps: for each scale, coarse to fine, a function (blurred, estimate, state) -> (estimate,
            state) on float32 pictures in [0, 1]; estimate and state are those of the scale before,
            not enlarged. The first function takes the blurred picture alone.
        blurred: [batch, height, width, channels] of any dtype; height and width are multiples of
            `config.size_multiple`.
        peak: what a value of `blurred` is divided by to come into [0, 1].
        config: of the network; `scales` and `size_multiple` are used.
        tile: longest side of a tile in pixels.
        on_tile: called after each tile with how many are done, and how many there are.

    Returns:
        float32 of the same shape, not clipped.
    """
    factors = [2**i for i in reversed(range(config.scales))]
    images = [blurred[:, ::factor, ::factor] for factor in factors]
    overlap = _WIDE_OVERLAP if getattr(config, "patch", 1) > 1 else OVERLAP
    grids = [
        _grid(*image.shape[1:3], tile, config.size_multiple // factor, overlap)
        for image, factor in zip(images, factors, strict=True)
    ]
    total, count = sum(map(len, grids)), itertools.count(1)
    coarse = []  # estimate and state of the scale before
    for step, image, grid in zip(steps, images, grids, strict=True):
        tiles = _restore_tiles(step, image, peak, grid, coarse, lambda: on_tile(next(count), total))
        coarse = _stitch(tiles, image)
    return np.asarray(coarse[0])


def _restore_tiles(step, image, peak, grid, coarse, on_tile):
    """Yields where each tile of a scale lies, and its estimate and state as one list."""
    for rows, columns in grid:
        inputs = [image[:, rows.slice, columns.slice].astype(np.float32) / np.float32(peak)]
        if coarse:
            estimate, *state = (_below(part, image, rows, columns) for part in coarse)
            inputs += [estimate, tuple(state)]
        estimate, state = step(*inputs)
        on_tile()
        yield rows, columns, [estimate, *state]


def _below(coarse, image, rows: "_Span", columns: "_Span"):
    """The part of an array of the scale before that lies under a tile of `image`."""
    ratio = image.shape[1] // coarse.shape[1]
    return coarse[:, rows.scaled(ratio), columns.scaled(ratio)]


def _stitch(tiles, image) -> list:
    """Whole arrays from those of all tiles, which may be smaller than `image` by their strides."""
    wholes = dtypes = None
    for rows, columns, parts in tiles:
        height, width = (span.slice.stop - span.slice.start for span in (rows, columns))
        if (height, width) == image.shape[1:3]:
            return parts
        ratios = [height // part.shape[1] for part in parts]
        if wholes is None:
            dtypes = [np.asarray(part).dtype for part in parts]
            wholes = [
                np.zeros(
                    (part.shape[0], *(size // ratio for size in image.shape[1:3]), part.shape[3]),
                    np.float32,
                )
                for part, ratio in zip(parts, ratios, strict=True)
            ]
        for whole, part, ratio in zip(wholes, parts, ratios, strict=True):
            weights = rows.weights[::ratio, np.newaxis] * columns.weights[::ratio]
            window = whole[:, rows.scaled(ratio), columns.scaled(ratio)]
            window += np.asarray(part) * weights[..., np.newaxis]
    return [whole.astype(dtype, copy=False) for whole, dtype in zip(wholes, dtypes, strict=True)]


class _Span:
    """Where a tile lies along one axis, and with what weight its pixels count.

    Weights of neighbouring tiles add up to one. They fall linearly over the inner half of an
    overlap; the outer quarters count for nothing there, as they are the least like the whole
    picture's result.
    """

    def __init__(self, start: int, stop: int, before: int, after: int):
        self.slice = slice(start, stop)
        self.weights = np.ones(stop - start, np.float32)
        if before:
            self.weights[:before] = _ramp(before)
        if after:
            self.weights[-after:] = _ramp(after)[::-1]

    def scaled(self, ratio: int) -> slice:
        return slice(self.slice.start // ratio, self.slice.stop // ratio)


def _ramp(length: int) -> np.ndarray:
    """Weights from 0 to 1, such that those of both tiles add up to one."""
    return np.clip((np.arange(length) + 0.5) * 2 / length - 0.5, 0, 1)


def _spans(size: int, tile: int, multiple: int, overlap: int) -> list[_Span]:
    """Equal spans that cover `size`, each a multiple long, at most `tile`, overlapping by `overlap`
    where there is room for it."""
    if size <= tile:
        return [_Span(0, size, 0, 0)]
    overlap = max(OVERLAP, min(overlap, tile // 2 - 2 * multiple))
    overlap += multiple  # what rounding to multiples may take
    count = math.ceil((size - overlap) / (tile // multiple * multiple - overlap))
    length = math.ceil((size + (count - 1) * overlap) / count / multiple) * multiple
    starts = [(size - length) * i // (count - 1) // multiple * multiple for i in range(count)]
    overlaps = [0, *(a + length - b for a, b in itertools.pairwise(starts)), 0]
    spans = [
        _Span(start, start + length, before, after)
        for start, before, after in zip(starts, overlaps, overlaps[1:], strict=False)
    ]
    # Rounded to multiples, three short spans may share a place.
    total = np.zeros(size, np.float32)
    for span in spans:
        total[span.slice] += span.weights
    for span in spans:
        span.weights /= total[span.slice]
    return spans


def _grid(
    height: int, width: int, tile: int, multiple: int, overlap: int
) -> list[tuple[_Span, _Span]]:
    rows, columns = (_spans(size, tile, multiple, overlap) for size in (height, width))
    return list(itertools.product(rows, columns))
