"use strict";

const $ = id => document.getElementById(id);
const TOP = 5;
let models = [];
let current = null; // the image that is shown, a Blob
let token = sessionStorage.getItem("token") || "";
let stream = null;

function say(text, isProblem = false) {
  $("status").textContent = text;
  $("status").classList.toggle("problem", isProblem);
}

function percent(p) {
  return (100 * p).toFixed(1) + " %";
}

/** Sends a request; the server's reason becomes the error's message. */
async function ask(path, options = {}) {
  let response;
  const headers = {...options.headers, ...(token ? {Authorization: "Bearer " + token} : {})};
  try {
    response = await fetch(path, {...options, headers});
  } catch {
    throw new Error("The server does not answer.");
  }
  const answer = await response.json().catch(() => ({error: "HTTP " + response.status}));
  if (response.status === 401) {
    $("login").hidden = false;
    $("token").focus();
    throw new Error(token ? "The server does not accept this token." : "Enter the server's token.");
  }
  if (!response.ok) {
    throw new Error(answer.error || "HTTP " + response.status);
  }
  return answer;
}

function chosen() {
  const model = models[$("model").selectedIndex];
  return model
    ? `model=${encodeURIComponent(model.name)}&version=${encodeURIComponent(model.version)}`
      + "&exif_orientation=true"
    : "exif_orientation=true";
}

/** What the chosen model knows, in one sentence. */
function describe() {
  const model = models[$("model").selectedIndex];
  if (!model) {
    $("about").textContent = "No model is ready.";
    return;
  }
  if (model.classes === 0) {
    $("about").textContent = `The model “${model.name}” has no head and so no classes;`
      + " its embeddings are at /features.";
    return;
  }
  const more = model.classes - model.labels.length;
  const last = more > 0 ? `${more} more` : model.labels[model.labels.length - 1];
  const first = more > 0 ? model.labels : model.labels.slice(0, -1);
  const names = first.length ? `${first.join(", ")} and ${last}` : last;
  $("about").textContent = `The model “${model.name}” recognizes `
    + (model.classes === 1 ? `one class: ${names}.` : `${model.classes} classes: ${names}.`);
}

async function loadModels() {
  models = await ask("models");
  $("model").replaceChildren(...models.map(model => {
    const option = document.createElement("option");
    option.textContent = model.name + (models.some(other =>
      other.name === model.name && other.version !== model.version) ? `, version ${model.version}` : "");
    return option;
  }));
  $("model-choice").hidden = models.length < 2;
  $("login").hidden = true;
  say("");
  describe();
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

/** Shows why an image has no prediction, beside its name. */
function fail(image, reason) {
  $("single").hidden = true;
  $("several").hidden = true;
  $("reason").textContent = (image.name ? image.name + ": " : "") + reason;
  $("failed").hidden = false;
}

async function classify(image) {
  current = image;
  $("several").hidden = true;
  $("failed").hidden = true;
  say("Classifying …");
  const begin = performance.now();
  const answer = await ask(`classify?top=${TOP}&${chosen()}`, {
    method: "POST",
    headers: {"Content-Type": "application/octet-stream"},
    body: image,
  }).catch(problem => {
    fail(image, problem.message);
    throw problem;
  });
  const whole = performance.now() - begin;
  show(image, answer.predictions);
  $("latency").textContent =
    `${answer.ms.toFixed(1)} ms in the server, ${whole.toFixed(0)} ms round trip`;
  const best = answer.predictions[0];
  say(`${best.label}, ${percent(best.probability)}`);
}

function show(image, predictions) {
  URL.revokeObjectURL($("seen").src);
  $("seen").src = URL.createObjectURL(image);
  $("seen").classList.remove("pixels");
  $("heat").hidden = true;
  $("heat-controls").hidden = true;
  $("caption").textContent = "";
  $("bars").replaceChildren(...predictions.map(bar));
  $("single").hidden = false;
}

async function explain() {
  say("Computing the heat map …");
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
  setOpacity();
  $("caption").textContent = `Grad-CAM: bright regions are evidence for “${answer.label}”`;
  say(`The heat map shows the evidence for ${answer.label}.`);
  $("strength").focus();
}

function setOpacity() {
  $("heat").style.opacity = $("strength").value / 100;
}

async function classifyAll(images) {
  $("single").hidden = true;
  $("failed").hidden = true;
  say(`Classifying ${images.length} images …`);
  const form = new FormData();
  images.forEach(image => form.append("image", image, "image"));
  const begin = performance.now();
  const answer = await ask(`classify?top=1&${chosen()}`, {method: "POST", body: form});
  $("grid").replaceChildren(...answer.results.map((result, i) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const image = document.createElement("img");
    image.src = URL.createObjectURL(images[i]);
    image.alt = "";
    image.addEventListener("error", () => image.remove()); // the reason stands in its place
    const text = document.createElement("strong");
    const best = result.predictions && result.predictions[0];
    text.textContent = best ? `${best.label}, ${percent(best.probability)}` : result.error;
    text.classList.toggle("problem", !best);
    const name = document.createElement("span");
    name.className = "file";
    name.textContent = images[i].name || "";
    button.append(image, text, name);
    button.addEventListener("click", () => run(() => classify(images[i])));
    button.disabled = !best;
    item.append(button);
    return item;
  }));
  $("several").hidden = false;
  const failed = answer.results.filter(result => result.error).length;
  say(`${images.length} images in ${(performance.now() - begin).toFixed(0)} ms`
    + (failed ? `; ${failed} could not be read` : ""));
}

function run(action) {
  action().catch(problem => say(problem.message, true));
}

function take(images) {
  const list = [...images];
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
    throw new Error("No camera is available to this page.");
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
  canvas.toBlob(image => image && take([image]), "image/jpeg", 0.95);
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
$("explain").addEventListener("click", () => run(explain));
$("strength").addEventListener("input", setOpacity);
$("model").addEventListener("change", () => {
  describe();
  if (current && !$("single").hidden) {
    run(() => classify(current));
  }
});
$("login").addEventListener("submit", event => {
  event.preventDefault();
  token = $("token").value;
  sessionStorage.setItem("token", token);
  run(loadModels);
});
run(loadModels);
