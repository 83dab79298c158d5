"""A folder that is restored in shards: the same pictures, scores and report as at once."""

import json

import pytest

from srn_tf import UserError
from srn_tf.cli import test as command
from srn_tf.evaluation.report import data_of_report
from srn_tf.evaluation.shards import Shard
from srn_tf.images.rgb import write_image

WORDS = ("--model=wiener", "--blur_length=3", "--blur_angle=0", "--report")  # needs no network


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "as 3/16, not '3'"),
        ("a/b", "as 3/16, not 'a/b'"),
        ("0/4", "1/N to N/N, not 0/4"),
        ("5/4", "1/N to N/N, not 5/4"),
        ("1/-4", "as 3/16"),
    ],
)
def test_what_is_no_shard_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        Shard.parse(text)


@pytest.mark.parametrize("count", [1, 3, 8, 11])
def test_each_item_is_in_one_shard_whatever_their_order(count):
    items = list("hgfedcba")
    shards = [Shard(number, count).of(items, str) for number in range(1, count + 1)]
    assert sorted(item for shard in shards for item in shard) == sorted(items)
    assert shards == [Shard(n, count).of(items[::-1], str) for n in range(1, count + 1)]
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folders of five blurred pictures, one of them damaged, and their sharp ones."""
    import skimage.data

    photo, folder = skimage.data.astronaut(), tmp_path_factory.mktemp("pictures")
    for i in range(5):
        place = f"{'ab'[i % 2]}/{i}.png"
        write_image(folder / "sharp" / place, photo[20 * i : 20 * i + 40, :60])
        write_image(folder / "blurred" / place, photo[20 * i + 1 : 20 * i + 41, 1:61])
    (folder / "blurred" / "a" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def restore(pictures, output, *words: str) -> int:
    blurred, sharp = f"{pictures}/blurred", f"--sharp_path={pictures}/sharp"
    output = f"--output_path={output}"
    return command.main([blurred, "--recursive", sharp, output, *WORDS, *words])


def shown(path) -> dict:
    """What a report shows, but for the times."""
    data = data_of_report(path)
    data["entries"] = [entry | {"seconds": None} for entry in data["entries"]]
    return data


def test_shards_are_merged_to_what_one_run_gives(pictures, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert restore(pictures, whole) == 1
    statuses = [restore(pictures, parts, f"--shard={n}/6") for n in (2, 6, 1, 5, 3)]
    assert statuses == [1, 0, 0, 0, 0]  # the damaged one is the second; the sixth is empty
    capsys.readouterr()
    assert command.main([f"--merge={parts}"]) == 1
    assert capsys.readouterr().err == f"srn-test: {parts}: not there yet, of 6 shards: 4\n"
    assert restore(pictures, parts, "--shard=4/6") == 0
    assert command.main([f"--merge={parts}"]) == 0
    for name in ("scores.json", "scores.csv", "a/0.png", "b/1.png"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name
    assert shown(parts / "report.html") == shown(whole / "report.html")
    assert len(shown(parts / "report.html")["failures"]) == 1


def test_an_infinite_score_stays_one(pictures, tmp_path):
    folder = tmp_path / "parts"
    blurred, output = f"{pictures}/sharp", f"--output_path={folder}"
    sharp = f"--sharp_path={pictures}/sharp"
    for n in (1, 2):
        assert command.main([blurred, "-recursive", sharp, output, *WORDS, f"--shard={n}/2"]) == 0
    assert command.main([f"--merge={folder}"]) == 0
    rows = json.loads((folder / "scores.json").read_text())
    assert [row["blurred_psnr"] for row in rows["pictures"]] == [None] * 5
    assert "inf" in (folder / "scores.csv").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--merge=no/such"], "no/such: no such folder"),
        (["--merge=.", "--report"], "--report has no part beside --merge"),
        (["--merge=.", "photo.png"], "photo.png: an input has no part beside --merge"),
        (["--merge=."], ".: no scores of shards"),
        (["a.mp4", "--shard=1/2"], "--shard has no part beside a video"),
    ],
)
def test_mistakes(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(words) == 1
    assert message in capsys.readouterr().err


def test_shards_of_two_divisions_are_not_mixed(tmp_path, capsys):
    for name in ("scores.1-of-2.json", "scores.2-of-3.json"):
        (tmp_path / name).write_text('{"pictures": []}')
    assert command.main([f"--merge={tmp_path}"]) == 1
    assert "has scores of 2 and of 3 shards" in capsys.readouterr().err
