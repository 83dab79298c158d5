"""The report: the file itself, and the page in a real Chromium."""

import dataclasses
import json
import os
import pathlib
import re
import sys
import urllib.parse

import cv2
import numpy as np
import pytest
from browsing import drag, find, wait, wait_for_pictures

from srn_tf.evaluation import report
from srn_tf.evaluation.report import Entry, thumbnail, write_report
from srn_tf.images.rgb import write_image

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)
AWKWARD = [
    "a b#c?d%20e.png",
    "quo'te\"<b>&amp;.png",
    "Ärger 日本.png",
    "c:d\\e.png",
    "x/../__DATA__",
]
if sys.platform == "linux":  # elsewhere a file name must be valid text
    AWKWARD.append(os.fsdecode(b"byte\xff.png"))


def flat(colour, width=60, height=40) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def entry(tmp_path, name="a.png", width=60, height=40, write=True, **changes) -> Entry:
    """A picture that is all red when blurred and all blue when restored."""
    blurred, restored = tmp_path / "in" / name, tmp_path / "out" / name
    pictures = flat(RED, width, height), flat(BLUE, width, height)
    if write:
        write_image(blurred, pictures[0])
        write_image(restored, pictures[1])
    thumbnails = tuple(thumbnail(picture) for picture in pictures)
    entry = Entry(name, blurred, restored, width, height, thumbnails, 1.5, None)
    return dataclasses.replace(entry, **changes)


def scores(before: float, after: float) -> dict:
    return {"blurred_psnr": before, "blurred_ssim": 0.5, "psnr": after, "ssim": 0.75}


def data_of(page: pathlib.Path) -> dict:
    """What the page carries for its script."""
    (text,) = re.findall(
        '<script type="application/json" id="data">(.*)</script>', page.read_text()
    )
    return json.loads(text)


# ---- The file


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (40, 60), (720, 1280)])
def test_a_thumbnail_keeps_its_colours_and_shape_and_is_never_enlarged(size):
    height, width = size
    encoded = np.frombuffer(thumbnail(flat(RED, width, height)), np.uint8)
    small = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
    scale = min(1, report.THUMBNAIL_SIDE / max(size))
    assert small.shape[:2] == tuple(max(1, round(side * scale)) for side in size)
    np.testing.assert_allclose(small.mean((0, 1)), RED, atol=4)


@pytest.mark.parametrize("name", AWKWARD)
def test_links_reach_files_of_any_name_relative_to_the_report(tmp_path, monkeypatch, name):
    picture = entry(tmp_path, name, write=False)
    monkeypatch.chdir(tmp_path)
    for page in (tmp_path / "out" / "report.html", pathlib.Path("report.html")):
        write_report(page, [picture], "")
        (data,) = data_of(page)["entries"]
        for link, file in zip(data["files"], (picture.blurred, picture.restored), strict=True):
            address = urllib.parse.urlsplit(urllib.parse.urljoin(page.absolute().as_uri(), link))
            reached = os.fsdecode(urllib.parse.unquote_to_bytes(address.path))
            assert reached == os.path.normpath(file)
            assert not address.query
            assert not address.fragment
            assert not link.startswith(("/", "file:"))


def test_a_sharp_picture_and_failures_are_in_the_page(tmp_path):
    sharp = tmp_path / "sharp" / "a b.png"
    thumbnails = tuple(thumbnail(flat(colour)) for colour in (RED, BLUE, GREEN))
    with_sharp = entry(tmp_path, sharp=sharp, thumbnails=thumbnails)
    page = tmp_path / "out" / "report.html"
    write_report(page, [with_sharp, entry(tmp_path, "b.png")], "", ["c\udcff.png: damaged"])
    data = data_of(page)
    files = [picture["files"] for picture in data["entries"]]
    assert files == [["../in/a.png", "a.png", "../sharp/a%20b.png"], ["../in/b.png", "b.png"]]
    assert [len(picture["thumbnails"]) for picture in data["entries"]] == [3, 2]
    assert data["failures"] == ["c\ufffd.png: damaged"]


def test_a_name_cannot_end_the_script_that_holds_it(tmp_path):
    name = "</script><script>alert(1)</script><!--"
    write_report(tmp_path / "r.html", [entry(tmp_path, name, write=False)], name)
    assert name not in (tmp_path / "r.html").read_text()
    assert "alert" in (tmp_path / "r.html").read_text()
    data = data_of(tmp_path / "r.html")
    assert data["title"] == data["entries"][0]["name"] == name


