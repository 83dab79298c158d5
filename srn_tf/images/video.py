"""Videos, read frame by frame and written with their sound, through PyAV (FFmpeg's libraries).

FFmpeg takes `12:30.mp4` for a protocol, unless it is `file:12:30.mp4`, and would follow a playlist
that is called `a.mp4`, unless told which formats to know. Times count in the time base of the
source, so that edit lists and variable rates come out as they are. Frames are RGB on the way; the
matrix and range that they are converted with are those that the file is tagged with, both ways.
"""

import contextlib
import dataclasses
import fractions
import os
import pathlib

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from srn_tf import UserError

# Extensions that can be written, and FFmpeg's name of the container.
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
# Those that can be read.
EXTENSIONS = (*CONTAINERS, ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts")
_DEMUXERS = "mov,matroska,avi,mpeg,mpegts"
_ENCODERS = {"h264": "libx264", "hevc": "libx265"}
# Constant rate factors at which eyes see no loss (https://trac.ffmpeg.org/wiki/Encode/H.264; HEVC's
# scale is some 4 higher for the same).
CRF = {"h264": 17, "hevc": 20}
# Matrices by their numbers in ITU-T H.273, and as FFmpeg's scaler knows them; RGB has none.
_BT709, _UNSPECIFIED = 1, 2
_SCALER = {
    _BT709: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.SMPTE170M,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
# How Matroska and its segment begin, and what MPEG-4 is made of.
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"sidx", b"uuid", b"mfra"}
# What a writer says of itself.
_OWN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame: uint8 RGB [height, width, 3], and its time and duration in the video's time base."""

    pixels: np.ndarray
    pts: int
    duration: int


class Video:
    """A video to read; iterating gives its frames, and the packets of sound and subtitles.

    A Frame is what is shown: those that an edit list leaves out are not given. Packets come between
    them as they are stored, for a VideoWriter. One video is read once.

    Attributes:
        width, height: in pixels, before `rotation`.
        rate: frames a second, the mean where it varies; a fraction.
        time_base: the unit of times, seconds; a fraction.
        count: how many frames there are; None if the file does not tell.
        count_is_estimate: whether `count` follows from duration and rate alone.
        notes: what frames of 8-bit RGB cannot hold.
        damage: the first error of the decoder so far, or None.

    Raises:
        UserError: if no frame of it can be read.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        with contextlib.ExitStack() as stack:
            try:
                self.damage = "the file ends early" if _is_cut(path) else None
                options = {"format_whitelist": _DEMUXERS}
                self.container = stack.enter_context(
                    av.open(f"file:{path}", container_options=options, metadata_errors="replace")
                )
            except av.FFmpegError:
                raise UserError(f"{path}: not a video that can be read") from None
            self.stream = self.container.streams.best("video")
            if self.stream is None:
                raise UserError(f"{path}: has no pictures")
            self.stream.thread_type = "AUTO"
            self.copied = [s for s in self.container.streams if s.type in ("audio", "subtitle")]
            self._ahead, self._decoded = [], self._decode()
            for item in self._decoded:
                self._ahead.append(item)
                if isinstance(item, av.VideoFrame):
                    break
            else:
                raise UserError(f"{path}: no frame of it can be read")
            self._describe(item)
            self._stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _describe(self, first: av.VideoFrame) -> None:
        stream, kind = self.stream, first.format
        self.width, self.height, self.time_base = first.width, first.height, stream.time_base
        self.rate = stream.average_rate or stream.guessed_rate
        if not self.rate:
            raise UserError(f"{self.path}: has no frame rate")
        self.colors = (
            (first.colorspace, first.color_primaries, first.color_trc, first.color_range)
            if not kind.is_rgb
            else (_BT709, first.color_primaries, first.color_trc, ColorRange.MPEG)
        )
        self.subsampling = _subsampling(kind, self.width, self.height)
        self.matrix = _side_data(first, "DISPLAYMATRIX")
        shown = [entry for entry in stream.index_entries if not entry.is_discard]
        self.count_is_estimate = len(stream.index_entries) < max(stream.frames, 2)
        self.count = len(shown)
        if self.count_is_estimate:
            seconds = stream.duration and stream.duration * stream.time_base
            seconds = seconds or fractions.Fraction(self.container.duration or 0, av.time_base)
            self.count = stream.frames or round(seconds * self.rate) or None
        bits = max(component.bits for component in kind.components)
        hdr = any(_side_data(first, name) for name in ("CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS"))
        facts = {
            f"{bits} bits a sample, written as 8": bits > 8,
            "brightness of its display (HDR) is not kept": hdr,
            "alpha is not kept": any(component.is_alpha for component in kind.components),
            "interlaced, written as whole frames": first.interlaced_frame,
        }
        self.notes = tuple(note for note, applies in facts.items() if applies)

    def __iter__(self):
        """Yields Frame and av.Packet.

        Raises:
            UserError: if the size changes.
        """
        end = 0
        for item in self._items():
            if isinstance(item, av.VideoFrame):
                if (item.width, item.height) != (self.width, self.height):
                    raise UserError(
                        f"{self.path}: its size changes from {self.width}x{self.height} to "
                        f"{item.width}x{item.height}"
                    )
                pts = end if item.pts is None else item.pts
                duration = item.duration or round(1 / (self.rate * self.time_base))
                item, end = Frame(_to_rgb(item), pts, duration), pts + duration
            yield item

    def _items(self):
        ahead, self._ahead = self._ahead, []
        yield from ahead
        yield from self._decoded

    def _decode(self):
        """Yields decoded frames, and packets to copy; takes note of what is damaged."""
        packets = self.container.demux(self.stream, *self.copied)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self._damaged(error.strerror)
                packet = None  # what the decoder holds
            if packet is not None and packet.is_corrupt:
                self._damaged("a part of it is lost")
            if packet is not None and packet.stream is not self.stream:
                if packet.dts is not None:
                    yield packet
                continue
            try:
                frames = self.stream.decode(packet)
            except av.error.EOFError:  # has given what it held
                frames = []
            except av.FFmpegError as error:
                self._damaged(error.strerror)
                frames = []
            for frame in frames:
                if frame.is_corrupt:
                    self._damaged("parts of a frame are lost")
                yield frame
            if packet is None:
                return

    def _damaged(self, what: str) -> None:
        self.damage = self.damage or what


class VideoWriter:
    """Writes a video like another one: H.264 or HEVC, with its times, tags, sound and subtitles.

    Attributes:
        notes: what the kind of file cannot hold.

    Args:
        path: the file to write; its extension is one of CONTAINERS.
        like: the video that frames and packets come from.
        codec: "h264" or "hevc".
        crf: constant rate factor, 0 (lossless for H.264) to 51; by default CRF's.

    Raises:
        UserError: if FFmpeg cannot write it, such as HEVC in avi.
    """

    def __init__(self, path, like: Video, codec: str = "h264", crf: int | None = None):
        self._path, self._last = pathlib.Path(path), None
        kind = CONTAINERS[self._path.suffix.lower()]
        metadata = _tags(like.container.metadata)
        # Reverse domain names, such as Apple's date with its time zone, have a place of their own.
        own = kind in ("mp4", "mov") and any("." in key for key in metadata)
        with contextlib.ExitStack() as stack:
            options = {"movflags": "use_metadata_tags"} if own else {}
            self._container = stack.enter_context(
                av.open(f"file:{path}", "w", format=kind, container_options=options)
            )
            self._container.metadata.update(metadata)
            self._container.set_chapters(like.container.chapters())
            options = {"crf": str(CRF[codec] if crf is None else crf)}
            if codec == "hevc":
                options["x265-params"] = "log-level=none"
            if kind == "avi":
                options["bf"] = "0"  # its frames have no times of their own
            self._stream = self._container.add_stream(_ENCODERS[codec], like.rate, options)
            self._set_up(like, kind, codec)
            lost = self._copy_streams(like)
            if kind == "avi":
                if like.matrix:
                    lost.append("rotation")
                if like.container.chapters():
                    lost.append("chapters")
            self.notes = (f"not kept: {', '.join(lost)}",) if lost else ()
            with self._errors():
                self._container.start_encoding()
            self._stack = stack.pop_all()

    def _set_up(self, like: Video, kind: str, codec: str) -> None:
        stream, context = self._stream, self._stream.codec_context
        stream.width, stream.height = like.width, like.height
        stream.pix_fmt = f"yuv{like.subsampling}p"
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = (
            like.colors
        )
        if like.stream.sample_aspect_ratio:
            context.sample_aspect_ratio = like.stream.sample_aspect_ratio
        # In avi the unit of time is a frame.
        context.time_base = 1 / like.rate if kind == "avi" else like.time_base
        if like.matrix and kind != "avi":
            stream.set_display_matrix(like.matrix)
        if kind in ("mp4", "mov") and codec == "hevc":
            context.codec_tag = "hvc1"  # what Apple's players ask for
        stream.metadata.update(_tags(like.stream.metadata))
        self._time_base, self._source_time_base = context.time_base, like.time_base
        self._colors = like.colors

    def _copy_streams(self, like: Video) -> list[str]:
        """Adds the streams to copy; gives the names of those that cannot be."""
        self._copies, lost = {}, []
        for stream in like.container.streams:
            name = stream.codec_context.name if stream.codec_context else stream.name
            if stream in like.copied:
                try:
                    copy = self._container.add_stream_from_template(stream, opaque=True)
                except ValueError:
                    pass
                else:
                    copy.metadata.update(_tags(stream.metadata))
                    copy.disposition = stream.disposition
                    self._copies[stream.index] = copy
                    continue
            # The texts of chapters are discarded, and times of recording are tags of the pictures.
            elif (
                stream is like.stream
                or stream.discard == av.stream.Discard.all
                or "timecode" in stream.metadata
            ):
                continue
            lost.append(f"{stream.type} ({name})" if name else stream.type)
        return lost

    def write(self, item) -> None:
        """Writes a Frame or a packet of the video that this one is like; None: what is left.

        Raises:
            UserError: if FFmpeg cannot.
            OSError: such as of a full disk.
        """
        with self._errors():
            if isinstance(item, av.Packet):
                if copy := self._copies.get(item.stream.index):
                    item.stream = copy
                    self._container.mux(item)
                return
            self._container.mux(self._stream.encode(item and self._to_yuv(item)))

    def _to_yuv(self, item: Frame) -> av.VideoFrame:
        matrix, primaries, transfer, color_range = self._colors
        frame = av.VideoFrame.from_ndarray(item.pixels, format="rgb24").reformat(
            format=self._stream.pix_fmt,
            dst_colorspace=_SCALER.get(matrix, Colorspace.DEFAULT),
            dst_color_range=ColorRange.JPEG if color_range == ColorRange.JPEG else ColorRange.MPEG,
            interpolation=_SCALING,
        )
        frame.colorspace, frame.color_primaries = matrix, primaries
        frame.color_trc, frame.color_range = transfer, color_range
        # In units of the output; two frames must not get one time.
        scale = self._source_time_base / self._time_base
        pts = round(item.pts * scale)
        self._last = frame.pts = pts if self._last is None else max(pts, self._last + 1)
        frame.duration, frame.time_base = round(item.duration * scale), self._time_base
        return frame

    @contextlib.contextmanager
    def _errors(self):
        try:
            yield
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise UserError(f"{self._path}: cannot be written ({error.strerror})") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._errors():
            self._stack.close()


def _to_rgb(frame: av.VideoFrame) -> np.ndarray:
    if frame.colorspace not in _SCALER:
        frame.colorspace = _UNSPECIFIED
    return frame.to_ndarray(format="rgb24", interpolation=_SCALING)


def _subsampling(kind: av.VideoFormat, width: int, height: int) -> str:
    """Of the colours, as in the file, if H.264 has it: 420, 422 or 444."""
    if kind.is_rgb or kind.has_palette:
        halves = False, False
    elif len(kind.components) < 3:  # gray
        halves = True, True
    else:
        halves = kind.chroma_width(width) < width, kind.chroma_height(height) < height
    if halves[0] and not (width % 2 or (halves[1] and height % 2)):
        return "420" if halves[1] else "422"
    return "444"


def _side_data(frame: av.VideoFrame, name: str) -> list[int]:
    """Its 32-bit integers; empty if the frame has none of this name."""
    for i in range(len(frame.side_data)):
        if frame.side_data[i].type.name == name:
            return np.frombuffer(bytes(frame.side_data[i]), np.int32).tolist()
    return []


def _tags(metadata) -> dict[str, str]:
    """Without what the writer says of itself, and a key's copies in a language (`title-eng`)."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _OWN_TAGS and key.rpartition("-")[0] not in metadata
    }


