// The page: pictures go to /api/restore one by one, and come back to be compared and kept.

import { $, $$, compare, copy, make, makeViewer, picture } from "./viewer.js";
import { zip } from "./zip.js";

const AT_ONCE = 2;  // of a browser's six connections; progress needs one, too
const POLL = 700;  // milliseconds
const ENDINGS = {
  "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/tiff": "tif",
  "image/bmp": "bmp", "image/avif": "avif", "image/heic": "heic",
};

const entries = [];
let offer = null;  // what /api/models says

const say = (text) => { $("#status").textContent = text; };

// ---- Talking to the server

const authorization = () => {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
};

async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: authorization() });
  if (answer.status === 401) askForToken();
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
}

function askForToken() {
  $(".token").hidden = false;
  $("#token").focus();
}

async function loadOffer() {
  offer = await (await ask("api/models")).json();
  $(".token").hidden = true;
  $("#method").replaceChildren(...offer.methods.map(({ name }) => new Option(name)));
  $("#format").append(...offer.formats.map((name) => new Option(name, name)));
  showMethod();
  work();
}

/** POSTs a picture; `progress(share)` tells of the upload. Gives the XMLHttpRequest when it is over. */
function post(entry, query, progress) {
  return new Promise((resolve, reject) => {
    const request = entry.request = new XMLHttpRequest();
    request.open("POST", `api/restore?${query}`);
    request.responseType = "blob";
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.upload.onload = () => progress(1);
    request.onload = () => resolve(request);
    request.onerror = () => reject(new Error("the server does not answer"));
    request.onabort = () => reject(new Error("stopped"));
    request.send(entry.file);
  });
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Tells how far a picture is until `entry.state` says that it is no more at work. */
async function follow(entry, ticket) {
  while (entry.state === "working") {
    await pause(POLL);
    const answer = await fetch(`api/progress/${ticket}`, { headers: authorization() }).catch(() => null);
    const known = answer?.ok && await answer.json();
    if (!known || entry.state !== "working") continue;
    if (known.ahead) entry.show(`waiting, ${known.ahead} before it`);
    else entry.show("restoring", known.share || undefined);
  }
}

async function restore(entry) {
  const ticket = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const query = new URLSearchParams({ ...entry.options, ticket });
  let sent = false;
  entry.state = "working";
  const request = await post(entry, query, (share) => {
    entry.show(share < 1 ? "sending" : "waiting", share < 1 ? share : undefined);
    if (share === 1 && !sent) {
      sent = true;
      follow(entry, ticket);
    }
  });
  if (request.status === 503 && request.getResponseHeader("Retry-After")) {
    entry.show("the server is busy; trying again");
    await pause(1000 * request.getResponseHeader("Retry-After"));
    entry.state = "waiting";
    return;
  }
  if (request.status === 401) askForToken();
  if (request.status !== 200) {
    const { error } = JSON.parse(await request.response.text());
    throw new Error(error.replace(/^picture: /, ""));  // its name is above it
  }
  entry.notes = JSON.parse(request.getResponseHeader("Srn-Notes") ?? "[]");
  entry.result = request.response;
  entry.state = "done";
  await showResult(entry);
}

// ---- The pictures, a few at a time

let busy = 0;

async function work() {
  while (offer && busy < AT_ONCE) {
    const entry = entries.find((entry) => entry.state === "waiting");
    if (!entry) break;
    busy++;
    restore(entry).catch((error) => {
      entry.state = "failed";
      entry.show(error.message);
      say(`${entry.name}: ${error.message}`);
    }).finally(() => {
      busy--;
      count();
      work();
    });
  }
}

function count() {
  const done = entries.filter((entry) => entry.result).length;
  $(".all").hidden = !entries.length;
  $("#count").textContent = `${done} of ${entries.length} restored`;
  $("#zip").disabled = !done;
}

function options() {
  const method = $("#method").value;
  const chosen = { quality: $("#quality").value || 95 };
  if (method) chosen.method = method;
  if (!$(".strength").hidden) chosen.strength = $("#strength").value;
  if ($("#format").value) chosen.format = $("#format").value;
  return chosen;
}

function add(files) {
  const added = [...files];
  for (const file of added) {
    const entry = { file, name: file.name || "pasted.png", state: "waiting", notes: [] };
    entries.push(entry);
    makeCard(entry);
    again(entry);
  }
  if (added.length) say(`${added.length} added`);
}

function again(entry) {
  entry.options = options();
  entry.state = "waiting";
  entry.show("waiting");
  count();
  work();
}

function remove(entry) {
  entry.request?.abort();
  entries.splice(entries.indexOf(entry), 1);
  entry.card.remove();
  [entry.before, entry.after].forEach((address) => address && URL.revokeObjectURL(address));
  count();
}

/** The name of a result, with the ending of its format. */
function resultName(entry) {
  const stem = entry.name.replace(/\.[^.]*$/, "");
  return `${stem}-restored.${ENDINGS[entry.result.type]}`;
}

// ---- What is seen of a picture

/** The address of a picture that the browser can show; of other formats, of what the server makes. */
async function shown(blob) {
  const address = URL.createObjectURL(blob);
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
  } catch {
    URL.revokeObjectURL(address);
    const answer = await ask("api/preview", { method: "POST", body: blob });
    const preview = URL.createObjectURL(await answer.blob());
    image.src = preview;
    await image.decode();
  }
  return image;
}