def test_infinite_and_missing_scores_are_still_json(tmp_path):
    infinite = entry(tmp_path, scores=scores(np.float32(20), float("inf")))
    undefined = entry(tmp_path, scores=scores(float("-inf"), float("nan")), seconds=None)
    write_report(tmp_path / "r.html", [infinite, undefined, entry(tmp_path)], "")
    one, other, none = (data["scores"] for data in data_of(tmp_path / "r.html")["entries"])
    assert (one["blurred_psnr"], one["psnr"]) == (20, "Infinity")
    assert (other["blurred_psnr"], other["psnr"]) == ("-Infinity", "NaN")
    assert none is None


def test_a_report_that_fails_leaves_the_old_one_and_no_rubbish(tmp_path, monkeypatch):
    page = tmp_path / "report.html"
    write_report(page, [entry(tmp_path)], "old")
    before = sorted(tmp_path.iterdir())

    def full_disk(path, text, **_):
        path.write_bytes(text.encode()[:1000])
        raise OSError("no space left")

    monkeypatch.setattr(pathlib.Path, "write_text", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_report(page, [entry(tmp_path)], "new")
    assert data_of(page)["title"] == "old"
    assert sorted(tmp_path.iterdir()) == before


def test_the_page_names_no_other_machine(tmp_path):
    write_report(tmp_path / "r.html", [], "")
    assert not re.search(r"https?:|src=|@import", (tmp_path / "r.html").read_text())


# ---- The page in a browser


@pytest.fixture
def show(browser, tmp_path):
    """Writes a report of the entries and opens it; at the end its console must have no error."""

    def show(*entries, failed=()):
        write_report(tmp_path / "out" / "report.html", entries, "A report", failed)
        browser.get((tmp_path / "out" / "report.html").as_uri())
        return browser

    browser.get_log("browser")
    yield show
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


def open_viewer(browser, card=1):
    find(browser, f".card:nth-child({card}) button").click()
    wait_for_pictures(browser)


def blurred_share(browser, selector) -> float:
    """How much of the slider's width shows the blurred, red picture: from its pixels."""
    wait_for_pictures(browser)
    png = np.frombuffer(find(browser, selector).screenshot_as_png, np.uint8)
    row = cv2.imdecode(png, cv2.IMREAD_COLOR_RGB)[12].astype(int)  # above knob and labels
    red, blue = row[:, 0] > 150, row[:, 2] > 150
    line = np.flatnonzero(red & blue)
    assert (red | blue)[3:-3].mean() > 0.95
    # Red must be on the left and blue on the right of the white line.
    pure = np.where(red & ~blue, 1, 0)
    pure[line] = 0
    share = pure.mean()
    assert pure[: int(share * len(row) * 0.98)].all()
    return share


def swipe(browser, selector, start, end):
    """Moves a finger over an element, between two points given in shares of its size."""
    box = browser.execute_script(
        "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()", selector
    )
    points = [
        {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        for x, y in np.linspace(start, end, 8)
    ]
    for kind, touches in (
        ("touchStart", points[:1]),
        *(("touchMove", [point]) for point in points[1:]),
        ("touchEnd", []),
    ):
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})


@pytest.mark.browser
@pytest.mark.parametrize("place", [".card", "dialog"])
@pytest.mark.slow
def test_the_mouse_moves_the_slider(show, tmp_path, place):
    browser = show(entry(tmp_path, width=600, height=400))
    if place == "dialog":
        open_viewer(browser)
    slider = f"{place} .compare"
    assert blurred_share(browser, slider) == pytest.approx(0.5, abs=0.02)
    drag(browser, slider, 0.5, 0.2)
    assert blurred_share(browser, slider) == pytest.approx(0.2, abs=0.02)
    drag(browser, slider, 0.9, 0.8)  # from anywhere, not only from the handle
    assert blurred_share(browser, slider) == pytest.approx(0.8, abs=0.02)


