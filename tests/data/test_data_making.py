"""srn-data: lists of the usual layouts, and pairs from frames."""

import cv2
import numpy as np
import pytest
from helpers import make_video, run_python

from srn_tf.cli import data
from srn_tf.data.frames import FrameCounts, FrameRules, average, average_windows, motion
from srn_tf.data.layouts import find_pairs
from srn_tf.data.pair_list import PairSource
from srn_tf.images.rgb import read_rgb, write_image


def touch(root, *names, size=(20, 20)):
    for name in names:
        write_image(root / name, np.zeros((*size, 3), np.uint8))


LAYOUTS = {
    "GOPRO": ("seq/sharp/000001.png", "seq/blur/000001.png"),
    "input": ("target/a.png", "input/a.png"),
    "REDS": ("train/train_sharp/003/00000007.png", "train/train_blur/003/00000007.png"),
    "REDS val": ("val_sharp/003/00000007.png", "val_blur/003/00000007.png"),
    "RealBlur": ("J/scene001/gt/gt_12.png", "J/scene001/blur/blur_12.png"),
    "two formats": ("sharp/1.png", "blur/1.jpg"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pair_is_found_in_its_layout(tmp_path, layout):
    touch(tmp_path, *LAYOUTS[layout])
    found = find_pairs(tmp_path)
    assert (found.pairs, found.alone, found.of_different_size) == ([LAYOUTS[layout]], [], [])


def test_blur_gamma_is_taken_on_request(tmp_path):
    touch(tmp_path, "a/sharp/1.png", "a/blur/1.png", "a/blur_gamma/1.png", "a/blur_gamma/2.png")
    plain, gamma = find_pairs(tmp_path), find_pairs(tmp_path, gamma=True)
    assert (plain.pairs, plain.alone) == ([("a/sharp/1.png", "a/blur/1.png")], [])
    assert gamma.pairs == [("a/sharp/1.png", "a/blur_gamma/1.png")]
    assert gamma.alone == ["a/blur_gamma/2.png"]


def test_sequences_with_the_same_numbers_do_not_mix(tmp_path):
    touch(tmp_path, *[f"{seq}/{side}/1.png" for seq in "ab" for side in ("sharp", "blur")])
    assert find_pairs(tmp_path).pairs == [
        ("a/sharp/1.png", "a/blur/1.png"),
        ("b/sharp/1.png", "b/blur/1.png"),
    ]


def test_files_without_partner_and_of_different_size_are_told(tmp_path, capsys):
    touch(tmp_path / "set", *[f"{side}/{i}.png" for side in ("sharp", "blur") for i in (1, 2)])
    touch(tmp_path / "set", "sharp/3.png", "blur/4.png", "sharp/5.png")
    touch(tmp_path / "set", "blur/5.png", size=(20, 22))
    words = ["list", f"--root={tmp_path / 'set'}", f"--output={tmp_path / 'list.txt'}"]
    assert data.main(words) == 0
    output = capsys.readouterr()
    assert output.err.splitlines() == [
        "blur/4.png: no partner",
        "sharp/3.png: no partner",
        "sharp/5.png and blur/5.png: differ in size",
    ]
    assert output.out.strip().endswith("without partner: 2, of different size: 1")
    assert (tmp_path / "list.txt").read_text() == "sharp/1.png blur/1.png\nsharp/2.png blur/2.png\n"
    assert len(PairSource(tmp_path / "list.txt", tmp_path / "set", 16)) == 2
    assert data.main(words) == 1
    assert "list.txt: exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["photos/1.png"], "none of the folders of pairs that are known here"),
        (["sharp/1.png", "sharp/1.jpg"], "two files for one picture"),
        (["my set/sharp/1.png"], "a list cannot hold a path with spaces"),
    ],
)
def test_folders_that_make_no_list_are_refused(tmp_path, names, message):
    touch(tmp_path, *names)
    with pytest.raises(ValueError, match=message):
        find_pairs(tmp_path)


def test_blur_is_the_mean_of_the_frames():
    frames = [np.full((4, 4, 3), value, np.uint8) for value in (0, 10, 240)]
    np.testing.assert_array_equal(average(frames, linear_light=False), 83)
    # The curve of sRGB, which is a straight line below 0.04045.
    light = (0 + 10 / 255 / 12.92 + ((240 / 255 + 0.055) / 1.055) ** 2.4) / 3
    expected = round(255 * (1.055 * light ** (1 / 2.4) - 0.055))
    np.testing.assert_array_equal(average(frames, linear_light=True), expected)