def _is_cut(path) -> bool:
    """Whether a file is shorter than it says, as after a broken transfer: nothing else would tell.

    AVI begins with the size of all (RIFF), Matroska with that of its segment (RFC 8794), MPEG-4 is
    a row of boxes with their sizes (ISO/IEC 14496-12).
    """
    with open(path, "rb") as file:
        length, position = os.fstat(file.fileno()).st_size, 0
        head = file.read(4096) + bytes(16)
        if head[:4] == b"RIFF":
            return 8 + int.from_bytes(head[4:8], "little") > length
        if head[:4] == _EBML:
            size, start = _variable_integer(head, 4)
            segment = start + (size or 0)
            if head[segment : segment + 4] != _SEGMENT:
                return False
            size, start = _variable_integer(head, segment + 4)
            return size is not None and start + size > length
        while position < length:
            file.seek(position)
            box = file.read(16)
            size, name = int.from_bytes(box[:4], "big"), box[4:8]
            if size == 1:
                size = int.from_bytes(box[8:], "big")
            if name not in _BOXES or size < 8:  # 0: to the end
                return False
            position += size
        return position > length


def _variable_integer(data: bytes, start: int) -> tuple[int | None, int]:
    """EBML's integer at `start`, None if it means unknown, and where it ends."""
    length = 9 - data[start].bit_length()
    value = int.from_bytes(data[start : start + length], "big") - (1 << 7 * length)
    return (None if value == (1 << 7 * length) - 1 else value), start + length
