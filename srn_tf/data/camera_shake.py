"""Motion blur made from sharp photographs: the mean of a photograph along a camera's path.

A camera that shakes during the exposure turns about its three axes and comes nearer or farther,
smoothly; each instant sees the photograph through a homography. The mean over a random path of them
is the blurred picture. At the middle of the path the photograph stands still, and that is the sharp
target, as the paper takes the middle frame of the frames it averages; or at the path's middle of
mass, where a network need not guess which way time went. In some pictures a part of the scene moves
along a path of its own. The mean is taken in light or on the values as stored; real cameras lie
between. What else a camera does is in `camera`.

NumPy and OpenCV alone, so that any training program can use it.
"""

import math

import cv2
import numpy as np

from srn_tf.data.camera import LIGHT, Camera, light_from, soft_mask, values_from

# The focal length, in longer sides of the picture: 25 to 85 mm on a camera of 36 mm x 24 mm.
_FOCAL_LENGTHS = (0.7, 2.4)
# Roll and zoom move a pixel at the border of the picture by up to this part of the extent.
_ROLL_PART = 0.5
_ZOOM_PART = 0.25


class CameraPath:
    """A random smooth motion of a camera during an exposure.

    Args:
        rng: what it is drawn from.
        extent: largest distance between two places that the picture's middle passes, in pixels.
        shape: (height, width) of the picture in pixels.
        exposure: how long it is, up to 1: the shorter, the straighter the path of that extent.
        target: where the photograph stands still: at the path's "middle" instant, or at its
            "centroid", the mean of its places.

    Attributes:
        samples: the number of instants, odd, at which neighbours are at most 2 pixels apart.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        extent: float,
        shape: tuple[int, int],
        exposure: float = 1.0,
        target: str = "middle",
    ):
        height, width = shape
        self._target = target
        self._exposure = exposure
        self._middle = (width - 1) / 2, (height - 1) / 2
        self._focal_length = max(shape) * rng.uniform(*_FOCAL_LENGTHS)
        # Cubic curves through random walks: what a hand does in a fraction of a second.
        controls = np.linspace(-1, 1, 4)
        self._curves = [
            np.polynomial.Polynomial.fit(controls, walk, deg=3)
            for walk in rng.standard_normal((4, 4)).cumsum(axis=1)
        ]
        self._scales = np.ones(4)
        path = self.offsets(33)
        distances = np.linalg.norm(path[:, None, :2] - path[None, :, :2], axis=-1)
        reach = extent / (max(shape) / 2)
        roll, zoom = reach * rng.uniform(0, (_ROLL_PART, _ZOOM_PART)) / np.ptp(path[:, 2:], axis=0)
        self._scales = np.array([*(extent / distances.max(),) * 2, roll, zoom])
        longest = np.linalg.norm(np.diff(self.offsets(33)[:, :2], axis=0), axis=1).max()
        self.samples = 2 * math.ceil(8.5 * longest) + 3

    def offsets(self, samples: int) -> np.ndarray:
        """Where the camera looks, at instants evenly spaced in time.

        Returns:
            float64 [samples, 4]: shift of the picture's middle in x and y (pixels), roll (radians),
            logarithm of the zoom; zero at the target.
        """
        times = self._exposure * np.linspace(-1, 1, samples)
        path = np.stack([curve(times) for curve in self._curves], axis=1)
        zero = path[samples // 2] if self._target == "middle" else path.mean(axis=0)
        return (path - zero) * self._scales

    def homographies(self, samples: int) -> np.ndarray:
        """The same as maps, float64 [samples, 3, 3], from places in the photograph, (x, y, 1) in
        pixels, to places in the picture of that instant; the identity at the target."""
        x, y = self._middle
        f = self._focal_length
        lens = np.array([[f, 0, x], [0, f, y], [0, 0, 1]])
        lens_inverse = np.linalg.inv(lens)
        maps = []
        for dx, dy, roll, zoom in self.offsets(samples):
            distance = math.hypot(dx, dy) or 1.0
            pan, _ = cv2.Rodrigues(np.array([-dy, dx, 0.0]) * math.atan(distance / f) / distance)
            spin = np.eye(3)
            spin[:2] = cv2.getRotationMatrix2D((0, 0), math.degrees(roll), math.exp(zoom))
            maps.append(lens @ pan @ spin @ lens_inverse)
        return np.stack(maps)


def to_light(pixels: np.ndarray, linear_light: bool) -> np.ndarray:
    """uint8 values as float32 in [0, 1], to be averaged: light, or as they are."""
    return LIGHT[pixels] if linear_light else pixels.astype(np.float32) / 255


def from_light(mean: np.ndarray, linear_light: bool) -> np.ndarray:
    """The uint8 values of what `to_light` gave, averaged."""
    values = values_from(mean) if linear_light else mean
    return np.rint(values * 255).astype(np.uint8)


def blur_along(
    photo: np.ndarray,
    maps: np.ndarray,
    linear_light: bool,
    moving: tuple[np.ndarray, np.ndarray] | None = None,
    window: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """The mean of a photograph over a camera's path, as pixels: of `mean_along`, uint8."""
    return from_light(mean_along(photo, maps, linear_light, moving, window), linear_light)


