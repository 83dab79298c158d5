"""The store of pairs: the same examples as from the list, and nothing that is not whole."""

import itertools
import json
import mmap
import re
import zipfile

import numpy as np
import pytest

from srn_tf import UserError
from srn_tf.cli import data
from srn_tf.data.augmentation import AugmentedSource
from srn_tf.data.examples import make_batch
from srn_tf.data.packed import PackedSource, pack, verify
from srn_tf.data.pair_list import PairSource
from srn_tf.data.pipeline import Batches
from srn_tf.deconvolution.candidates import candidates
from srn_tf.images.rgb import read_rgb, write_image

CROP = 16


@pytest.fixture
def listed(tmp_path, photo):
    """Nine pairs of different sizes, so that more are read than a reader is ahead."""
    lines = []
    for i in range(9):
        sharp = photo[30 * i : 30 * i + 20 + i, : 40 - i]
        write_image(tmp_path / f"sharp/{i}.png", sharp)
        write_image(tmp_path / f"blur/{i}.jpg", sharp // 2 + 5)
        lines.append(f"sharp/{i}.png blur/{i}.jpg")
    (tmp_path / "list.txt").write_text("\n".join(lines))
    return PairSource(tmp_path / "list.txt", tmp_path, CROP)


@pytest.fixture
def packed(tmp_path, listed):
    pack(listed, tmp_path / "pairs.npz")
    return tmp_path / "pairs.npz"


def test_a_store_gives_the_batches_of_its_list(listed, packed):
    source = PackedSource(packed, CROP)
    assert (len(source), source.names) == (len(listed), listed.names)
    for seed in (0, 1):
        streams = [Batches(s, 4, channels=3, seed=seed) for s in (source, listed)]
        for ours, expected in itertools.islice(zip(*streams, strict=True), 6):
            np.testing.assert_array_equal(ours, expected)


def test_numpy_reads_a_store(tmp_path, packed):
    with np.load(packed) as archive:
        sharp, blurred = archive["000003"]
    np.testing.assert_array_equal(sharp, read_rgb(tmp_path / "sharp/3.png"))
    np.testing.assert_array_equal(blurred, read_rgb(tmp_path / "blur/3.jpg"))


def test_examples_are_windows_of_the_mapped_file(packed):
    blurred, _ = PackedSource(packed, CROP).example(2, np.random.default_rng(0))
    while isinstance(blurred.base, np.ndarray):
        blurred = blurred.base
    assert isinstance(blurred.base, mmap.mmap)


def test_packing_again_gives_the_same_file(tmp_path, listed, packed):
    pack(listed, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == packed.read_bytes()


@pytest.mark.parametrize("part", [0.0, 0.5, 0.999])
def test_a_store_that_is_not_whole_is_refused(packed, part):
    content = packed.read_bytes()
    packed.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"pairs\.npz: not a store of pairs, or not written whole"):
        PackedSource(packed, CROP)


@pytest.mark.parametrize("forged", [{"names": 3}, {"names": [["a"]]}, {"notes": "abc"}, "zipped"])
def test_a_forged_directory_is_refused(packed, forged):
    with zipfile.ZipFile(packed) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    kind = zipfile.ZIP_DEFLATED if forged == "zipped" else zipfile.ZIP_STORED
    if isinstance(forged, dict):
        content = json.loads(members["pairs.json"]) | forged
        members["pairs.json"] = json.dumps(content).encode()
    with zipfile.ZipFile(packed, "w", kind) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    with pytest.raises(UserError, match=r"must be a list of texts|it is compressed"):
        PackedSource(packed, CROP)


def test_other_archives_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"other\.npz: not a store of pairs.*srn-data pack makes one"
    ):
        PackedSource(tmp_path / "other.npz", CROP)


def test_a_missing_store_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no\.npz: cannot be read \(No such file or directory\)"):
        PackedSource(tmp_path / "no.npz", CROP)


def test_one_wrong_bit_is_found_and_its_pair_named(packed):
    assert verify(packed) == 9
    content = bytearray(packed.read_bytes())
    place = content.index(np.load(packed)["000004"].tobytes())
    content[place + 100] ^= 1
    packed.write_bytes(content)
    with pytest.raises(ValueError, match=r"pair 4 \(sharp/4\.png blur/4\.jpg\) is damaged"):
        verify(packed)


@pytest.mark.slow
def test_whatever_byte_of_its_tables_is_wrong_it_is_one_refusal(packed):
    """No traceback, and no pixels from elsewhere: the headers of pairs and the directory."""
    content = packed.read_bytes()
    starts = [match.start() for match in re.finditer(rb"PK\x03\x04", content)][1:3]
    places = [place for start in starts for place in range(start, start + 160)]
    places += range(content.index(b"PK\x01\x02"), len(content))
    intact = PackedSource(packed, CROP)
    rng = np.random.default_rng
    expected = [intact.example(index, rng(0)) for index in range(9)]
    refused = 0
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 0x11
        packed.with_name("damaged.npz").write_bytes(damaged)
        try:
            source = PackedSource(packed.with_name("damaged.npz"), CROP)
        except ValueError as error:
            assert str(error).startswith(str(packed.with_name("damaged.npz")))
            refused += 1
            continue
        for index in range(9):  # a date, say, is of no matter
            np.testing.assert_array_equal(source.example(index, rng(0)), expected[index])
    assert refused > len(places) / 2


def test_a_picture_that_fails_leaves_no_store(tmp_path, listed):
    (tmp_path / "blur/7.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"blur/7\.jpg: not a picture"):
        pack(listed, tmp_path / "pairs.npz")
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".npz"]


