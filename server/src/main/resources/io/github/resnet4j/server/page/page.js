"use strict";

const $ = id => document.getElementById(id);
const TOP = 5;
let models = [];
let current = null; // the displayed image, a Blob
let token = sessionStorage.getItem("token") || "";
let stream = null;

function setStatus(text, isProblem = false) {
  $("status").textContent = text;
  $("status").classList.toggle("problem", isProblem);
}

function percent(p) {
  return (100 * p).toFixed(1) + " %";
}

/** Sends a request and returns its JSON; throws the server's reason as an Error. */
async function request(path, options = {}) {
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

function modelParameters() {
  const model = models[$("model").selectedIndex];
  return model
    ? `model=${encodeURIComponent(model.name)}&version=${encodeURIComponent(model.version)}`
      + "&exif_orientation=true"
    : "exif_orientation=true";
}

/** Describes the selected model in one sentence. */
function describe() {
  const model = models[$("model").selectedIndex];
  if (!model) {
    $("about").textContent = "No model is ready.";
    return;
  }
  if (model.classes === 0) {
    $("about").textContent = `The model “${model.name}” has no head and therefore no classes;`
      + " request its embeddings from /features.";
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
  models = await request("models");
  $("model").replaceChildren(...models.map(model => {
    const option = document.createElement("option");
    option.textContent = model.name + (models.some(other =>
      other.name === model.name && other.version !== model.version) ? `, version ${model.version}` : "");
    return option;
  }));
  $("model-choice").hidden = models.length < 2;
  $("login").hidden = true;
  setStatus("");
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

/** Shows an image's name and the reason why it could not be classified. */
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
  setStatus("Classifying …");
  const begin = performance.now();
  const answer = await request(`classify?top=${TOP}&${modelParameters()}`, {
    method: "POST",
    headers: {"Content-Type": "application/octet-stream"},
    body: image,
  }).catch(problem => {
    fail(image, problem.message);
    throw problem;
  });
  const roundTrip = performance.now() - begin;
  show(image, answer);
  $("latency").textContent =
    `${answer.duration_ms.toFixed(1)} ms in the server, ${roundTrip.toFixed(0)} ms round trip`;
  setStatus(summary(answer));
}

// A label, the first of several labels, or numbers.
function summary(answer) {
  if (answer.values) {
    return Object.entries(answer.values).map(([name, value]) => `${name} ${number(value)}`).join(", ");
  }
  const best = answer.predictions[0];
  return best ? `${best.label}, ${percent(best.probability)}` : "No label reaches its threshold.";
}

function number(value) {
  return String(Number(value.toPrecision(5)));
}

function show(image, answer) {
  URL.revokeObjectURL($("input-image").src);
  $("input-image").src = URL.createObjectURL(image);
  $("input-image").classList.remove("pixels");
  $("heat-map").hidden = true;
  $("heat-controls").hidden = true;
  $("caption").textContent = "";
  $("bars").replaceChildren(...(answer.predictions || []).map(bar));
  $("explain").hidden = Boolean(answer.values);
  $("single").hidden = false;
}

async function explain() {
  setStatus("Computing the heat map …");
  const answer = await request(`explain?${modelParameters()}`, {
    method: "POST",
    headers: {"Content-Type": "application/octet-stream", "Accept": "application/json"},
    body: current,
  });
  URL.revokeObjectURL($("input-image").src);
  $("input-image").src = answer.input;
  await $("input-image").decode();
  $("input-image").classList.toggle("pixels", $("input-image").naturalWidth < 100);
  $("heat-map").src = answer.heat_map;
  $("heat-map").hidden = false;
  $("heat-controls").hidden = false;
  setOpacity();
  $("caption").textContent = `Grad-CAM: bright regions are evidence for “${answer.label}”`;
  setStatus(`The heat map shows the evidence for ${answer.label}.`);
  $("opacity").focus();
}

function setOpacity() {
  $("heat-map").style.opacity = $("opacity").value / 100;
}

async function classifyAll(images) {
  $("single").hidden = true;
  $("failed").hidden = true;
  setStatus(`Classifying ${images.length} images …`);
  const form = new FormData();
  images.forEach(image => form.append("image", image, "image"));
  const begin = performance.now();
  const answer = await request(`classify?top=1&${modelParameters()}`, {method: "POST", body: form});
  $("grid").replaceChildren(...answer.results.map((result, i) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const image = document.createElement("img");
    image.src = URL.createObjectURL(images[i]);
    image.alt = "";
    image.addEventListener("error", () => image.remove()); // show only the reason
    const text = document.createElement("strong");
    text.textContent = result.error || summary(result);
    text.classList.toggle("problem", Boolean(result.error));
    const name = document.createElement("span");
    name.className = "file";
    name.textContent = images[i].name || "";
    button.append(image, text, name);
    button.addEventListener("click", () => run(() => classify(images[i])));
    button.disabled = Boolean(result.error);
    item.append(button);
    return item;
  }));
  $("several").hidden = false;
  const failed = answer.results.filter(result => result.error).length;
  setStatus(`${images.length} images in ${(performance.now() - begin).toFixed(0)} ms`
    + (failed ? `; ${failed} could not be read` : ""));
}

function run(action) {
  action().catch(problem => setStatus(problem.message, true));
}

function classifyFiles(images) {
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
  $("camera-preview").hidden = false;
  $("take-photo").focus();
}

function stopCamera() {
  stream?.getTracks().forEach(track => track.stop());
  stream = null;
  $("camera-preview").hidden = true;
}

function takePhoto() {
  const video = $("video");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob(image => image && classifyFiles([image]), "image/jpeg", 0.95);
}

$("choose").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", event => {
  classifyFiles(event.target.files);
  event.target.value = "";
});
for (const type of ["dragover", "drop", "dragleave"]) {
  document.addEventListener(type, event => {
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragover");
    if (type === "drop") {
      classifyFiles(event.dataTransfer.files);
    }
  });
}
document.addEventListener("paste", event => classifyFiles(event.clipboardData.files));
$("camera").addEventListener("click", () => run(startCamera));
$("stop").addEventListener("click", stopCamera);
$("take-photo").addEventListener("click", takePhoto);
$("explain").addEventListener("click", () => run(explain));
$("opacity").addEventListener("input", setOpacity);
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
