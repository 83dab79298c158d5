"""The API of srn-serve: test.py's bytes, one clear error for everything else, nothing left over."""

import asyncio
import contextlib
import io
import json
import re
import signal
import socket
import struct
import threading
import time
import zlib

import httpx
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from serving import SECONDS, Server

import srn_tf
from srn_tf.images.read import read_picture
from srn_tf.service.methods import Method
from srn_tf.service.worker import Draining, Order, Workers

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(height: int, width: int, channels: int = 3, dtype=np.uint8, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)
    return pixels[..., 0] if channels == 1 else pixels


def encoded(pixels: np.ndarray, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def tiff(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", resolution=(300, 300))
    return buffer.getvalue()


def jpeg_with_all() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    return encoded(noise(40, 60), "JPEG", exif=exif, icc_profile=PROFILE, quality=90)


PICTURES = {
    "turned, with EXIF and profile.jpg": jpeg_with_all(),
    "alpha and profile.png": encoded(noise(33, 47, 4), icc_profile=PROFILE, dpi=(300, 300)),
    "gray of 16 bits.png": encoded(noise(20, 30, 1, np.uint16)),
    "16 bits.tif": tiff(noise(24, 40, 3, np.uint16)),
    "lossless.webp": encoded(noise(24, 40), "WEBP", lossless=True),
}


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.address, timeout=SECONDS) as client:
        yield client


def restored(client, content: bytes, **options) -> httpx.Response:
    answer = client.post("/api/restore", content=content, params=options)
    assert answer.status_code == 200, answer.text
    return answer


def wait_until(condition) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def at_rest(client, server) -> bool:
    return client.get("/api/health").json()["pictures"] == 0 and server.stored() == []


@pytest.mark.slow
def test_answers_are_what_the_command_writes(client, server, restored_by_command, tmp_path):
    for name, content in PICTURES.items():
        (tmp_path / name).write_bytes(content)
    expected = restored_by_command(tmp_path)
    kinds = {"jpg": "image/jpeg", "png": "image/png", "tif": "image/tiff", "webp": "image/webp"}
    for name, content in PICTURES.items():
        raw = restored(client, content)
        form = client.post("/api/restore", files={"file": (name, content)})
        assert raw.content == form.content == expected[name], name
        assert raw.headers["content-type"] == kinds[name.split(".")[1]]
    wait_until(lambda: at_rest(client, server))


def test_format_and_quality_are_the_command_s_and_what_is_lost_is_told(
    client, restored_by_command, checkpoint, tmp_path
):
    name = "alpha and profile.png"
    (tmp_path / name).write_bytes(PICTURES[name])
    words = f"--checkpoint={checkpoint}", "--format=jpg", "--quality=40"
    expected = restored_by_command(tmp_path, *words)
    answer = restored(client, PICTURES[name], format="jpg", quality=40)
    assert answer.content == expected["alpha and profile.jpg"]
    assert json.loads(answer.headers["srn-notes"]) == ["alpha is dropped, as JPEG has none"]


def test_a_method_and_its_strength(client, restored_by_command, tmp_path):
    content = encoded(noise(64, 64))
    (tmp_path / "a.png").write_bytes(content)
    expected = restored_by_command(tmp_path, "--model=blind", "--strength=0.5")
    answer = restored(client, content, method="blind", strength=0.5)
    assert answer.content == expected["a.png"]
    assert json.loads(answer.headers["srn-notes"])  # what it decided


def test_models_names_what_there_is(client):
    methods = {
        each["name"]: each["strength"] for each in client.get("/api/models").json()["methods"]
    }
    assert list(methods)[:2] == ["small", "chooser"]
    assert methods["blind"]
    assert not methods["chooser"]


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def black(side: int, rows: int) -> bytes:
    """A PNG of one bit a pixel that is to be `side` pixels wide and high, and has so many rows."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes((side // 8 + 1) * rows))
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


GOOD = encoded(noise(16, 16))
FORM = {"content-type": "multipart/form-data; boundary=x"}


def part(disposition: str, content: bytes = GOOD) -> bytes:
    return b"--x\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (
        disposition.encode(),
        content,
    )


FILE = part('name="file"; filename="a.png"')


@pytest.mark.parametrize(
    ("content", "headers", "options", "status", "words"),
    [
        (b"", {}, {}, 400, "there is no picture"),
        (b"hello", {}, {}, 415, "picture: not a picture that can be read (of no known kind)"),
        (b"GIF89a" + bytes(99), {}, {}, 415, "GIF is none of"),
        (GOOD[: len(GOOD) // 2], {}, {}, 422, "picture: not a picture that can be read"),
        (GOOD[:20], {}, {}, 422, "picture: not a picture that can be read"),
        (black(16000, 16000), {}, {}, 413, "16000x16000 is 256 megapixels, and the limit is 0.5"),
        (black(60000, 9), {}, {}, 422, "picture: not a picture that can be read"),
        (bytes(3 * 10**6), {}, {}, 413, "larger than 2 MB"),
        (GOOD, {"content-type": "multipart/form-data"}, {}, 400, "it has no boundary"),
        (GOOD, FORM, {}, 400, "the form is malformed"),
        (FILE, FORM, {}, 400, "it does not end"),
        (b"--x--\r\n", FORM, {}, 400, "there is no file among"),
        (part('name="quality"', b"9") + b"--x--\r\n", FORM, {}, 400, "into the address, as ?qua"),
        (FILE + FILE + b"--x--\r\n", FORM, {}, 400, "there are several files"),
        (part('filename="../b"', b"?") + b"--x--\r\n", FORM, {}, 415, "../b: not a picture"),
        (GOOD, {}, {"method": "best"}, 422, "method: must be one of small, chooser"),
        (GOOD, {}, {"strength": 0.5}, 422, "strength: small has none"),
        (GOOD, {}, {"strength": 2, "method": "blind"}, 422, "strength: "),
        (GOOD, {}, {"format": "exe"}, 422, "format: "),
        (GOOD, {}, {"quality": 0}, 422, "quality: "),
        (GOOD, {"host": "evil.example"}, {}, 400, "is not the name of this machine"),
        (GOOD, {"origin": "https://evil.example"}, {}, 403, "pages of other sites"),
    ],
)
def test_a_request_that_cannot_be_answered_gets_one_line(
    client, server, content, headers, options, status, words
):
    answer = client.post("/api/restore", content=content, headers=headers, params=options)
    assert answer.status_code == status
    assert answer.json().keys() == {"error"}
    assert words in answer.json()["error"]
    assert str(server.folder) not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    wait_until(lambda: at_rest(client, server))


def test_other_addresses_and_verbs(client):
    assert client.get("/nothing").status_code == 404
    assert client.get("/api/restore").status_code == 405
    assert client.get("/../../etc/passwd").status_code == 404
    assert client.get("/page/%2e%2e/config.py").status_code == 404
    described = client.get("/openapi.json").json()
    answers = described["paths"]["/api/restore"]["post"]["responses"]
    assert {"200", "400", "413", "415", "422", "503"} <= answers.keys()


@pytest.mark.long
def test_two_hundred_at_once_are_neither_lost_nor_mixed_up(
    client, server, restored_by_command, tmp_path
):
    contents = {f"{i:03}.png": encoded(noise(24 + 8 * (i % 3), 32, seed=i + 1)) for i in range(200)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    expected = restored_by_command(tmp_path)

    async def post_all():
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=server.address, timeout=SECONDS, limits=limits
        ) as many:
            posts = (many.post("/api/restore", content=each) for each in contents.values())
            return await asyncio.gather(*posts)

    answers = dict(zip(contents, asyncio.run(post_all()), strict=True))
    assert {name: answer.content for name, answer in answers.items()} == expected
    assert server.peak_memory() < 3
    wait_until(lambda: at_rest(client, server))


def begun(server, length: int) -> socket.socket:
    """A connection on which a picture has begun to come."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
    head = f"POST /api/restore HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + GOOD[:100])
    return connection


def test_beyond_the_queue_requests_are_told_to_come_again(client, server):
    waiting = [begun(server, len(GOOD)) for _ in range(220)]
    wait_until(lambda: client.get("/api/health").json()["pictures"] == 220)
    answer = client.post("/api/restore", content=GOOD)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    for connection in waiting:
        connection.close()
    wait_until(lambda: at_rest(client, server))


def test_who_goes_while_it_is_at_work_leaves_nothing(client, server):
    content = encoded(noise(700, 700))
    connections = [begun(server, len(content)) for _ in range(12)]
    for connection in connections:
        connection.sendall(content[100:])
    wait_until(lambda: len(server.stored()) >= 12)
    for connection in connections:
        connection.close()
    wait_until(lambda: at_rest(client, server))


@pytest.mark.long
def test_a_client_that_is_too_slow_is_cut_off(client, server):
    with begun(server, 10**6) as connection:
        assert b"408" in connection.recv(99)
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
        for letter in b"POST /api/re":  # of headers that never end
            try:
                connection.sendall(bytes([letter]))
            except OSError:
                break
            time.sleep(1)
        else:
            assert connection.recv(99) == b""
    wait_until(lambda: at_rest(client, server))


@pytest.mark.long
def test_a_token_kill_9_restart_and_the_end(checkpoint, tmp_path):
    first = Server(tmp_path, f"--checkpoint={checkpoint}", "--host=0.0.0.0", "--token=secret")
    address = first.address
    assert httpx.get(f"{address}/api/health").status_code == 200
    assert httpx.get(f"{address}/").status_code == 200
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer guess"}, 401),
        ({"Authorization": "Bearer secret"}, 200),
    ):
        assert httpx.get(f"{address}/api/models", headers=headers).status_code == status
    assert first.end(signal.SIGKILL)[1] == ""  # no warning: there is a token
    assert len(list(tmp_path.glob(".srn-*"))) == 1

    second = Server(tmp_path, f"--checkpoint={checkpoint}", "--host=0.0.0.0", "--grace=60")
    assert len(list(tmp_path.glob(".srn-*"))) == 1  # what was left is gone
    content = encoded(noise(900, 900))

    async def post_and_end():
        async with httpx.AsyncClient(base_url=second.address, timeout=SECONDS) as client:
            posts = [client.post("/api/restore", content=content) for _ in range(6)]
            posts = asyncio.gather(*posts)
            while (await client.get("/api/health")).json()["pictures"] < 6:
                await asyncio.sleep(0.01)
            while len(second.stored()) < 6:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            second.process.send_signal(signal.SIGTERM)
            return await posts

    statuses = sorted(answer.status_code for answer in asyncio.run(post_and_end()))
    assert {*statuses} == {200, 503}
    _, errors = second.process.communicate(timeout=SECONDS)
    assert second.process.returncode == 0, errors
    assert re.fullmatch(r"srn-serve: 0\.0\.0\.0: whoever reaches .* --token .*\n", errors)
    assert list(tmp_path.glob(".srn-*")) == []


