"""Deblurring videos, frame by frame, through OpenCV: pictures alone, no sound."""

import concurrent.futures
import math
import pathlib

import cv2

from srn_tf import UserError
from srn_tf.atomic import atomic_file
from srn_tf.images.video import CODECS, Video, as_text


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
        UserError: if the video cannot be read or its kind not be written.
    """
    target, video = pathlib.Path(target), Video(source)
    if video.width % 2 or video.height % 2:
        raise UserError(
            f"{source}: {video.width}x{video.height}; videos of odd width or height cannot be "
            "written"
        )
    rate = video.frames_per_second
    if not (math.isfinite(rate) and rate > 0):
        raise UserError(f"{source}: has no frame rate")
    count = 0
    with (
        atomic_file(target) as temporary,
        concurrent.futures.ThreadPoolExecutor(1) as reader,
        concurrent.futures.ThreadPoolExecutor(1) as writer,
    ):
        codec = cv2.VideoWriter_fourcc(*CODECS[target.suffix.lower()])
        output = cv2.VideoWriter(as_text(temporary), codec, rate, (video.width, video.height))
        if not output.isOpened():
            raise UserError(f"{target}: cannot be written as a video")
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
            raise UserError(f"{source}: no frame of it can be read")
        if Video(temporary).frames != count:
            raise UserError(f"{target}: could not be written whole; is the disk full?")
    return count
