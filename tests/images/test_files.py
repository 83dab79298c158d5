"""Which files are pictures, and what is said of the others."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import TESTS
from making import directories, numbers, opaque, text
from PIL import Image, features

from srn_tf.images import files
from srn_tf.images.picture import Picture
from srn_tf.images.read import read_kind, read_picture
from srn_tf.images.rgb import read_rgb
from srn_tf.images.write import write_picture


@pytest.mark.parametrize("extension", [".jfif", ".jpe", ".JPG", ".tif", ".png", ".bmp", ".webp"])
def test_pictures_of_all_extensions_are_found_read_and_written(tmp_path, photo, extension):
    path = tmp_path / f"a{extension}"
    write_picture(path, Picture(photo[:20, :30]))
    assert files.find_images(tmp_path) == [path]
    assert read_picture(path).pixels.shape == (20, 30, 3)


def test_pictures_that_cannot_be_read_are_counted_once(tmp_path, photo, caplog):
    write_picture(tmp_path / "a.png", Picture(photo[:20, :30]))
    readable = [tmp_path / f"a{extension}" for extension in files.FORMATS]
    for path in readable:
        path.touch()
    for name in ("b.NEF", "c.nef", "d.cr3", "e.gif", "notes.txt", ".f.dng"):
        (tmp_path / name).touch()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert files.find_images(tmp_path) == sorted(readable)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"{tmp_path}: pictures left out, as their kinds cannot be read: 1 cr3, 1 gif, 2 nef"
    ]


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "link.png"):
        for read in (read_kind, read_picture, read_rgb):
            with pytest.raises(ValueError, match=f"{name}: is not a file"):
                read(tmp_path / name)


MODERN = [
    pytest.param(
        ".avif", marks=pytest.mark.skipif(not features.check("avif"), reason="Pillow has no AVIF")
    ),
    pytest.param(
        ".heic", marks=pytest.mark.skipif(".heic" not in files.FORMATS, reason="no pillow-heif")
    ),
]


@pytest.mark.parametrize("extension", MODERN)
def test_avif_and_heif_are_read_and_written(tmp_path, photo, extension):
    crop = photo[100:180, 200:300]
    own = {0x829A: numbers("<", 5, 1, 60), 0x927C: opaque(b"a note of a maker")}
    exif = directories("<", {271: text("Jörg".encode()), 0x8769: own})
    path = tmp_path / f"a{extension}"
    assert write_picture(path, Picture(crop, exif=exif, xmp=b"<x/>")) == ()
    picture = read_picture(path)
    assert np.abs(picture.pixels.astype(int) - crop).mean() < 3
    assert (picture.exif, picture.xmp, picture.notes) == (exif, b"<x/>", ())
    assert read_kind(path).shape == (80, 100)
    path.write_bytes(path.read_bytes().replace(exif[:12], b"no TIFF here"))
    (note,) = read_picture(path).notes
    assert note == "exif dropped, as it is damaged (no TIFF structure)"
    assert read_rgb(path).shape == (80, 100, 3)
    turn = Image.Exif()
    turn[0x0112] = 6
    Image.fromarray(crop).save(path, exif=turn.tobytes(), quality=95)
    assert read_kind(path).shape == (100, 80)
    upright = np.rot90(crop, -1).astype(int)
    assert np.abs(read_picture(path).pixels - upright).mean() < 3
    assert np.abs(read_rgb(path) - upright).mean() < 3


def test_without_pillow_heif_its_files_are_refused_by_name(tmp_path):
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'pillow_heif' else find(name)\n"
        "from srn_tf.images.files import find_images\n"
        "from srn_tf.images.read import read_picture\n"
        "for read, path in ((find_images, sys.argv[1]), (read_picture, sys.argv[1] + '/a.heic')):\n"
        "    try: read(path)\n"
        "    except ValueError as error: print(error)\n"
    )
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic")
    command = [sys.executable, "-c", code, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=TESTS.parent)
    assert result.stdout.splitlines()[-1] == (
        f"{tmp_path}/a.heic: HEIF needs pillow-heif (pip install pillow-heif)"
    )
    assert result.stderr == (
        f"{tmp_path}: pictures left out, as their kinds cannot be read: 1 heic "
        "(heic, heif: pip install pillow-heif)\n"
    )


def test_libraries_say_nothing_of_damaged_files(tmp_path, photo, capfd):
    """Their lines on standard error name no file; ours do."""
    crop, rng = Image.fromarray(photo[:64, :64]), np.random.default_rng(0)
    for name, options in {
        "a.jpg": {},
        "a.png": {},
        "lzw.tif": {"compression": "tiff_lzw"},
        "jpeg.tif": {"compression": "jpeg"},
        "a.webp": {},
        "a.bmp": {},
    }.items():
        crop.save(tmp_path / name, **options)
        whole = (tmp_path / name).read_bytes()
        for _ in range(40):
            data = bytearray(whole)
            for at in rng.integers(len(data), size=4):
                data[at] = int(rng.integers(256))
            (tmp_path / name).write_bytes(data[: int(rng.integers(len(data) // 2, len(data) + 1))])
            for read in (read_picture, read_rgb):
                try:
                    read(tmp_path / name)
                except ValueError as error:
                    assert str(error).startswith(f"{tmp_path / name}: ")
                    assert "\n" not in str(error)
    crop.convert("1").save(tmp_path / "g4.tif", compression="group4")
    data = bytearray((tmp_path / "g4.tif").read_bytes())
    data[100:140] = b"\x5a" * 40
    (tmp_path / "g4.tif").write_bytes(data)
    read_picture(tmp_path / "g4.tif")
    out, err = capfd.readouterr()
    assert out == ""
    assert all(str(tmp_path) in line for line in err.splitlines())