def test_a_preview_is_the_picture_of_eight_bits(client, tmp_path):
    answer = client.post("/api/preview", content=PICTURES["16 bits.tif"])
    assert answer.headers["content-type"] == "image/png"
    (tmp_path / "a.png").write_bytes(answer.content)
    expected = np.rint(noise(24, 40, 3, np.uint16) / 257)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels, expected)


class Inverse:
    """Restores by making the negative; remembers how many pictures it had at once."""

    def __init__(self):
        self.counts, self.begun, self.go = [], threading.Event(), threading.Event()

    def deblur_batch(self, images, on_tile):
        self.begun.set()
        self.go.wait(SECONDS)
        self.counts.append(len(images))
        on_tile(1, 1)
        return 255 - images


def test_equal_pictures_are_restored_together_in_the_order_they_came(tmp_path):
    inverse = Inverse()
    method = Method("inverse", "", checkpoint=tmp_path)
    workers = Workers([contextlib.nullcontext], lambda *_: inverse, 3, method)
    orders = []
    for i, height in enumerate((8, 8, 9, 8, 8, 9, 8)):
        source, target = tmp_path / f"{i}.png", tmp_path / f"{i}.out.png"
        source.write_bytes(encoded(noise(height, 16, seed=i)))
        order = Order(source, target, (height, 16), height * 16, method, None, 95, 1)
        orders.append(order)
    gone = orders.pop(4)
    workers.submit(orders[0])
    assert inverse.begun.wait(SECONDS)  # the device is busy: what comes now waits
    for order in (*orders[1:4], gone, *orders[4:]):
        workers.submit(order)
    gone.abandon()
    assert workers.ahead_of(orders[-1]) >= 1
    inverse.go.set()
    for i, order in enumerate(orders):
        assert order.done.result(SECONDS) == ()
        expected = 255 - read_picture(order.source).pixels
        np.testing.assert_array_equal(read_picture(order.target).pixels, expected, str(i))
    assert inverse.counts == [1, 3, 2]
    assert not gone.target.exists()
    workers.drain()
    assert workers.join(SECONDS)
    with pytest.raises(Draining):
        workers.submit(gone)


def test_flags_outside_their_rules(capsys):
    from srn_tf.cli import serve

    for words, message in (
        (["--grace=1"], "grace must be at least 2 seconds, not 1.0"),
        (["--max_upload_mb=9000"], "max_stored_mb must be >= max_upload_mb, not 2000.0"),
        (["--checkpoint=no/such"], "no/such: no such checkpoint"),
        (["--host=no.such.invalid"], "srn-serve: no.such.invalid:8000: "),
    ):
        assert serve.main(words) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


@pytest.mark.slow
def test_the_first_method_is_the_command_s_default():
    from srn_tf.checkpoints import places
    from srn_tf.service.methods import available

    assert next(iter(available().values())).checkpoint == places.shipped()
    with pytest.raises(srn_tf.UserError, match="no such checkpoint"):
        available("no/such")
