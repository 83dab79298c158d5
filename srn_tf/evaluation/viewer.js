// What report.html and the page of srn-serve share. The report has it inside, without "export".

export const $ = (selector, parent = document) => parent.querySelector(selector);
export const $$ = (selector, parent = document) => [...parent.querySelectorAll(selector)];
export const copy = (id) => $(id).content.firstElementChild.cloneNode(true);

/** A new element; its contents are text or elements, never markup. */
export function make(tag, className, ...contents) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...contents);
  return element;
}

// ---- The before/after slider, of the cards and of the viewer

export const SIDES = ["blurred", "restored", "sharp"];

export function compare() {
  const range = make("input", "");
  Object.assign(range, { type: "range", min: 0, max: 100, step: "any", value: 50 });
  const sides = ["restored", "blurred"].map((name) =>
    make("div", `side ${name}`, make("div", "pane"), make("span", "label", name)));
  const element = make("div", "compare", ...sides, make("div", "handle"), range);
  const panes = $$(".pane", element);
  const pan = (x, y) => panes.forEach((pane) => pane.scrollBy(x, y));

  function update() {
    element.style.setProperty("--split", `${range.value}%`);
    range.ariaValueText = `${Math.round(range.value)} % blurred`;
  }
  function slide(event) {
    const box = element.getBoundingClientRect();
    range.value = (100 * (event.clientX - box.left)) / box.width;
    update();
  }
  range.addEventListener("input", update);
  update();

  // At 100 % a drag moves the picture, except by the handle; else it slides from anywhere. A finger
  // may be about to scroll the page, so it slides only when it moves sideways, or taps.
  let mode = "";
  let last = null;
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    last = event;
    const { scrollWidth, scrollHeight, clientWidth, clientHeight } = panes[0];
    const movable = scrollWidth > clientWidth || scrollHeight > clientHeight;
    if (movable && !event.target.closest(".handle")) mode = "pan";
    else mode = event.pointerType === "touch" ? "wait" : "slide";
    if (mode === "slide") slide(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (!element.hasPointerCapture(event.pointerId)) return;
    const [x, y] = [event.clientX - last.clientX, event.clientY - last.clientY];
    last = event;
    if (mode === "wait" && Math.abs(x) > Math.abs(y)) mode = "slide";
    if (mode === "slide") slide(event);
    if (mode === "pan") pan(-x, -y);
  });
  element.addEventListener("pointerup", (event) => {
    if (mode !== "pan" && element.hasPointerCapture(event.pointerId)) slide(event);
  });
  element.addEventListener("click", () => range.focus({ preventScroll: true }));

  let name = "";

  function show(entry) {
    name = entry.name;
    label(1);
    element.style.setProperty("--width", entry.width);
    element.style.setProperty("--height", entry.height);
  }
  /** Puts the pictures of these two SIDES there; `image` makes one. */
  function setImages([left, right], image) {
    panes[0].replaceChildren(image(right));
    panes[1].replaceChildren(image(left));
    label(right);
  }
  function label(right) {
    $(".restored .label", element).textContent = SIDES[right];
    range.ariaLabel = `blurred and ${SIDES[right]}, ${name}`;
  }
  return { element, range, panes, pan, show, setImages };
}

export function picture(entry, i) {
  const image = new Image();
  image.alt = `${entry.name}, ${SIDES[i]}`;
  image.draggable = false;
  return image;
}

// ---- The viewer: one picture in a dialog, as large as fits, or at 100 %

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Makes a dialog with a .stage and buttons a viewer.
 * `turn(step)` is to show another picture; `keys` are more letters, and what they do. */
export function makeViewer(dialog, turn, keys = {}) {
  const slider = compare();
  $(".stage", dialog).append(slider.element);

  function center() {
    const { scrollWidth, scrollHeight, clientWidth, clientHeight } = slider.panes[0];
    slider.panes.forEach((pane) =>
      pane.scrollTo((scrollWidth - clientWidth) / 2, (scrollHeight - clientHeight) / 2));
  }
  function zoom() {
    $("#zoom").ariaPressed = dialog.classList.toggle("actual");
    center();
  }
  const letters = { z: zoom, ...keys };

  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const arrow = ARROWS[event.key];
    const page = { PageUp: -1, PageDown: 1 }[event.key];
    const letter = letters[event.key.toLowerCase()];
    if (event.shiftKey && arrow) slider.pan(80 * arrow[0], 80 * arrow[1]);
    else if (page) turn(page);
    else if (arrow?.[0] && event.target !== slider.range) turn(arrow[0]);
    else if (letter) letter();
    else return;
    event.preventDefault();
  });
  $(".stage", dialog).addEventListener("wheel", (event) => {
    if (!event.ctrlKey) slider.pan(event.deltaX, event.deltaY);
  }, { passive: true });
  $("#zoom").addEventListener("click", zoom);
  $("#previous").addEventListener("click", () => turn(-1));
  $("#next").addEventListener("click", () => turn(1));
  $("#close").addEventListener("click", () => dialog.close());
  return { slider, center };
}