@pytest.mark.browser
@pytest.mark.parametrize("place", [".card", "dialog"])
@pytest.mark.slow
def test_a_finger_moves_the_slider(show, tmp_path, place):
    browser = show(entry(tmp_path, width=600, height=400))
    if place == "dialog":
        open_viewer(browser)
    slider = f"{place} .compare"
    swipe(browser, slider, (0.3, 0.6), (0.75, 0.62))
    assert blurred_share(browser, slider) == pytest.approx(0.75, abs=0.02)
    swipe(browser, slider, (0.1, 0.5), (0.1, 0.5))  # a tap
    assert blurred_share(browser, slider) == pytest.approx(0.1, abs=0.02)


@pytest.mark.browser
def test_a_finger_that_scrolls_the_page_leaves_the_slider(show, tmp_path):
    browser = show(*(entry(tmp_path, f"{i}.png") for i in range(12)))
    swipe(browser, ".compare", (0.2, 0.9), (0.2, -0.5))
    wait(browser, "scrollY > 50")
    assert find(browser, ".card input").get_attribute("value") == "50"


@pytest.mark.browser
@pytest.mark.slow
def test_keys_move_the_slider_and_screen_readers_hear_it(show, tmp_path):
    from selenium.webdriver import Keys

    browser = show(entry(tmp_path))
    slider = find(browser, ".card input")
    assert slider.aria_role == "slider"
    assert slider.accessible_name == "blurred and restored, a.png"
    for keys, share in (
        (Keys.HOME, 0),
        (Keys.END, 1),
        (Keys.ARROW_LEFT * 10, 0.9),
        (Keys.ARROW_RIGHT * 5, 0.95),
        (Keys.PAGE_DOWN * 2, 0.75),
    ):
        slider.send_keys(keys)
        assert blurred_share(browser, ".card .compare") == pytest.approx(share, abs=0.02)
        assert slider.get_attribute("ariaValueText") == f"{round(100 * share)} % blurred"


@pytest.mark.browser
@pytest.mark.slow
def test_the_sharp_picture_takes_the_place_of_the_restored_one_and_gives_it_back(show, tmp_path):
    thumbnails = tuple(thumbnail(flat(colour)) for colour in (RED, BLUE, GREEN))
    write_image(tmp_path / "sharp.png", flat(GREEN))
    sharp = tmp_path / "sharp.png"
    browser = show(
        entry(tmp_path, sharp=sharp, thumbnails=thumbnails), entry(tmp_path, "b.png"), failed=["c"]
    )
    assert find(browser, ".failures li").text == "c"
    shown = [each.is_displayed() for each in browser.find_elements("css selector", ".card .sharp")]
    assert shown == [True, False]

    def right(place) -> list[int]:
        """The colour near the right edge, of its channels the largest; and the label."""
        wait_for_pictures(browser)
        png = np.frombuffer(find(browser, f"{place} .compare").screenshot_as_png, np.uint8)
        colour = cv2.imdecode(png, cv2.IMREAD_COLOR_RGB)[4, -6]
        label = find(browser, f"{place} .restored .label").get_attribute("textContent")
        return [int(colour.argmax()), label]

    assert right(".card") == [2, "restored"]
    find(browser, ".card .sharp").click()
    assert right(".card") == [1, "sharp"]
    open_viewer(browser)
    find(browser, "#sharp").click()
    assert right("dialog") == [1, "sharp"]
    find(browser, "dialog").send_keys("s")
    assert right("dialog") == [2, "restored"]
    find(browser, "#next").click()
    assert not find(browser, "#sharp").is_displayed()


@pytest.mark.browser
@pytest.mark.slow
def test_sorting_is_by_number_and_puts_missing_ones_last(show, tmp_path):
    from selenium.webdriver.support.ui import Select

    browser = show(
        entry(tmp_path, "p10.png", seconds=9.5, scores=scores(20, 10)),
        entry(tmp_path, "p2.png", seconds=100.0, scores=scores(14, 9)),
        entry(tmp_path, "p1.png", seconds=None, scores=scores(20, float("inf"))),
        entry(tmp_path, "P3.png", seconds=20.0, scores=None),
    )

    def names():
        titles = browser.find_elements("css selector", ".card h2")
        return [title.text.removesuffix(".png") for title in titles]

    key = Select(find(browser, "#key"))
    options = ["Name", "Time", "PSNR", "PSNR gain", "SSIM", "SSIM gain"]
    assert [option.text for option in key.options] == options
    assert names() == ["p1", "p2", "P3", "p10"]
    for name, ascending, descending in (
        ("Time", ["p10", "P3", "p2", "p1"], ["p2", "P3", "p10", "p1"]),
        ("PSNR", ["p2", "p10", "p1", "P3"], ["p1", "p10", "p2", "P3"]),
        ("PSNR gain", ["p10", "p2", "p1", "P3"], ["p1", "p2", "p10", "P3"]),
        ("Name", ["p1", "p2", "P3", "p10"], ["p10", "P3", "p2", "p1"]),
    ):
        key.select_by_visible_text(name)
        assert names() == ascending
        find(browser, "#direction").click()
        assert names() == descending
        find(browser, "#direction").click()


