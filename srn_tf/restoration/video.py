"""Deblurring videos, frame by frame."""

import concurrent.futures
import dataclasses
import pathlib

from srn_tf import UserError
from srn_tf.atomic import atomic_file
from srn_tf.images.video import CONTAINERS, Frame, Video, VideoWriter


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a video.

    Attributes:
        frames: how many were restored.
        notes: what is not as it was.
        damage: the first error of the decoder, or None.
    """

    frames: int
    notes: tuple[str, ...]
    damage: str | None


def find_target(source, output, codec: str, alone: bool) -> pathlib.Path:
    """The file that becomes of a video.

    Args:
        source: the video.
        output: the folder for it, or where it is `alone` the file.
        codec: as of VideoWriter.
        alone: whether there is no other result.

    Raises:
        UserError: if that would be the source, or its kind cannot hold the codec.
    """
    source, target = pathlib.Path(source), pathlib.Path(output)
    if not alone or target.is_dir() or target.suffix.lower() not in CONTAINERS:
        target = target / source.name
    if target.suffix.lower() not in CONTAINERS:
        target = target.with_suffix(".mkv")
    if target.suffix.lower() == ".avi" and codec == "hevc":
        raise UserError(f"{target}: avi cannot hold HEVC")
    if target.exists() and target.samefile(source):
        raise UserError(f"{target}: is the video to read, and would be overwritten")
    return target


def deblur_video(
    deblurrer, video: Video, target, codec: str = "h264", crf: int | None = None, advance=lambda: 0
) -> Result:
    """Restores each frame; times, shape and tags stay, and sound is copied.

    Reading and writing go on in threads while the network computes; of the frames only those at
    work are held.

    Args:
        deblurrer: has `deblur`.
        video: the one to read.
        target: the file to write, of a kind in `images.video.CONTAINERS`; whole or not at all.
        codec, crf: as of VideoWriter.
        advance: called after each frame.

    Raises:
        UserError: if it cannot be written.
    """
    target, count = pathlib.Path(target), 0
    with (
        atomic_file(target) as temporary,
        VideoWriter(temporary, video, codec, crf) as output,
        concurrent.futures.ThreadPoolExecutor(1) as reader,
        concurrent.futures.ThreadPoolExecutor(1) as writer,
    ):
        items = iter(video)
        reading, writing = reader.submit(next, items, None), None
        while (item := reading.result()) is not None:
            reading = reader.submit(next, items, None)
            if is_frame := isinstance(item, Frame):
                item = dataclasses.replace(item, pixels=deblurrer.deblur(item.pixels))
            if writing:
                writing.result()
            writing = writer.submit(output.write, item)
            if is_frame:
                count += 1
                advance()
        writing.result()
        output.write(None)
    return Result(count, video.notes + output.notes, video.damage)
