"""What tests do in a browser."""


def find(browser, selector):
    return browser.find_element("css selector", selector)


def wait(browser, condition: str, seconds: float = 10):
    """Waits for a condition in JavaScript to hold."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, seconds, 0.05).until(
        lambda driver: driver.execute_script(f"return {condition}"), condition
    )


def wait_for_pictures(browser):
    wait(browser, "[...document.images].every((image) => image.complete && image.naturalWidth)")


def drag(browser, selector, start: float, end: float):
    """Drags the mouse along an element, from one share of its width to another."""
    from selenium.webdriver import ActionChains

    element = find(browser, selector)
    width = element.size["width"]
    chain = ActionChains(browser, duration=50)
    chain.move_to_element_with_offset(element, round(width * (start - 0.5)), 10).click_and_hold()
    chain.move_by_offset(round(width * (end - start)), 0).release().perform()