@pytest.mark.browser
def test_scores_and_their_means_are_shown_with_the_gain(show, tmp_path):
    browser = show(
        entry(tmp_path, "a.png", scores=scores(20, 21.5), seconds=2.0),
        entry(tmp_path, "b.png", scores=scores(30, 29), seconds=4.0),
    )
    summary = find(browser, ".summary").text.splitlines()
    assert summary == [
        *("Pictures", "2", "PSNR, mean", "25.00 → 25.25 +0.25 dB"),
        *("SSIM, mean", "0.5000 → 0.7500 +0.2500"),
        *("Time of the network", "6.00 s 3.00 s a picture"),
    ]
    cards = [card.text for card in browser.find_elements("css selector", ".card")]
    assert "PSNR 20.00 → 21.50 +1.50 dB" in cards[0]
    assert "PSNR 30.00 → 29.00 \N{MINUS SIGN}1.00 dB" in cards[1]
    identical = entry(tmp_path, scores=scores(20, float("inf")), seconds=None)
    browser = show(identical, dataclasses.replace(identical, scores=scores(*[float("inf")] * 2)))
    cards = [card.text for card in browser.find_elements("css selector", ".card")]
    assert "PSNR 20.00 → ∞ +∞ dB" in cards[0]
    assert "restored earlier" in cards[0]
    assert "PSNR ∞ → ∞ 0.00 dB" in cards[1]
    browser = show(entry(tmp_path, "a.png", scores=scores(20, 21.5)), identical)
    summary = find(browser, ".summary").text.splitlines()
    assert summary[2:6] == [
        *("PSNR, mean of 1", "20.00 → 21.50 +1.50 dB"),
        *("SSIM, mean", "0.5000 → 0.7500 +0.2500"),
    ]


@pytest.mark.browser
@pytest.mark.slow
def test_names_are_shown_as_they_are_and_their_files_open_at_full_size(show, tmp_path):
    names = [name for name in AWKWARD if name.endswith(".png")] + [
        "<img src=x onerror=alert(1)>.png"
    ]
    pictures = {}
    for number, name in enumerate(names):
        pictures[name] = entry(tmp_path, name, width=400 + number, height=30)
    browser = show(*pictures.values())
    # A byte that is no text shows as the usual replacement.
    shown = {re.sub("[\udc80-\udcff]", "\ufffd", name): name for name in names}
    for number in range(1, len(names) + 1):
        name = shown[find(browser, f".card:nth-child({number}) h2").text]
        open_viewer(browser, number)
        assert find(browser, "#viewed").text in shown
        widths = browser.execute_script(
            "return [...document.querySelectorAll('dialog img')].map((image) => image.naturalWidth)"
        )
        assert widths == [pictures[name].width] * 2
        assert not find(browser, ".notice").is_displayed()
        find(browser, "#close").click()


