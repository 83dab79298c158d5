"""Reading and writing pictures: what a photographer wants back comes back."""

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from srn_tf.images.kind import Extra
from srn_tf.images.metadata import ORIENTATION
from srn_tf.images.picture import Picture
from srn_tf.images.read import read_picture
from srn_tf.images.rgb import read_rgb
from srn_tf.images.write import write_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>1</a></x:xmpmeta>'
MAKE, EXPOSURE_TIME, EXIF_IFD = 0x010F, 0x829A, 0x8769


def exif(orientation=None) -> bytes:
    tags = Image.Exif()
    tags[MAKE] = "Camera"
    tags.get_ifd(EXIF_IFD)[EXPOSURE_TIME] = (1, 60)
    if orientation:
        tags[ORIENTATION] = orientation
    return tags.tobytes()


def pixels_of(photo, dtype, channels):
    """A crop in which no two of the eight orientations look the same."""
    crop = photo[100:140, 200:260].astype(dtype) * (257 if dtype == np.uint16 else 1)
    if dtype == np.uint16:
        crop += np.arange(60, dtype=np.uint16)[:, np.newaxis]  # low bits that 8 bits lose
    alpha = np.linspace(0, np.iinfo(dtype).max, 60).astype(dtype) * np.ones((40, 1), dtype)
    return {
        1: crop[..., 0],
        2: np.dstack([crop[..., 0], alpha]),
        3: crop,
        4: np.dstack([crop, alpha]),
    }[channels]


@pytest.mark.parametrize("extension", [".png", ".tiff", ".bmp", ".webp", ".jpg"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_written_comes_back(tmp_path, photo, extension, channels, dtype):
    pixels = pixels_of(photo, dtype, channels)
    notes = write_picture(tmp_path / f"a{extension}", Picture(pixels, lossless=True))
    back = read_picture(tmp_path / f"a{extension}").pixels
    expected, expected_notes = pixels, []
    if dtype == np.uint16 and extension not in (".png", ".tiff"):
        expected = np.rint(pixels / 257).astype(np.uint8)
        expected_notes.append("16 bits became 8")
    if extension in (".jpg", ".bmp") and channels in (2, 4):
        expected = expected[..., :-1].squeeze()
        expected_notes.append("alpha is dropped")
    if back.ndim > expected.ndim or (back.shape[2:] == (4,) and channels == 2):
        # WebP has no gray: there its colours are equal.
        assert np.ptp(back[..., :3], axis=-1).max() == 0
        back = back[..., 2:] if channels == 2 else back[..., 0]
    assert (back.dtype, back.shape) == (expected.dtype, expected.shape)
    if extension == ".webp" and channels in (2, 4):
        visible = expected[..., -1] > 0  # where nothing shows, WebP does not keep colours
        back, expected = back[visible], expected[visible]
    if extension == ".jpg":
        assert np.abs(back.astype(int) - expected).mean() < 3
    else:
        np.testing.assert_array_equal(back, expected)
    assert len(notes) == len(expected_notes)
    assert all(note.startswith(start) for note, start in zip(notes, expected_notes, strict=True))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "16.png", "16.tif"])