def mean_along(
    photo: np.ndarray,
    maps: np.ndarray,
    linear_light: bool,
    moving: tuple[np.ndarray, np.ndarray] | None = None,
    window: tuple[int, int, int, int] | None = None,
    brighter: np.ndarray | None = None,
) -> np.ndarray:
    """The mean of a photograph over a camera's path.

    Args:
        photo: uint8 [height, width, 3].
        maps: [samples, 3, 3], as from `CameraPath.homographies`.
        linear_light: average light instead of stored values.
        moving: a mask, float32 [height, width] in [0, 1], of what moves on its own, in front of the
            rest, and its own `maps`.
        window: (top, left, height, width) of the part wanted; default: all.
        brighter: float32 [height, width, 1], how much brighter each pixel was than stored.

    Returns:
        float32 [height, width, 3], light or values; what moves in from outside repeats the
        photograph's mirror image.
    """
    top, left, height, width = window or (0, 0, *photo.shape[:2])

    def moved(layer, along):
        """The layer at each instant, of the window alone: most of a photograph is never needed."""
        corners = np.array([[x, y] for x in (left, left + width) for y in (top, top + height)])
        corners = cv2.convertPointsToHomogeneous(corners.astype(np.float64))[:, 0]
        seen = corners @ np.linalg.inv(along).swapaxes(1, 2)
        seen = seen[..., :2] / seen[..., 2:]
        low, high = seen.min(axis=(0, 1)) - 1, seen.max(axis=(0, 1)) + 2
        # Beyond the edge its mirror image is seen, which lies as far inside.
        size = np.array(photo.shape[1::-1])
        x0, y0 = np.minimum(low, 2 * size - 2 - high).clip(0, None).astype(int)
        x1, y1 = np.ceil(np.maximum(high, 2 - low)).clip(None, size).astype(int)
        region = layer(np.s_[y0:y1, x0:x1])
        there, back = np.eye(3), np.eye(3)
        there[:2, 2], back[:2, 2] = (x0, y0), (-left, -top)
        for m in along:
            yield cv2.warpPerspective(
                region, back @ m @ there, (width, height), borderMode=cv2.BORDER_REFLECT_101
            )

    def all_of_it(part):
        light = to_light(photo[part], linear_light)
        return light if brighter is None else light * brighter[part]

    frames = moved(all_of_it, maps)
    if moving:
        mask, own_maps = moving
        in_front = moved(lambda part: np.dstack([all_of_it(part), mask[part]]), own_maps)
        frames = (
            back + front[..., 3:] * (front[..., :3] - back)
            for back, front in zip(frames, in_front, strict=True)
        )
    return sum(frames) / np.float32(len(maps))


def shake(
    photo: np.ndarray,
    rng: np.random.Generator,
    extent: float,
    window=None,
    exposure: float = 1.0,
    camera: Camera | None = None,
    target: str = "middle",
    light: str = "mixed",
    moving_part: float = 0.3,
) -> np.ndarray:
    """The photograph with random blur; training draws extent and exposure.

    Args:
        photo: uint8 [height, width, 3].
        rng: what the blur is drawn from.
        extent: of the camera's path, in pixels; what moves on its own has one of its own, up to
            twice that.
        window: as for `blur_along`.
        exposure, target: as for `CameraPath`.
        camera: what else happens to the picture; default: nothing.
        light: what is averaged: "linear" light, "stored" values, or "mixed": half of the pictures
            each.
        moving_part: of the pictures, that has something that moves on its own.

    Returns:
        uint8 [height, width, 3].
    """
    shape = photo.shape[:2]
    path = CameraPath(rng, extent, shape, exposure, target)
    samples, moving = path.samples, None
    if rng.random() < moving_part:
        own = CameraPath(rng, rng.uniform(0, 2 * extent), shape, exposure, target)
        samples = max(samples, own.samples)
        moving = soft_mask(rng, shape), own.homographies(samples)
    linear_light = (rng.random() < 0.5) if light == "mixed" else light == "linear"
    maps = path.homographies(samples)
    if camera is None:
        return blur_along(photo, maps, linear_light, moving, window)
    mean = mean_along(photo, maps, linear_light, moving, window, camera.brighten(photo, rng))
    return camera.develop(mean if linear_light else light_from(mean.clip(0, 1)), rng)
