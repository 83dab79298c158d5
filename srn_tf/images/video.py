"""Videos, read frame by frame through OpenCV: pictures alone, no sound."""

import pathlib

import cv2

from srn_tf import UserError

# Codecs that OpenCV's own build of FFmpeg can write.
CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG"}


class Video:
    """A video to read.

    Attributes:
        width, height: in pixels.
        frames_per_second: as the file says.
        frames: how many the file says there are; damaged files have fewer.

    Raises:
        UserError: if it cannot be read.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._capture = cv2.VideoCapture(as_text(path))
        if not self._capture.isOpened():
            raise UserError(f"{path}: not a video that can be read")
        self.width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.frames_per_second = self._capture.get(cv2.CAP_PROP_FPS)
        self.frames = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def read(self):
        """The next frame, uint8 RGB [height, width, 3]; None at the end."""
        found, frame = self._capture.read()
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if found else None


def as_text(path) -> str:
    """OpenCV ends the process for a path that is not text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}: the path of a video must be valid UTF-8") from None
    return str(path)
