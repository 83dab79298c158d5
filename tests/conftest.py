"""Quiet TensorFlow, and fixtures that all tests share."""

import os
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import preloaded  # noqa: F401
import pytest
from helpers import SMALL, randomize

import srn_tf
from srn_tf.checkpoints import archive


@pytest.hookimpl(tryfirst=True)  # before what -m leaves out is left out
def pytest_collection_modifyitems(items):
    """What is long is slow, too."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker("slow")


@pytest.fixture
def photo():
    """A photograph, uint8 [512, 512, 3]."""
    import skimage.data

    return skimage.data.astronaut()


@pytest.fixture
def model():
    """A small network with random weights."""
    model = srn_tf.create_model("color_lstm_residual", **SMALL)
    randomize(model)
    return model


@pytest.fixture
def checkpoint(tmp_path, model):
    """Its checkpoint, in tmp_path/model.npz."""
    archive.save(tmp_path / "model.npz", "color_lstm_residual", model)
    return tmp_path / "model.npz"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium of 1280x900."""
    from selenium import webdriver

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        missing = "needs chromium and chromedriver"
        pytest.fail(missing) if os.environ.get("REQUIRE_BROWSER") else pytest.skip(missing)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        *("window-size=1280,900", f"user-data-dir={tmp_path_factory.mktemp('chromium')}"),
    ):
        options.add_argument(f"--{flag}")
    # With the path of the driver given, selenium downloads none.
    service = webdriver.ChromeService(executable_path=driver)
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()
