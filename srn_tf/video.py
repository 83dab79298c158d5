"""Deblurring videos, frame by frame, through OpenCV: pictures alone, no sound."""

import concurrent.futures
import math
import pathlib

import cv2

from srn_tf.files import atomic_file

# Codecs that OpenCV's own build of FFmpeg can write.
CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG"}


class Video:
    """A video to read.

    Attributes:
        width, height: in pixels.
        frames_per_second: as the file says.
        frames: how many the file says there are; damaged files have fewer.

    Raises:
        ValueError: if it cannot be read.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._capture = cv2.VideoCapture(_as_text(path))
        if not self._capture.isOpened():
            raise ValueError(f"{path}: not a video that can be read")
        self.width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.frames_per_second = self._capture.get(cv2.CAP_PROP_FPS)
        self.frames = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def read(self):
        """The next frame, uint8 RGB [height, width, 3]; None at the end."""
        found, frame = self._capture.read()
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if found else None


def deblur_video(deblurrer, source, target, advance=lambda: None) -> int:
    """Restores each frame; the frame rate and size stay, sound is dropped.

    Reading and writing go on in threads while the network computes.

    Args:
        deblurrer: has `deblur`.
        source: the video to read.
        target: the file to write, mp4, mov or avi; whole or not at all.
        advance: called after each frame.

    Returns:
        How many frames were restored.

    Raises:
        ValueError: if the video cannot be read or its kind not be written.
    """
    target, video = pathlib.Path(target), Video(source)
    if video.width % 2 or video.height % 2:
        raise ValueError(
            f"{source}: {video.width}x{video.height}; videos of odd width or height cannot be "
            "written"
        )
    rate = video.frames_per_second
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"{source}: has no frame rate")
    count = 0
    with (
        atomic_file(target) as temporary,
        concurrent.futures.ThreadPoolExecutor(1) as reader,
        concurrent.futures.ThreadPoolExecutor(1) as writer,
    ):
        codec = cv2.VideoWriter_fourcc(*CODECS[target.suffix.lower()])
        output = cv2.VideoWriter(_as_text(temporary), codec, rate, (video.width, video.height))
        if not output.isOpened():
            raise ValueError(f"{target}: cannot be written as a video")
        reading, writing = reader.submit(video.read), None
        while (frame := reading.result()) is not None:
            reading = reader.submit(video.read)
            restored = cv2.cvtColor(deblurrer.deblur(frame), cv2.COLOR_RGB2BGR)
            if writing:
                writing.result()
            writing = writer.submit(output.write, restored)
            count += 1
            advance()
        writer.shutdown()
        output.release()
        if not count:
            raise ValueError(f"{source}: no frame of it can be read")
        if Video(temporary).frames != count:
            raise ValueError(f"{target}: could not be written whole; is the disk full?")
    return count


def _as_text(path) -> str:
    """OpenCV ends the process for a path that is not text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path}: the path of a video must be valid UTF-8") from None
    return str(path)