def test_an_existing_file_is_not_overwritten(listed, packed):
    before = packed.read_bytes()
    with pytest.raises(ValueError, match=r"pairs\.npz: exists already"):
        pack(listed, packed)
    assert packed.read_bytes() == before


def test_pairs_smaller_than_the_crop_are_refused_by_name(packed):
    with pytest.raises(
        ValueError, match=r"pair sharp/0\.png blur/0\.jpg: 40x20 is smaller than the crop of 32"
    ):
        PackedSource(packed, 32)


def test_the_commands_pack_and_verify(tmp_path, listed, capsys):
    words = [f"--datalist={tmp_path / 'list.txt'}", f"--data_root={tmp_path}"]
    assert data.main(["pack", *words, f"--output={tmp_path / 'a.npz'}"]) == 0
    assert data.main(["verify", f"--packed={tmp_path / 'a.npz'}"]) == 0
    output = capsys.readouterr().out
    assert f"pairs: 9, in {tmp_path / 'a.npz'}" in output
    assert "pairs: 9, all as they were written" in output
    assert data.main(["verify", f"--packed={tmp_path / 'b.npz'}"]) == 1
    assert "b.npz: cannot be read" in capsys.readouterr().err


def test_no_more_pairs_are_read_than_a_few_ahead(tmp_path, listed, monkeypatch):
    """A data set does not fit into memory."""
    monkeypatch.setattr("srn_tf.data.packed.os.cpu_count", lambda: 1)
    started, written = [], []
    read = listed.read
    monkeypatch.setattr(listed, "read", lambda index: started.append(index) or read(index))

    def advance():
        written.append(len(started))

    pack(listed, tmp_path / "pairs.npz", advance)
    assert sorted(started) == list(range(9))
    assert all(ahead <= done + 2 for done, ahead in enumerate(written, start=1))


class WithCandidate:
    """Pairs that bring a third picture, which tells its place."""

    names, notes = ["a", "b"], []

    def __len__(self):
        return 2

    def read(self, index):
        blurred = np.random.default_rng(index).integers(0, 256, (20, 24, 3), np.uint8)
        return blurred, 255 - blurred, blurred // 2


def test_what_comes_with_a_blurred_picture_is_cut_and_turned_with_it(tmp_path):
    pack(WithCandidate(), tmp_path / "pairs.npz")
    source = PackedSource(tmp_path / "pairs.npz", CROP)
    assert source.pictures == 3
    changed = AugmentedSource(source, flips=True, turns=True)
    blurred, candidate, sharp = make_batch(changed, range(20), seed=0)
    np.testing.assert_array_equal(candidate, 255 - blurred)
    np.testing.assert_array_equal(sharp, blurred // 2)
    ours, expected = next(iter(Batches(source, 2, channels=3, seed=1)))
    pixels = make_batch(source, range(2), seed=1).astype(np.float32) / 255
    np.testing.assert_array_equal(ours, np.concatenate(pixels[:2], axis=-1))
    np.testing.assert_array_equal(expected, pixels[2])


@pytest.mark.slow
def test_blur_packed_by_any_number_of_processes_is_the_same(tmp_path, photo, capsys):
    for i in range(3):
        write_image(tmp_path / f"photos/{i}.png", photo[100 * i :, :300])
    words = ["blur", "--input_path", str(tmp_path / "photos"), "--count=5", "--window=32"]
    words += ["--seed=3", "--target=centroid", "--camera_noise=1", "--jpeg=75", "--max_blur=6"]
    for jobs in (1, 2):
        store = tmp_path / f"{jobs}.npz"
        assert data.main([*words, "--pack", str(store), f"--jobs={jobs}"]) == 0
    assert (tmp_path / "1.npz").read_bytes() == store.read_bytes()
    assert capsys.readouterr().out.endswith(f"pairs: 5, in {store}\n")
    source = PackedSource(store, 32)
    assert [name.split()[1] for name in source.names] == ["0", "1", "2", "3", "4"]
    assert {name.split()[0] for name in source.names[:3]} == {"0.png", "1.png", "2.png"}


@pytest.mark.slow
def test_what_deconvolution_makes_of_it_is_packed_with_a_blurred_picture(tmp_path, photo):
    write_image(tmp_path / "photos/0.png", photo[:200, :200])
    words = ["blur", f"--input_path={tmp_path / 'photos'}", "--window=96", "--count=1"]
    for name, more in {"alone": [], "with": ["--candidates"]}.items():
        assert data.main([*words, f"--pack={tmp_path / name}.npz", "--jobs=1", *more]) == 0
    (alone,), (pair,) = (PackedSource(tmp_path / f"{n}.npz", 96).pairs for n in ("alone", "with"))
    np.testing.assert_array_equal(pair[:2], alone)
    found = candidates(np.float32(pair[1]) / 255).pictures
    np.testing.assert_allclose(pair[2:], 255 * np.stack(found), rtol=0, atol=0.51)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--output_path=x", "--count=3"], "--count is for a store: it needs --pack"),
        (["--pack=x.npz", "--extent=3"], "--extent is for a folder of pairs"),
        (["--pack=x.npz", "--min_blur=9", "--max_blur=3"], "min_blur must be 0 to max_blur"),
        (["--pack=x.txt"], "x.txt: the name must end in .npz"),
    ],
)
def test_contradictions_of_blur_are_refused(tmp_path, photo, capsys, words, line):
    write_image(tmp_path / "photos/0.png", photo[:40, :40])
    words = ["blur", f"--input_path={tmp_path / 'photos'}", "--window=32", *words]
    if not any(word.startswith("--pack") for word in words):
        words.remove("--window=32")
    assert data.main(words) == 1
    assert line in capsys.readouterr().err
