"""Videos through the command: what goes in beside the pictures comes out."""

import resource
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers import make_video

from srn_tf.cli import test as command
from srn_tf.evaluation.metrics import psnr
from srn_tf.images.video import Frame, Video, VideoWriter
from srn_tf.restoration.classical import ClassicalDeblurrer, line_kernel
from srn_tf.restoration.video import deblur_video

QUARTER_TURN = [0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30]
BT709 = dict.fromkeys(("colorspace", "color_primaries", "color_trc", "color_range"), 1)
DATES = {
    "creation_time": "2020-02-03T04:05:06.000000Z",
    "title": "Höhe",
    "com.apple.quicktime.creationdate": "2020-02-03T05:05:06+0100",
}


@pytest.fixture
def deblur(tmp_path, capsys):
    """Runs the command on a file of tmp_path; gives status, output and error lines."""

    def run(name, *flags):
        words = [str(tmp_path / name), f"--output_path={tmp_path / 'out'}", *flags]
        blur = ("--blur_length=15", "--blur_angle=20")
        status = command.main([*words, "--model=wiener", *blur])
        printed = capsys.readouterr()
        return status, printed.out, printed.err.splitlines()

    return run


class Same:
    """A network that changes nothing, where its pictures are not what is tested."""

    def deblur(self, picture):
        return picture


def pan(photo, count=9, height=48, width=64) -> list[np.ndarray]:
    return [photo[5 * i : 5 * i + height, 100 : 100 + width].copy() for i in range(count)]


def frames_of(path) -> list[Frame]:
    with Video(path) as video:
        return [item for item in video if isinstance(item, Frame)]


def facts(path) -> dict:
    """What a player goes by, read with PyAV alone."""
    with av.open(f"file:{path}") as file:
        stream = file.streams.video[0]
        frames = list(file.decode(stream))
        found = {
            "times": [frame.time for frame in frames],
            "rate": stream.average_rate,
            "pixel aspect": stream.sample_aspect_ratio,
            "rotation": frames[0].rotation,
            "colors": [getattr(stream, name) for name in BT709],
            **{name: file.metadata.get(name) for name in DATES},
        }
    with av.open(f"file:{path}") as file:
        if file.streams.audio:
            sound = list(file.decode(audio=0))
            found["sound"] = np.concatenate([part.to_ndarray() for part in sound], axis=1).tolist()
            found["times of sound"] = [part.time for part in sound]
            found["language"] = file.streams.audio[0].language
    return found


@pytest.mark.parametrize(
    ("name", "words", "rules"),
    [
        ("12:30.mp4", [], {"trim": Fraction(1, 50), "metadata": DATES}),
        ("a.mov", ["--codec=hevc"], {"codec": "libx265", "metadata": DATES}),
        ("a.mkv", ["--crf=10"], {}),
    ],
)
@pytest.mark.slow
def test_a_video_comes_out_with_all_that_it_had(tmp_path, deblur, photo, name, words, rules):
    source, target = tmp_path / name, tmp_path / "out" / name
    aspect = Fraction(8, 9)
    make_video(
        source, pan(photo), **rules, **BT709, sample_aspect_ratio=aspect, matrix=QUARTER_TURN
    )
    status, out, err = deblur(name, *words)
    assert (status, err) == (0, [])
    expected, found = facts(source), facts(target)
    shown = 9 - 2 * ("trim" in rules)  # 0.02 s are two frames
    assert len(expected["times"]) == shown
    assert f"frames deblurred: {shown}, in {target}" in out
    assert expected["rotation"] == 90
    assert expected["pixel aspect"] == aspect
    if not name.endswith(".mkv"):  # which counts milliseconds
        assert expected["rate"] == Fraction(105611, 1000)
    assert found == expected
    with av.open(f"file:{target}") as file:
        codec = "hevc" if "--codec=hevc" in words else "h264"
        assert file.streams.video[0].codec_context.name == codec
    deblurrer = ClassicalDeblurrer("wiener", line_kernel(15, 20))
    for before, after in zip(frames_of(source), frames_of(target), strict=True):
        restored = deblurrer.deblur(before.pixels)
        assert psnr(restored, after.pixels) > 28  # random colours, halved in size, cost most
        assert psnr(restored, after.pixels) > psnr(before.pixels, after.pixels) + 3
    content = target.read_bytes()
    assert "there before" in deblur(name)[1]
    assert target.read_bytes() == content


def test_quality_is_a_number(tmp_path, photo):
    make_video(tmp_path / "a.mp4", pan(photo), pix_fmt="yuv444p")
    losses = []
    for crf in (0, None, 40):
        with Video(tmp_path / "a.mp4") as video:
            deblur_video(Same(), video, tmp_path / f"{crf}.mp4", crf=crf)
        pairs = zip(frames_of(tmp_path / "a.mp4"), frames_of(tmp_path / f"{crf}.mp4"), strict=True)
        losses.append(min(psnr(one.pixels, other.pixels) for one, other in pairs))
    assert losses[0] > 60  # 0 is lossless; the rest is rounding
    assert losses[1] > 37
    assert losses[2] < 30


def test_variable_rates_stay(tmp_path, photo):
    for name in ("a.mp4", "a.mkv"):
        times = [0, 1, 2, 3, 8, 13, 18, 19, 30]
        make_video(tmp_path / name, pan(photo), rate=Fraction(30), times=times)
        with Video(tmp_path / name) as video:
            assert video.count_is_estimate or video.count == 9
            result = deblur_video(Same(), video, tmp_path / f"out {name}")
        assert (result.frames, result.damage) == (9, None)
        assert facts(tmp_path / f"out {name}")["times"] == facts(tmp_path / name)["times"]