def test_motion_is_in_pixels(photo):
    large = cv2.resize(photo, (1400, 1400))
    moved = [large[100:1200, left : left + 1280] for left in (60, 68)]
    assert motion(*moved) == pytest.approx(8, rel=0.1)
    assert motion(moved[0], moved[0]) < 0.1


def pan(photo, count, step, top=0):
    """Frames of a camera that moves by `step` pixels a frame."""
    return [photo[top : top + 120, i * step : i * step + 160].copy() for i in range(count)]


def windows(frames, **rules):
    counts = FrameCounts()
    rng = np.random.default_rng(0)
    return list(average_windows(frames, FrameRules(**rules), rng, counts)), counts


def test_windows_follow_each_other_and_the_middle_frame_is_sharp(photo):
    frames = pan(photo, 24, 2)
    found, counts = windows(frames, min_frames=7, max_frames=7)
    # 24 frames are three windows of seven, and three frames over.
    assert [number for number, _, _ in found] == [3, 10, 17]
    assert counts == FrameCounts(pairs=3, frames=24)
    for number, blurred, sharp in found:
        np.testing.assert_array_equal(sharp, frames[number])
        expected = np.mean(frames[number - 3 : number + 4], axis=0)
        np.testing.assert_allclose(blurred, expected, atol=0.51)


def test_windows_have_odd_lengths_between_the_bounds(photo):
    found, _ = windows(pan(photo, 170, 2), min_frames=7, max_frames=13)
    # The length of a window is twice the way from its end to its middle, which is halfway.
    ends, lengths = 0, []
    for number, _, _ in found:
        lengths.append(2 * (number - ends) + 1)
        ends += lengths[-1]
    assert set(lengths) == {7, 9, 11, 13}


def test_windows_that_do_not_move_are_left_out_and_counted(photo):
    frames = pan(photo, 7, 2) + [photo[200:320, :160]] * 14
    _, counts = windows(frames, min_frames=7, max_frames=7, max_change=255)
    assert (counts.pairs, counts.static) == (1, 2)


def test_windows_across_a_scene_cut_are_left_out_and_counted(photo):
    frames = pan(photo, 11, 2) + pan(255 - photo, 10, 2)
    found, counts = windows(frames, min_frames=7, max_frames=7)
    # The second window is cut after four frames; the next one begins with the new scene.
    assert [number for number, _, _ in found] == [3, 14]
    assert (counts.pairs, counts.scene_cuts) == (2, 1)


@pytest.mark.slow
def test_pairs_from_a_real_video(tmp_path, photo, capsys):
    """It pans, stands still, and cuts to another scene; the pairs can be trained on."""
    frames = pan(photo, 40, 2) + [pan(photo, 40, 2)[-1]] * 30 + pan(photo[::-1], 30, 3)
    # A rate that varies makes the number of frames an estimate, which is no damage.
    times = [i + i // 50 * 20 for i in range(100)]
    make_video(tmp_path / "my clip.mkv", frames, rate=240, times=times)
    words = ["from-video", f"--input_path={tmp_path}", f"--output_path={tmp_path / 'pairs'}"]
    assert data.main(words) == 0
    said = capsys.readouterr().out
    assert "my_clip: frames: 100, pairs: " in said
    counts = dict(part.split(": ")[-2:] for part in said.splitlines()[0].split(", "))
    assert int(counts["left out for little motion"]) >= 1
    assert int(counts["at scene cuts"]) == 1
    source = PairSource(tmp_path / "pairs/pairs.txt", tmp_path / "pairs", 64)
    assert len(source) == int(counts["pairs"]) >= 5
    for pair in source.pairs:
        number = int(pair.sharp.stem)
        assert pair.blurred == tmp_path / f"pairs/my_clip/blur/{number:06d}.png"
        # As the codec leaves it, the sharp picture is the frame of that number.
        assert np.abs(read_rgb(pair.sharp) - frames[number].astype(float)).mean() < 8
    assert data.main(words) == 1
    assert "pairs: exists already" in capsys.readouterr().err


def test_folders_of_frames_are_taken_in_the_order_of_their_numbers(tmp_path, photo):
    for number, frame in enumerate(pan(photo, 21, 2), start=1):
        write_image(tmp_path / f"frames/one/{number}.png", frame)  # 10.png sorts before 2.png
    words = ["--min_frames=7", "--max_frames=7", f"--input_path={tmp_path / 'frames'}"]
    assert data.main(["from-frames", *words, f"--output_path={tmp_path / 'pairs'}"]) == 0
    for number in (3, 10, 17):
        expected = photo[:120, 2 * number : 2 * number + 160]
        found = read_rgb(tmp_path / f"pairs/one/sharp/{number:06d}.png")
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--min_frames=8"], "min_frames must be odd, 3 or more, not 8"),
        (["--min_frames=15"], "min_frames 15 is above max_frames 13"),
        ([], "no pair could be made of frames; pairs: 0, static: 1"),
    ],
)
def test_frames_that_make_no_pairs_are_refused(tmp_path, photo, words, message, capsys):
    for number in range(14):
        write_image(tmp_path / f"frames/{number}.png", photo[:120, :160])
    folders = [f"--input_path={tmp_path / 'frames'}", f"--output_path={tmp_path / 'pairs'}"]
    assert data.main(["from-frames", *folders, *words]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "pairs").exists()


