"""Pairs from high-frame-rate video, as those of the paper and of GOPRO were made (section 4).

The mean of an odd number of consecutive frames is the blurred picture, the frame in their middle
the sharp one. The mean is taken of the values as stored, as in GOPRO's folder `blur`, or of light
(gamma 2.2), as in its `blur_gamma`.
"""

import dataclasses
import pathlib
import re

import cv2
import numpy as np

from srn_tf import UserError
from srn_tf.atomic import atomic_folder
from srn_tf.data.camera_shake import from_light, to_light
from srn_tf.data.checks import path_problem
from srn_tf.data.config import FrameRules
from srn_tf.data.pair_list import LIST
from srn_tf.images.files import EXTENSIONS, find_images, for_list
from srn_tf.images.rgb import read_rgb, write_image
from srn_tf.images.video import EXTENSIONS as VIDEOS
from srn_tf.images.video import Frame, Video

_THUMBNAIL = (32, 32)
_SMALLEST_SIDE = 12  # in pixels; optical flow needs it
_FLOW_SIDE = 640  # optical flow is computed at this size, in pixels, which takes noise away


@dataclasses.dataclass
class FrameCounts:
    """What became of the frames: windows that are pairs or were left out, and frames read."""

    pairs: int = 0
    static: int = 0
    scene_cuts: int = 0
    frames: int = 0


def average_windows(frames, rules: FrameRules, rng: np.random.Generator, counts: FrameCounts):
    """Yields (number of the middle frame, blurred, sharp) of the windows of a sequence.

    Windows follow each other without overlap; what a scene cut or the end leaves incomplete is left
    out, and so is what hardly moves.

    Args:
        frames: uint8 [height, width, 3], all of one size.
        rules: of the windows.
        rng: draws their lengths.
        counts: is added to.

    Yields:
        The number counts the frames from 0; both pictures are as the frames.
    """
    lengths = np.arange(rules.min_frames, rules.max_frames + 1, 2)
    window, length = [], rng.choice(lengths)
    for number, frame in enumerate(frames):
        counts.frames += 1
        if window and _change(window[-1], frame) > rules.max_change:
            counts.scene_cuts += 1
            window = []
        window.append(frame)
        if len(window) < length:
            continue
        if motion(window[0], window[-1]) < rules.min_motion:
            counts.static += 1
        else:
            counts.pairs += 1
            middle = length // 2
            yield number - middle, average(window, rules.linear_light), window[middle]
        window, length = [], rng.choice(lengths)


def average(frames, linear_light: bool) -> np.ndarray:
    """The mean of uint8 frames, uint8 of the same shape."""
    total = np.zeros(frames[0].shape, np.float32)
    for frame in frames:
        total += to_light(frame, linear_light)
    return from_light(total / len(frames), linear_light)