function makeCard(entry) {
  const card = entry.card = copy("#card");
  $("h2", card).textContent = entry.name;
  for (const [selector, action, text] of [
    [".view", () => open(entry), "Full size"],
    [".again", () => again(entry), "Again with what is chosen above"],
    [".remove", () => remove(entry), "Remove"],
  ]) {
    $(selector, card).addEventListener("click", action);
    $(selector, card).ariaLabel = `${text}, ${entry.name}`;
  }
  $("progress", card).ariaLabel = `progress of ${entry.name}`;
  /** A line, and how much of it is done: undefined where nobody knows. */
  entry.show = (text, share) => {
    const working = ["waiting", "working"].includes(entry.state);
    const state = $(".state", card);
    state.textContent = text;
    state.classList.toggle("failed", entry.state === "failed");
    const bar = $("progress", card);
    bar.hidden = !working;
    if (share === undefined) bar.removeAttribute("value");
    else bar.value = share;
    $(".view", card).hidden = $(".download", card).hidden = !entry.result;
    $(".again", card).hidden = working;
    card.ariaBusy = working;
  };
  $(".cards").append(card);
  shown(entry.file).then((image) => {
    entry.before = image.src;
    if (entry.after) return;
    image.alt = `${entry.name}, not yet restored`;
    $(".stage", card).replaceChildren(image);
  }).catch(() => {});  // the answer to the picture itself will say what is wrong
}

async function showResult(entry) {
  const link = $(".download", entry.card);
  link.href = URL.createObjectURL(entry.result);
  link.download = resultName(entry);
  link.ariaLabel = `Download ${link.download}`;
  const [before, after] = await Promise.all([entry.file, entry.result].map(shown));
  Object.assign(entry, {
    before: before.src, after: after.src, width: after.naturalWidth, height: after.naturalHeight,
  });
  const slider = compare();
  slider.show(entry);
  slider.setImages([0, 1], (i) => sideImage(entry, i));
  $(".stage", entry.card).replaceChildren(slider.element);
  const notes = $(".notes", entry.card);
  notes.textContent = entry.notes.join("; ");
  notes.hidden = !entry.notes.length;
  entry.show(`${entry.options.method}, ${entry.width} × ${entry.height}`);
  say(`${entry.name}: restored`);
}

function sideImage(entry, i) {
  const image = picture(entry, i);
  image.src = i ? entry.after : entry.before;
  return image;
}

// ---- The viewer

const dialog = $("dialog");
const { slider: large, center } = makeViewer(dialog, turn);
let viewed = null;

function view(entry) {
  viewed = entry;
  large.show(entry);
  large.setImages([0, 1], (i) => sideImage(entry, i));
  center();
  $("#viewed").textContent = entry.name;
  $(".facts").textContent = [`${entry.width} × ${entry.height}`, ...entry.notes].join(" · ");
}

function open(entry) {
  dialog.showModal();
  dialog.focus();
  view(entry);
}

function turn(step) {
  const done = entries.filter((entry) => entry.after);
  view(done[(done.indexOf(viewed) + step + done.length) % done.length]);
}

dialog.addEventListener("close", () => $(".view", viewed.card).focus());

// ---- Where pictures come from

for (const input of $$("input[type=file]")) {
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";  // so that the same can be chosen again
  });
}
addEventListener("paste", (event) => add(event.clipboardData.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  $(".drop").classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $(".drop").classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  $(".drop").classList.remove("over");
  add(event.dataTransfer.files);
});

// ---- What is chosen

function showMethod() {
  const { about, strength } = offer.methods.find(({ name }) => name === $("#method").value);
  $("#about").textContent = about;
  $(".strength").hidden = !strength;
}
$("#method").addEventListener("change", showMethod);
$("#strength").addEventListener("input", () => {
  $("output").value = Number($("#strength").value).toFixed(2);
});
$(".options").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("#token").value);
  start();
});

$("#clear").addEventListener("click", () => [...entries].forEach(remove));
$("#zip").addEventListener("click", async () => {
  const names = new Set();
  const files = entries.filter((entry) => entry.result).map((entry) => {
    let name = resultName(entry);
    for (let n = 2; names.has(name); n++) name = resultName(entry).replace(/(\.[^.]*)$/, `-${n}$1`);
    names.add(name);
    return { name, blob: entry.result };
  });
  try {
    const link = make("a", "");
    link.href = URL.createObjectURL(await zip(files));
    link.download = "restored.zip";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  } catch (error) {
    $("#count").textContent = error.message;
    say(error.message);
  }
});

function start() {
  loadOffer().catch((error) => {
    $("#about").textContent = error.message;
    say(error.message);
  });
}
start();
