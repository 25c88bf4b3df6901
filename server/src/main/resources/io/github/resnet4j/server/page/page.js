"use strict";

const $ = id => document.getElementById(id);
const TOP = 5;
let models = [];
let current = null; // the picture that is shown, a Blob
let stream = null;

function say(text, isProblem = false) {
  $("status").textContent = text;
  $("status").classList.toggle("problem", isProblem);
}

function percent(p) {
  return (100 * p).toFixed(1) + " %";
}

/** Asks the server; its reason becomes the error's message. */
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer.");
  }
  const answer = await response.json().catch(() => ({error: "HTTP " + response.status}));
  if (!response.ok) {
    throw new Error(answer.error || "HTTP " + response.status);
  }
  return answer;
}

function chosen() {
  const model = models[$("model").selectedIndex];
  return model
    ? `model=${encodeURIComponent(model.name)}&version=${encodeURIComponent(model.version)}`
    : "";
}

async function loadModels() {
  models = await ask("models");
  $("model").replaceChildren(...models.map(model => {
    const option = document.createElement("option");
    option.textContent = `${model.name} (${model.classes} classes)`;
    return option;
  }));
  $("model").disabled = models.length < 2;
}

function bar({label, probability}) {
  const item = document.createElement("li");
  const name = document.createElement("div");
  name.className = "name";
  const left = document.createElement("span");
  left.textContent = label;
  const right = document.createElement("span");
  right.textContent = percent(probability);
  name.append(left, right);
  const track = document.createElement("div");
  track.className = "track";
  track.setAttribute("aria-hidden", "true");
  const fill = document.createElement("div");
  fill.className = "fill";
  fill.style.width = 100 * probability + "%";
  track.append(fill);
  item.append(name, track);
  return item;
}

async function classify(picture) {
  current = picture;
  $("several").hidden = true;
  say("Looking …");
  const begin = performance.now();
  const answer = await ask(`classify?top=${TOP}&${chosen()}`, {
    method: "POST",
    headers: {"Content-Type": "application/octet-stream"},
    body: picture,
  });
  const whole = performance.now() - begin;
  show(picture, answer.predictions);
  $("latency").textContent =
    `${answer.ms.toFixed(1)} ms in the server, ${whole.toFixed(0)} ms with the way there and back`;
  const best = answer.predictions[0];
  say(`${best.label}, ${percent(best.probability)}`);
}

function show(picture, predictions) {
  URL.revokeObjectURL($("seen").src);
  $("seen").src = URL.createObjectURL(picture);
  $("seen").classList.remove("pixels");
  $("heat").hidden = true;
  $("heat-controls").hidden = true;
  $("caption").textContent = "";
  $("bars").replaceChildren(...predictions.map(bar));
  $("single").hidden = false;
}

async function explain() {
  say("Looking for the reason …");
  const answer = await ask(`explain?${chosen()}`, {
    method: "POST",
    headers: {"Content-Type": "application/octet-stream", "Accept": "application/json"},
    body: current,
  });
  URL.revokeObjectURL($("seen").src);
  $("seen").src = answer.seen;
  await $("seen").decode();
  $("seen").classList.toggle("pixels", $("seen").naturalWidth < 100);
  $("heat").src = answer.heat;
  $("heat").hidden = false;
  $("heat-controls").hidden = false;
  strengthen();
  $("caption").textContent = `bright: what speaks for “${answer.label}” (Grad-CAM)`;
  say(`Shown is what speaks for ${answer.label}.`);
  $("strength").focus();
}

function strengthen() {
  $("heat").style.opacity = $("strength").value / 100;
}

async function classifyAll(pictures) {
  $("single").hidden = true;
  say(`Looking at ${pictures.length} pictures …`);
  const form = new FormData();
  pictures.forEach(picture => form.append("picture", picture, "picture"));
  const begin = performance.now();
  const answer = await ask(`classify?top=1&${chosen()}`, {method: "POST", body: form});
  $("grid").replaceChildren(...answer.results.map((result, i) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const image = document.createElement("img");
    image.src = URL.createObjectURL(pictures[i]);
    image.alt = "";
    const text = document.createElement("span");
    const best = result.predictions && result.predictions[0];
    text.textContent = best ? `${best.label}, ${percent(best.probability)}` : "unreadable";
    button.append(image, text);
    button.addEventListener("click", () => run(() => classify(pictures[i])));
    button.disabled = !best;
    item.append(button);
    return item;
  }));
  $("several").hidden = false;
  const failed = answer.results.filter(result => result.error).length;
  say(`${pictures.length} pictures in ${(performance.now() - begin).toFixed(0)} ms`
    + (failed ? `; ${failed} could not be read` : ""));
}

function run(action) {
  action().catch(problem => say(problem.message, true));
}

function take(pictures) {
  const list = [...pictures];
  if (list.length === 1) {
    run(() => classify(list[0]));
  } else if (list.length > 1) {
    run(() => classifyAll(list));
  }
}

async function startCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment"}});
  } catch {
    throw new Error("There is no camera that this page may use.");
  }
  $("video").srcObject = stream;
  $("viewfinder").hidden = false;
  $("shoot").focus();
}

function stopCamera() {
  stream?.getTracks().forEach(track => track.stop());
  stream = null;
  $("viewfinder").hidden = true;
}

function shoot() {
  const video = $("video");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob(picture => picture && take([picture]), "image/jpeg", 0.95);
}

$("choose").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", event => {
  take(event.target.files);
  event.target.value = "";
});
for (const type of ["dragover", "drop", "dragleave"]) {
  document.addEventListener(type, event => {
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragover");
    if (type === "drop") {
      take(event.dataTransfer.files);
    }
  });
}
document.addEventListener("paste", event => take(event.clipboardData.files));
$("camera").addEventListener("click", () => run(startCamera));
$("stop").addEventListener("click", stopCamera);
$("shoot").addEventListener("click", shoot);
$("why").addEventListener("click", () => run(explain));
$("strength").addEventListener("input", strengthen);
$("model").addEventListener("change", () => current && !$("single").hidden && run(() => classify(current)));
run(loadModels);
