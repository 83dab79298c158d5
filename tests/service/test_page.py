"""The page of srn-serve in a real Chromium."""

import io
import pathlib
import re
import time
import zipfile

import numpy as np
import pytest
from browsing import drag, find, wait, wait_for_pictures
from PIL import Image
from serving import SECONDS

from srn_tf.service import app

PAGE = pathlib.Path(app.__file__).parent / "page"


def patch(colour, width: int = 60, height: int = 40) -> np.ndarray:
    pixels = np.full((height, width, 3), colour, np.uint8)
    pixels[::4] //= 2
    return pixels


@pytest.fixture
def photos(tmp_path):
    """A folder of two pictures, one of them of a kind that browsers cannot show."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(patch((200, 60, 10))).save(folder / "a b.png")
    Image.fromarray(patch((20, 60, 210), 48, 64)).save(folder / "c.tif")
    return folder


@pytest.fixture
def page(browser, server, tmp_path):
    """The page, which may load nothing from elsewhere; at the end its console has no error."""
    downloads = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
    browser.get_log("browser")
    browser.get(server.address)
    wait(browser, "document.querySelector('#method').length > 2")
    yield browser
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map(({ name }) => name)"
    )
    inside = ("blob:", "data:", server.address)
    assert [name for name in asked if not name.startswith(inside)] == []
    errors = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert [line for line in errors if " 415 " not in line] == []


def choose(browser, *files: pathlib.Path) -> None:
    find(browser, "#files").send_keys("\n".join(map(str, files)))


def wait_for_results(browser, count: int) -> None:
    wait(browser, f"document.querySelectorAll('.card .compare').length === {count}", SECONDS)
    wait_for_pictures(browser)


def downloaded(path: pathlib.Path) -> bytes:
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    return path.read_bytes()


@pytest.mark.browser
@pytest.mark.slow
def test_two_pictures_are_restored_compared_and_downloaded(
    page, photos, restored_by_command, tmp_path
):
    expected = restored_by_command(photos)
    choose(page, *sorted(photos.iterdir()))
    wait_for_results(page, 2)
    assert find(page, "#count").text == "2 of 2 restored"

    slider = find(page, ".card input")
    assert slider.accessible_name == "blurred and restored, a b.png"
    drag(page, ".card .compare", 0.5, 0.2)
    assert float(slider.get_attribute("value")) == pytest.approx(20, abs=2)

    find(page, ".card .download").click()
    assert downloaded(tmp_path / "a b-restored.png") == expected["a b.png"]
    find(page, "#zip").click()
    with zipfile.ZipFile(io.BytesIO(downloaded(tmp_path / "restored.zip"))) as archive:
        assert archive.testzip() is None
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert contents == {
        "a b-restored.png": expected["a b.png"],
        "c-restored.tif": expected["c.tif"],
    }
    # What the browser cannot show is shown all the same.
    size = "[...document.querySelectorAll('.card:nth-child(2) img')].map((i) => i.naturalHeight)"
    assert page.execute_script(f"return {size}") == [64, 64]


@pytest.mark.browser
def test_the_viewer_the_keyboard_and_what_fails(page, photos, tmp_path):
    from selenium.webdriver import Keys

    (tmp_path / "notes.png").write_text("no picture")
    choose(page, photos / "a b.png", photos / "c.tif", tmp_path / "notes.png")
    wait_for_results(page, 2)
    wait(page, "document.querySelector('.failed')")
    assert find(page, ".failed").text.endswith("not a picture that can be read (of no known kind)")
    find(page, ".card .view").send_keys(Keys.ENTER)
    assert find(page, "#viewed").text == "a b.png"
    find(page, "dialog").send_keys(Keys.ARROW_RIGHT)
    assert find(page, "#viewed").text == "c.tif"
    find(page, "dialog").send_keys("z")
    assert find(page, "dialog .compare").size == {"width": 48, "height": 64}
    find(page, "dialog").send_keys(Keys.ESCAPE)
    assert page.switch_to.active_element.accessible_name == "Full size, c.tif"
    find(page, "#clear").click()
    assert not find(page, ".all").is_displayed()


@pytest.mark.browser
def test_strength_is_there_where_the_method_has_one_and_goes_along(page, photos):
    assert not find(page, ".strength").is_displayed()
    find(page, "#method option:last-child").click()
    assert find(page, ".strength").is_displayed()
    page.execute_script(
        "const strength = document.querySelector('#strength');"
        "strength.value = 0.25; strength.dispatchEvent(new Event('input'));"
    )
    find(page, "#format option[value=jpg]").click()
    choose(page, photos / "a b.png")
    wait_for_results(page, 1)
    assert find(page, ".card .state").text.startswith("blind, 60")
    assert find(page, ".card .download").get_attribute("download") == "a b-restored.jpg"
    names = "performance.getEntriesByType('resource').map(({ name }) => name)"
    (asked,) = [name for name in page.execute_script(f"return {names}") if "api/restore" in name]
    assert re.search("method=blind&strength=0.25&format=jpg", asked)


@pytest.mark.browser
def test_a_picture_that_is_dropped_and_one_that_is_pasted(page):
    page.execute_script(
        """
        const canvas = Object.assign(document.createElement("canvas"), { width: 20, height: 16 });
        canvas.getContext("2d").fillRect(2, 2, 9, 9);
        canvas.toBlob((blob) => {
          const data = new DataTransfer();
          data.items.add(new File([blob], "dropped.png", { type: "image/png" }));
          const options = { bubbles: true, cancelable: true };
          dispatchEvent(new DragEvent("drop", { ...options, dataTransfer: data }));
          dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: data }));
        });
        """
    )
    wait_for_results(page, 2)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_words_are_readable_and_nothing_is_wider_than_the_screen(page, scheme, width):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        for selector in ("h1", ".top p", ".drop .button", "#about", ".options label"):
            assert contrast(page, selector) > 4.5, selector
        controls = page.find_elements("css selector", "input, select, button")
        assert all(each.accessible_name for each in controls if each.is_displayed())
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(browser, selector: str) -> float:
    """Of an element's words with what is behind them (WCAG 2.2)."""
    colours = browser.execute_script(
        """
        let element = document.querySelector(arguments[0]);
        const words = getComputedStyle(element).color;
        let behind;
        do {
          behind = getComputedStyle(element).backgroundColor;
          element = element.parentElement;
        } while (behind === "rgba(0, 0, 0, 0)" && element);
        return [words, behind].map((text) => text.match(/\\d+/g).map(Number));
        """,
        selector,
    )
    lights = []
    for colour in colours:
        parts = np.array(colour[:3]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ (0.2126, 0.7152, 0.0722)) + 0.05)
    return max(lights) / min(lights)


@pytest.mark.browser
def test_the_description_of_the_api(page, server):
    page.get(f"{server.address}/docs")
    wait(page, "document.querySelectorAll('main h2').length >= 5")
    words = find(page, "main").text
    assert "POST /api/restore" in words
    assert "png, jpg, webp" in words


@pytest.mark.slow
def test_the_page_names_no_other_machine():
    for file in PAGE.iterdir():
        assert not re.search(r"https?:|//[a-z]+\.|@import", file.read_text()), file.name