@pytest.mark.parametrize(
    ("name", "rules", "notes"),
    [
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "yuv422p10le"}, "10 bits a sample, written as 8"),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "yuva420p"}, "alpha is not kept"),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "bgr0", "colorspace": 0}, ""),
        ("a.mov", {"codec": "png", "pix_fmt": "rgb24"}, ""),
        ("a.mp4", {"color_range": 2, "colorspace": 5}, ""),
        ("a.mp4", {"colorspace": 9}, ""),
        ("a.mp4", {"colorspace": 8}, ""),  # YCgCo, which the scaler does not know
        ("a.avi", {"codec": "mjpeg", "pix_fmt": "yuvj422p"}, ""),
    ],
)
def test_kinds_of_pixels(tmp_path, photo, name, rules, notes):
    """Colours come out as the decoder sees them; what does not fit is said."""
    make_video(tmp_path / name, pan(photo), rate=Fraction(25), **rules)
    with Video(tmp_path / name) as video:
        result = deblur_video(Same(), video, tmp_path / "out" / name)
    assert ", ".join(result.notes) == notes
    pairs = list(zip(frames_of(tmp_path / name), frames_of(tmp_path / "out" / name), strict=True))
    assert len(pairs) == 9
    assert min(psnr(one.pixels, other.pixels) for one, other in pairs) > 38


def test_odd_sizes(tmp_path, photo):
    make_video(tmp_path / "a.mkv", pan(photo, 3, 33, 47), "ffv1", "yuv420p")
    with Video(tmp_path / "a.mkv") as video:
        deblur_video(Same(), video, tmp_path / "b.mp4")
    assert frames_of(tmp_path / "b.mp4")[0].pixels.shape == (33, 47, 3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_cut_video_gives_what_can_be_read_and_says_so(tmp_path, deblur, photo, name):
    make_video(tmp_path / name, pan(photo, 20), "mjpeg", "yuvj420p", rate=25, sound=False)
    content = (tmp_path / name).read_bytes()
    if name == "a.mp4":  # its index must be there
        with av.open(str(tmp_path / name)) as source:
            options = {"movflags": "faststart"}
            with av.open(str(tmp_path / "b.mp4"), "w", container_options=options) as output:
                copy = output.add_stream_from_template(source.streams.video[0], opaque=True)
                for packet in source.demux(video=0):
                    if packet.dts is not None:
                        packet.stream = copy
                        output.mux(packet)
        content = (tmp_path / "b.mp4").read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    status, _, (line,) = deblur(name)
    assert status == 1
    assert line == f"srn-test: {tmp_path / name}: damaged: the file ends early"
    assert 5 < len(frames_of(tmp_path / "out" / name)) < 15


def test_damage_inside_is_told(tmp_path, photo):
    make_video(tmp_path / "a.mp4", pan(photo, 20))
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    start = content.index(b"mdat") + 2000
    for i in range(start, start + 3000, 7):
        content[i] ^= 0x55
    (tmp_path / "a.mp4").write_bytes(content)
    with Video(tmp_path / "a.mp4") as video:
        assert sum(isinstance(item, Frame) for item in video)
        assert video.damage


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a video that can be read"),
        (b"no video", "not a video that can be read"),
        (b"\x1aE\xdf\xa3\x00", "not a video that can be read"),
        (b"#EXTM3U\n#EXTINF:1,\nother.mp4\n", "not a video that can be read"),
        (None, "no such file"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, deblur, content, message):
    if content is not None:
        (tmp_path / "a.mp4").write_bytes(content)
    status, _, (line,) = deblur("a.mp4")
    assert status == 1
    assert "a.mp4" in line
    assert message in line
    assert not (tmp_path / "out").exists()


def test_inputs_are_not_overwritten_and_avi_holds_no_hevc(tmp_path, deblur, photo):
    make_video(tmp_path / "a.avi", pan(photo), "mjpeg", "yuvj420p", rate=25)
    status, _, (line,) = deblur("a.avi", f"--output_path={tmp_path}", "--overwrite")
    assert (status, "a.avi: is the video to read, and would be" in line) == (1, True)
    status, _, (line,) = deblur("a.avi", "--codec=hevc")
    assert (status, "avi cannot hold HEVC" in line) == (1, True)
    assert not (tmp_path / "out").exists()


class Failing(Same):
    def __init__(self, error):
        self.error, self.count = error, 0

    def deblur(self, picture):
        self.count += 1
        if self.count == 5:
            raise self.error
        return picture


def test_an_interrupted_video_leaves_nothing(tmp_path, photo):
    make_video(tmp_path / "a.mp4", pan(photo))
    with Video(tmp_path / "a.mp4") as video, pytest.raises(KeyboardInterrupt):
        deblur_video(Failing(KeyboardInterrupt()), video, tmp_path / "out/a.mp4")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, photo):
    make_video(tmp_path / "a.mp4", pan(photo))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Video(tmp_path / "a.mp4") as video:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                deblur_video(Same(), video, tmp_path / "out/a.mp4")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path, photo):
    peaks = []
    for count in (20, 200):
        make_video(tmp_path / "a.mp4", pan(photo, 20) * (count // 20), sound=False)
        tracemalloc.start()
        with Video(tmp_path / "a.mp4") as video:
            deblur_video(Same(), video, tmp_path / "b.mp4")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_a_writer_keeps_times_apart(tmp_path, photo):
    """Two frames of one time would be refused by the file."""
    make_video(tmp_path / "a.mp4", pan(photo, 3), sound=False)
    with Video(tmp_path / "a.mp4") as video, VideoWriter(tmp_path / "b.mp4", video) as output:
        for item in video:
            output.write(Frame(item.pixels, 0, item.duration))
        output.write(None)
    assert [frame.pts for frame in frames_of(tmp_path / "b.mp4")] == [0, 1, 2]