@pytest.mark.browser
@pytest.mark.slow
def test_at_100_percent_one_pixel_is_one_pixel_and_a_drag_moves_the_picture(show, tmp_path):
    from selenium.webdriver import ActionChains, Keys

    # Red turns yellow, and blue turns light, in the right half of the picture.
    picture = entry(tmp_path, width=3000, height=1200)
    for file, colour in ((picture.blurred, RED), (picture.restored, BLUE)):
        pixels = flat(colour, 3000, 1200)
        pixels[:, 1500:, 1] = 220
        write_image(file, pixels)
    browser = show(picture, entry(tmp_path, "b.png"))
    measure = (
        "return [...document.querySelectorAll('dialog img')].map((image) =>"
        "[image.naturalWidth, image.naturalHeight, image.width, image.height])"
    )
    open_viewer(browser)
    assert browser.execute_script(measure)[0][2] <= 1280
    find(browser, "#zoom").click()
    assert browser.execute_script(measure) == [[3000, 1200, 3000, 1200]] * 2

    def edge():
        """Where the picture's middle is on the screen, from the colours of both sides."""
        png = np.frombuffer(find(browser, "dialog .compare").screenshot_as_png, np.uint8)
        row = cv2.imdecode(png, cv2.IMREAD_COLOR_RGB)[12].astype(int)
        split = int((row[:, 0] > 150).sum())
        return int(np.argmax(row[:, 1] > 150)), split

    split = edge()[1]
    width = find(browser, "dialog .compare").size["width"]
    assert split == pytest.approx(width / 2, abs=4)
    drag(browser, "dialog .compare", 0.2, 0.3)
    moved = round(width * 0.3) - round(width * 0.2)
    browser.execute_script("document.querySelector('dialog .handle').style.display = 'none'")
    assert edge()[0] == pytest.approx(width / 2 + moved, abs=2)
    assert edge()[1] == pytest.approx(width / 2, abs=4)
    browser.execute_script("document.querySelector('dialog .handle').style.display = ''")
    drag(browser, "dialog .compare", 0.5, 0.9)  # by the handle
    assert edge()[1] == pytest.approx(width * 0.9, abs=4)
    ActionChains(browser).send_keys("z").perform()
    assert browser.execute_script(measure)[0][2] <= 1280
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not find(browser, "dialog").is_displayed()


@pytest.mark.browser
@pytest.mark.slow
def test_keys_and_buttons_turn_the_pages_in_the_order_of_the_cards(show, tmp_path):
    from selenium.webdriver import ActionChains, Keys

    browser = show(*(entry(tmp_path, f"{name}.png") for name in "abc"))
    find(browser, "#direction").click()
    find(browser, ".card input").send_keys(Keys.ENTER)
    assert find(browser, "#zoom").get_attribute("aria-pressed") == "false"
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    find(browser, ".card button").send_keys(Keys.ENTER)

    def viewed():
        return find(browser, "#viewed").text

    assert viewed() == "c.png"
    for key, name in (
        (Keys.ARROW_RIGHT, "b.png"),
        (Keys.ARROW_LEFT, "c.png"),
        (Keys.ARROW_LEFT, "a.png"),
        (Keys.PAGE_UP, "b.png"),
    ):
        ActionChains(browser).send_keys(key).perform()
        assert viewed() == name
    find(browser, "#next").click()
    assert viewed() == "a.png"
    find(browser, "dialog input").send_keys(Keys.ARROW_LEFT)  # the slider's own key
    assert viewed() == "a.png"
    assert float(find(browser, "dialog input").get_attribute("value")) < 50
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    wait(browser, "document.activeElement.ariaLabel === 'Full size, a.png'")


@pytest.mark.browser
def test_where_a_file_cannot_be_shown_its_thumbnail_is_enlarged_and_a_line_says_so(show, tmp_path):
    browser = show(entry(tmp_path, "0.tif", width=600, height=400), entry(tmp_path))
    open_viewer(browser)
    notice = find(browser, ".notice")
    wait(browser, "document.querySelector('.notice').textContent.includes('and the restored')")
    assert notice.is_displayed()
    assert "the browser cannot show the blurred and the restored file" in notice.text
    assert find(browser, "dialog img").size == {"width": 600, "height": 400}
    assert blurred_share(browser, "dialog .compare") == pytest.approx(0.5, abs=0.02)
    find(browser, "#next").click()
    assert not notice.is_displayed()


@pytest.mark.browser
def test_500_pictures_load_only_what_is_near_the_window(show, tmp_path):
    one = entry(tmp_path)
    browser = show(*(dataclasses.replace(one, name=f"{i}.png") for i in range(500)))
    assert len(browser.find_elements("css selector", ".card")) == 500
    wait(browser, "document.images.length > 0")
    wait_for_pictures(browser)
    assert browser.execute_script("return document.images.length") < 100
    browser.execute_script("document.querySelector('.card:last-child').scrollIntoView()")
    wait(browser, "document.querySelectorAll('.card:last-child img').length === 2")
    assert browser.execute_script("return document.images.length") < 200
    loaded = "return [...document.images].filter((image) => !image.src.startsWith('data:')).length"
    assert browser.execute_script(loaded) == 0