def test_pictures_are_turned_as_their_exif_says(tmp_path, photo, name, orientation):
    path = tmp_path / name
    stored = pixels_of(photo, np.uint16 if "16" in name else np.uint8, 3)
    write_picture(path, Picture(stored, exif=exif(), lossless=True), quality=100)
    if name == "16.tif":
        tifffile.imwrite(
            path, stored, photometric="rgb", extratags=[(274, "H", 1, orientation, True)]
        )
    elif name == "16.png":
        write_picture(path, Picture(stored, exif=exif(orientation)))
    else:
        raw = {"compression": "raw"}  # Pillow fails with the directory of EXIF in others
        options = raw if name == "a.tif" else {"quality": 100, "lossless": True}
        with Image.open(path) as image:
            image.save(path, exif=exif(orientation), **options)
    eight_bit = np.rint(stored / 257).astype(np.uint8) if "16" in name else stored
    reference = Image.fromarray(eight_bit)
    reference.getexif()[ORIENTATION] = orientation
    upright = np.asarray(ImageOps.exif_transpose(reference)).astype(float)
    picture = read_picture(path)
    read = picture.pixels / (257 if "16" in name else 1)
    assert read.shape == upright.shape
    assert np.abs(read - upright).max() < (20 if name == "a.jpg" else 0.51)
    write_picture(path, picture)  # and stay so when they are written
    np.testing.assert_allclose(read_picture(path).pixels, picture.pixels, atol=20)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.png", {"exif", "icc_profile", "xmp", "dpi", "tEXt"}),
        ("a.jpg", {"exif", "icc_profile", "xmp", "dpi", "iptc"}),
        ("a.webp", {"exif", "icc_profile", "xmp"}),
        ("a.tiff", {"exif", "icc_profile", "xmp", "dpi", "iptc"}),
        ("a.bmp", {"dpi"}),
        ("16.png", {"exif", "icc_profile", "xmp", "dpi", "tEXt"}),
        ("16.tiff", {"exif", "icc_profile", "xmp", "dpi", "iptc"}),
    ],
)
def test_metadata_is_kept_where_the_format_can(tmp_path, photo, name, kept):
    pixels = pixels_of(photo, np.uint16 if "16" in name else np.uint8, 3)
    picture = Picture(
        pixels,
        exif=exif(),
        icc_profile=SRGB,
        xmp=XMP,
        iptc=b"Photoshop 3.0\x00a caption",
        dpi=(300, 300),
        format="PNG",
        extras=(Extra("tEXt", b"tEXt", b"Title\0Gr\xfc\xdfe"),),
    )
    notes = write_picture(tmp_path / name, picture)
    back = read_picture(tmp_path / name)
    tags = Image.Exif()
    tags.load(back.exif or b"")
    found = {
        "exif": tags.get_ifd(EXIF_IFD).get(EXPOSURE_TIME) == (1, 60) and tags.get(MAKE) == "Camera",
        "icc_profile": back.icc_profile == SRGB,
        "xmp": (back.xmp or b"").strip(b"\0") == XMP,
        "dpi": back.dpi is not None and back.dpi == pytest.approx((300, 300), abs=0.01),
        "tEXt": back.extras and back.extras[-1] == picture.extras[0],
        "iptc": back.iptc == b"Photoshop 3.0\x00a caption",
    }
    assert {what for what, is_found in found.items() if is_found} == kept
    # What is lost is said.
    said = "".join(notes)
    lost = {"exif", "icc_profile", "xmp", "dpi", "tEXt", "iptc"} - kept
    assert {what for what in lost if what in said} == lost


def test_palettes_bits_and_cmyk_become_plain_pictures(tmp_path, photo):
    crop = Image.fromarray(photo[100:140, 200:260])
    palette = crop.quantize(16)
    palette.save(tmp_path / "palette.png")
    palette.save(tmp_path / "clear.png", transparency=3)
    crop.convert("1").save(tmp_path / "bits.png")
    crop.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    np.testing.assert_array_equal(
        read_picture(tmp_path / "palette.png").pixels, np.asarray(palette.convert("RGB"))
    )
    clear = read_picture(tmp_path / "clear.png").pixels
    np.testing.assert_array_equal(clear[..., 3] == 0, np.asarray(palette) == 3)
    bits = read_picture(tmp_path / "bits.png").pixels
    assert bits.ndim == 2
    assert set(np.unique(bits)) == {0, 255}
    cmyk = read_picture(tmp_path / "cmyk.jpg")
    assert np.abs(cmyk.pixels.astype(int) - np.asarray(crop)).mean() < 2
    assert cmyk.notes == ("CMYK, converted to RGB",)


def test_16_bit_kinds_of_tiff_and_png_are_read_as_they_are_meant(tmp_path, photo):
    color = pixels_of(photo, np.uint16, 3)
    gray, alpha = color[..., 0], np.full((40, 60), 30_000, np.uint16)
    planar = {"photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "planar.tif", np.moveaxis(color, -1, 0), **planar)
    np.testing.assert_array_equal(read_picture(tmp_path / "planar.tif").pixels, color)
    tifffile.imwrite(tmp_path / "negative.tif", 65535 - gray, photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "negative.tif").pixels, gray)
    multiplied = np.rint(color * (30_000 / 65535)).astype(np.uint16)
    options = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    tifffile.imwrite(tmp_path / "alpha.tif", np.dstack([multiplied, alpha]), **options)
    back = read_picture(tmp_path / "alpha.tif").pixels
    np.testing.assert_allclose(back[..., :3], color, atol=2)
    np.testing.assert_array_equal(back[..., 3], alpha)
    tifffile.imwrite(tmp_path / "big.tif", color, photometric="rgb", bigtiff=True, iccprofile=SRGB)
    big = read_picture(tmp_path / "big.tif")
    assert write_picture(tmp_path / "again.tif", big) == ()
    assert read_picture(tmp_path / "again.tif").icc_profile == SRGB
    tifffile.imwrite(tmp_path / "twelve.tif", gray // 16)
    bits = struct.pack("<HHI", 258, 3, 1)  # the tag, before its value
    content = (tmp_path / "twelve.tif").read_bytes()
    (tmp_path / "twelve.tif").write_bytes(content.replace(bits + b"\x10", bits + b"\x0c"))
    with pytest.raises(ValueError, match=r"twelve\.tif: 12 bits a channel; 8 and 16 can"):
        read_picture(tmp_path / "twelve.tif")


def test_a_phones_jpeg_with_pictures_behind_it_is_a_jpeg(tmp_path, photo):
    first, second = Image.fromarray(photo), Image.fromarray(photo[:60, :80])
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.pixels.shape == photo.shape
    (note,) = picture.notes
    assert note.startswith("further pictures (")


def test_oversized_metadata_goes_and_the_profile_stays(tmp_path, photo):
    picture = Picture(photo, icc_profile=SRGB, xmp=b"x" * 100_000, exif=exif())
    (note,) = write_picture(tmp_path / "a.jpg", picture)  # a JPEG holds 64 kB of XMP
    assert note.startswith("xmp dropped, as it could not be written")
    back = read_picture(tmp_path / "a.jpg")
    assert back.icc_profile == SRGB
    assert b"Exif\0\0" + back.exif == picture.exif


def test_an_orientation_in_the_text_of_a_png_does_not_turn_it_again(tmp_path, photo):
    info = PngImagePlugin.PngInfo()
    data = exif(6).removeprefix(b"Exif\0\0")
    info.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n", zip=True)
    Image.fromarray(photo[:20, :30]).save(tmp_path / "a.png", pnginfo=info)
    picture = read_picture(tmp_path / "a.png")
    assert picture.pixels.shape == (30, 20, 3)
    write_picture(tmp_path / "b.png", picture)
    assert read_picture(tmp_path / "b.png").pixels.shape == (30, 20, 3)


def test_pictures_to_score_are_rgb_of_8_bits(tmp_path, photo):
    sixteen = pixels_of(photo, np.uint16, 2)
    write_picture(tmp_path / "a.png", Picture(sixteen))
    expected = np.dstack([np.rint(sixteen[..., 0] / 257).astype(np.uint8)] * 3)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), expected)