def test_a_frame_of_another_size_is_refused_by_name(tmp_path, photo, capsys):
    touch(tmp_path / "frames", "1.png", "2.png")
    touch(tmp_path / "frames", "3.png", size=(20, 22))
    folders = [f"--input_path={tmp_path / 'frames'}", f"--output_path={tmp_path / 'pairs'}"]
    assert data.main(["from-frames", *folders]) == 1
    assert "3.png: differs in size from the frames before it" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["unpack"]])
def test_a_first_word_that_is_no_command_is_refused(words, capsys):
    assert data.main(words) == 2
    assert "the first word must be one of list, pack, verify" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["list"], ["pack"], ["from-video"]])
def test_help_comes_without_numpy(command):
    printed = run_python(
        "import sys; from srn_tf.cli.data import main\n"
        f"status = main([*{command!r}, '--help'])\n"
        "print(status, 'numpy' in sys.modules)"
    )
    assert printed.startswith(" ".join(["srn-data", *command]))
    assert printed.endswith("0 False\n")


def test_the_flags_of_frames_have_the_defaults_of_the_rules():
    values = data._from_flags()
    values(["srn-data"])
    assert FrameRules() == FrameRules(
        **{name: values[name].value for name in FrameRules.__dataclass_fields__}
    )


def test_sharp_photographs_become_pairs_to_score_with(tmp_path, photo, capsys):
    photos = tmp_path / "photos"
    for name, part in (("a.jpg", photo[:64, :80]), ("b.png", photo[100:150, :40])):
        write_image(photos / name, part)
    words = ["blur", f"--input_path={photos}", "--extent=6", "--seed=3"]
    for folder in ("pairs", "again"):
        assert data.main([*words, f"--output_path={tmp_path / folder}"]) == 0
    assert "pairs: 2" in capsys.readouterr().out
    source = PairSource(tmp_path / "pairs/pairs.txt", tmp_path / "pairs", crop_size=40)
    again = PairSource(tmp_path / "again/pairs.txt", tmp_path / "again", crop_size=40)
    for i, name in enumerate(("a.jpg", "b.png")):
        blurred, sharp = source.read(i)
        np.testing.assert_array_equal(sharp, read_rgb(photos / name))
        assert detail(blurred) < 0.7 * detail(sharp)
        np.testing.assert_array_equal(again.read(i)[0], blurred)
    assert data.main([*words, f"--output_path={tmp_path / 'pairs'}"]) == 1
    write_image(photos / "a.png", photo[:20, :20])
    capsys.readouterr()
    assert data.main([*words, f"--output_path={tmp_path / 'third'}"]) == 1
    expected = "srn-data blur: two photographs would become a.png; rename one\n"
    assert capsys.readouterr().err == expected
    assert not (tmp_path / "third").exists()


def detail(picture) -> float:
    return cv2.Laplacian(picture, cv2.CV_32F).var()