def motion(first: np.ndarray, last: np.ndarray) -> float:
    """Mean length of the optical flow between two frames, in their pixels."""
    scale = min(1.0, _FLOW_SIDE / max(first.shape))
    small = [
        cv2.resize(_gray(frame), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for frame in (first, last)
    ]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(*small, None)
    return float(np.linalg.norm(flow, axis=-1).mean()) / scale


def _change(one: np.ndarray, other: np.ndarray) -> float:
    thumbnails = [
        cv2.resize(_gray(frame), _THUMBNAIL, interpolation=cv2.INTER_AREA) for frame in (one, other)
    ]
    return float(cv2.absdiff(*thumbnails).mean())


def _gray(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


@dataclasses.dataclass
class Sequence:
    """Consecutive frames: those of a video, or of a folder of pictures in the order of numbers.

    Attributes:
        path: of the video or folder.
        length: how many frames it has; an estimate, for some videos.
        damage: what the decoder met in a video, once its frames are read; or None.
    """

    path: pathlib.Path
    length: int
    damage: str | None = None

    @property
    def name(self) -> str:
        """Of its folder of pairs; a list cannot hold spaces."""
        path = self.path.resolve()
        return "_".join((path.name if path.is_dir() else path.stem).split())

    def frames(self):
        """Yields the frames, uint8 [height, width, 3].

        Raises:
            UserError: if a picture cannot be read, or differs from the first one in size.
        """
        if not self.path.is_dir():
            with Video(self.path) as video:
                yield from (item.pixels for item in video if isinstance(item, Frame))
                self.damage = video.damage
            return
        shape = None
        for path in sorted(find_images(self.path), key=_by_numbers):
            frame = read_rgb(path)
            shape = shape or frame.shape
            if frame.shape != shape:
                raise UserError(f"{path}: differs in size from the frames before it")
            yield frame


def _by_numbers(path: pathlib.Path) -> list:
    """So that frame 9 comes before frame 10."""
    words = re.split(r"(\d+)", path.stem)
    return [int(word) if word.isdecimal() else word for word in words]


def videos(path) -> list[Sequence]:
    """A video, or those in a folder.

    Raises:
        UserError: if there is none, or one cannot be read.
    """
    path = pathlib.Path(path)
    paths = [path]
    if path.is_dir():
        visible = (file for file in path.iterdir() if not file.name.startswith("."))
        paths = sorted(file for file in visible if file.suffix.lower() in VIDEOS)
    if not paths:
        raise UserError(f"{path}: no videos in this folder ({', '.join(VIDEOS)})")
    found = []
    for path in paths:
        with Video(path) as video:
            found.append(Sequence(path, video.count or 0))
    return found


def folders_of_frames(path) -> list[Sequence]:
    """A folder of frames, or those in a folder.

    Raises:
        UserError: if there is no such folder, or one without pictures, or it has both.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such folder")
    visible = [p for p in path.iterdir() if not p.name.startswith(".")]
    inner = sorted(p for p in visible if p.is_dir())
    if inner and any(p.suffix.lower() in EXTENSIONS for p in visible):
        raise UserError(f"{path}: has both frames and folders; a sequence needs its own folder")
    return [Sequence(folder, len(find_images(folder))) for folder in inner or [path]]


def write_pairs(sequences: list[Sequence], folder, rules: FrameRules, advance=lambda: None):
    """Makes the pairs of sequences, in GOPRO's layout and with a data list.

        folder/pairs.txt                      sharp blurred, a pair a line
        folder/SEQUENCE/sharp/000006.png      frame 6, from 0, of the sequence
        folder/SEQUENCE/blur/000006.png

    Args:
        sequences: what to make them of.
        folder: to write, whole or not at all; it must not exist.
        rules: how.
        advance: called after each frame.

    Returns:
        The counts of each sequence.

    Raises:
        UserError: if `folder` exists, two sequences have one name, frames cannot be read, or no
            pair is left.
    """
    names = [sequence.name for sequence in sequences]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"two sequences have the name {twice}; the pairs of both would mix")
    for sequence in sequences:
        if problem := path_problem(sequence.name):
            raise UserError(f"{sequence.path}: {problem}")
    rng = np.random.default_rng(rules.seed)
    found, lines = [], []
    with atomic_folder(folder) as temporary:
        for sequence in sequences:
            found.append(FrameCounts())
            frames = _telling(sequence, advance)
            for number, blurred, sharp in average_windows(frames, rules, rng, found[-1]):
                pair = [f"{sequence.name}/{side}/{number:06d}.png" for side in ("sharp", "blur")]
                for name, picture in zip(pair, (sharp, blurred), strict=True):
                    write_image(temporary / name, picture)
                lines.append(" ".join(pair))
        if not lines:
            counts = [dataclasses.asdict(counts) for counts in found]
            total = ", ".join(f"{name}: {sum(c[name] for c in counts)}" for name in counts[0])
            raise UserError(f"no pair could be made of {', '.join(names)}; {total}")
        (temporary / LIST).write_text(
            for_list("".join(f"{line}\n" for line in lines)), encoding="utf-8"
        )
    return found


def _telling(sequence: Sequence, advance):
    for frame in sequence.frames():
        height, width = frame.shape[:2]
        if min(height, width) < _SMALLEST_SIDE:
            raise UserError(
                f"{sequence.path}: frames of {width}x{height} are too small; {_SMALLEST_SIDE} "
                "pixels a side are needed"
            )
        yield frame
        advance()
