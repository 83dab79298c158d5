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
    grids = [
        _grid(*image.shape[1:3], tile, multiple=config.size_multiple // factor)
        for image, factor in zip(images, factors, strict=True)
    ]
    done, total = 0, sum(map(len, grids))
    estimate, state = None, ()
    for scale, (step, image, grid) in enumerate(zip(steps, images, grids, strict=True)):
        stitched = None
        for rows, columns in grid:
            window = np.s_[:, rows.slice, columns.slice]
            inputs = [image[window].astype(np.float32) / np.float32(peak)]
            if scale > 0:
                # Both are half as large as this scale; the state is smaller by the network's
                # strides, too.
                inputs += [_window(estimate, image, rows, columns)]
                inputs += [tuple(_window(part, image, rows, columns) for part in state)]
            tile_estimate, tile_state = step(*inputs)
            results = [tile_estimate, *(tile_state if scale < config.scales - 1 else ())]
            done += 1
            on_tile(done, total)
            if len(grid) == 1:
                stitched = results
                break
            stitched = stitched or [_canvas(part, image, rows, columns) for part in results]
            for canvas, part in zip(stitched, results, strict=True):
                _blend(canvas, np.asarray(part), image, rows, columns)
        if len(grid) > 1:
            dtypes = [np.asarray(part).dtype for part in results]
            stitched = [c.astype(d, copy=False) for c, d in zip(stitched, dtypes, strict=True)]
        estimate, *state = stitched
    return np.asarray(estimate)


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


def _spans(size: int, tile: int, multiple: int) -> list[_Span]:
    """Equal spans that cover `size`, each a multiple long, at most `tile`, overlapping."""
    if size <= tile:
        return [_Span(0, size, 0, 0)]
    overlap = OVERLAP + multiple  # what rounding to multiples may take
    count = math.ceil((size - overlap) / (tile // multiple * multiple - overlap))
    length = math.ceil((size + (count - 1) * overlap) / count / multiple) * multiple
    starts = [(size - length) * i // (count - 1) // multiple * multiple for i in range(count)]
    overlaps = [0, *(a + length - b for a, b in itertools.pairwise(starts)), 0]
    return [
        _Span(start, start + length, before, after)
        for start, before, after in zip(starts, overlaps, overlaps[1:], strict=False)
    ]


def _grid(height: int, width: int, tile: int, multiple: int) -> list[tuple[_Span, _Span]]:
    return list(itertools.product(_spans(height, tile, multiple), _spans(width, tile, multiple)))


def _window(coarse, image, rows: _Span, columns: _Span):
    """The part of an array of the scale before that lies under a tile of `image`."""
    ratio = image.shape[1] // coarse.shape[1]
    return coarse[:, rows.scaled(ratio), columns.scaled(ratio)]


def _canvas(part, image, rows: _Span, columns: _Span) -> np.ndarray:
    """Zeros for the whole of what `part` is of one tile."""
    ratio = (rows.slice.stop - rows.slice.start) // part.shape[1]
    height, width = image.shape[1] // ratio, image.shape[2] // ratio
    return np.zeros((part.shape[0], height, width, part.shape[3]), np.float32)


def _blend(canvas, part, image, rows: _Span, columns: _Span) -> None:
    ratio = image.shape[1] // canvas.shape[1]
    weights = rows.weights[::ratio, np.newaxis] * columns.weights[::ratio]
    canvas[:, rows.scaled(ratio), columns.scaled(ratio)] += part * weights[..., np.newaxis]