def png(photo) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(photo).save(encoded, "PNG")
    return encoded.getvalue()


def png16(photo) -> bytes:
    return cv2.imencode(".png", photo.astype(np.uint16))[1].tobytes()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.png", lambda photo: b"", "the file is empty"),
        ("text.png", lambda photo: b"not a picture", "not a picture that can be read"),
        ("cut.png", lambda photo: png(photo)[:50_000], "not a picture that can be read"),
        ("really_png.jpg", png, "its content is PNG, which its name does not say"),
        ("cut16.png", lambda photo: png16(photo)[:50_000], "not a picture that can be read"),
    ],
)
def test_files_that_are_no_whole_picture_are_refused(tmp_path, photo, name, content, reason):
    (tmp_path / name).write_bytes(content(photo))
    with pytest.raises(ValueError, match=rf"{name}: .*{reason}"):
        read_picture(tmp_path / name)


@pytest.mark.parametrize("extension", ["jpg", "webp", "bmp", "tif"])
def test_truncated_files_are_refused_not_half_read(tmp_path, photo, extension):
    path = tmp_path / f"whole.{extension}"
    write_picture(path, Picture(photo))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for read in (read_picture, read_rgb):
        with pytest.raises(ValueError, match=rf"whole\.{extension}: not a picture"):
            read(path)


@pytest.mark.slow
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("1", (40_000, 30_000)).save(tmp_path / "bomb.png")  # 150 kB, 3.6 GB as RGB
    monkeypatch.setattr(Image.Image, "convert", None)
    with pytest.raises(ValueError, match=r"bomb\.png: 40000x30000 is 1200 megapixels.* 300"):
        read_picture(tmp_path / "bomb.png")
    Image.new("L", (1100, 1000)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"1 megapixels, and the limit is 0\.5"):
        read_picture(tmp_path / "a.png", max_megapixels=0.5)


def test_of_several_frames_the_first_is_read_and_it_is_said(tmp_path, photo):
    first, second = (Image.fromarray(photo[i : i + 20, :30]) for i in (0, 100))
    first.save(tmp_path / "a.tiff", save_all=True, append_images=[second])
    picture = read_picture(tmp_path / "a.tiff")
    np.testing.assert_array_equal(picture.pixels, np.asarray(first))
    assert picture.notes == ("only the first of its 2 frames or pages is restored",)


def test_32_bit_pictures_are_refused(tmp_path, photo):
    tifffile.imwrite(tmp_path / "a.tif", photo[..., 0].astype(np.float32))
    with pytest.raises(ValueError, match=r"a\.tif: 32 bits a channel"):
        read_picture(tmp_path / "a.tif")


def test_text_of_a_png_is_carried_as_it_is(tmp_path, photo):
    """A compressed text of gigabytes must not be unpacked."""
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "b" * 100_000_000, zip=True)
    Image.fromarray(photo[:20, :20]).save(tmp_path / "a.png", pnginfo=info)
    tracemalloc.start()
    assert write_picture(tmp_path / "b.png", read_picture(tmp_path / "a.png")) == ()
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    texts = [extra.data for extra in read_picture(tmp_path / "b.png").extras]
    assert any(len(zlib.decompress(text[3:])) == 100_000_000 for text in texts)
