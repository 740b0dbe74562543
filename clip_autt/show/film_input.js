// A film from the browser to the kernel of the notebook, and to nowhere else: a file, or the camera. In parts, each of
// them answered, so that no message is too large for a server and the page can say how much has arrived.
const PART = 512 * 1024; // bytes
const MB = 1e6;
const WHY_NOT = {
  NotAllowedError: "The browser was not allowed to use the camera. Allow it beside the address, and try again.",
  NotFoundError: "No camera was found. Connect one, or upload a film.",
  NotReadableError: "The camera is used by another program. Close that one, and try again.",
};

function add(parent, tag, className = "", text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  parent.append(node);
  return node;
}

function addButton(parent, text) {
  const node = add(parent, "button", "jupyter-widgets jupyter-button widget-button", text);
  node.type = "button";
  return node;
}

const next = (model) => new Promise((resolve) => {
  const heard = (message) => { model.off("msg:custom", heard); resolve(message); };
  model.on("msg:custom", heard);
});

async function send(model, blob, name, say) {
  const parts = Math.max(1, Math.ceil(blob.size / PART));
  const size = (blob.size / MB).toFixed(1);
  for (let i = 0; i < parts; i++) {
    say(`${name}: ${(Math.min(blob.size, i * PART) / MB).toFixed(1)} of ${size} MB have arrived`);
    const content = await blob.slice(i * PART, (i + 1) * PART).arrayBuffer();
    const answer = next(model);
    const late = setTimeout(() => say(`${name}: the kernel is busy, or it was stopped; waiting for it`), 5000);
    model.send({ part: i, parts, name }, undefined, [content]);
    const { error } = await answer;
    clearTimeout(late);
    if (error) return say(error);
  }
  say("");
}

function preferred() {
  const kinds = ["video/webm;codecs=vp8", "video/webm", "video/mp4"];
  return kinds.find((kind) => MediaRecorder.isTypeSupported(kind)) ?? "";
}

function camera(el, model, send, say) {
  const panel = add(el, "div", "clip-autt-camera");
  panel.hidden = true;
  const label = add(panel, "label");
  const consent = add(label, "input");
  consent.type = "checkbox";
  add(label, "span", "", " " + model.get("consent"));
  const view = add(add(panel, "div"), "video");
  view.style.maxWidth = "min(100%, 320px)";
  view.muted = view.playsInline = view.autoplay = true;
  view.setAttribute("aria-label", "what the camera sees");
  const record = addButton(panel, "record");
  let stream, recorder;

  const off = () => {
    if (recorder?.state === "recording") recorder.stop();
    stream?.getTracks().forEach((track) => track.stop());
    stream = view.srcObject = null;
    view.hidden = record.hidden = true;
    consent.checked = false;
  };
  off();

  consent.onchange = async () => {
    if (!consent.checked) return off();
    if (!navigator.mediaDevices?.getUserMedia) {
      consent.checked = false;
      return say("The browser gives the camera only to pages of this machine (localhost) and to https. Upload a film.");
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
    } catch (error) {
      off();
      return say(WHY_NOT[error.name] ?? `The camera did not start: ${error.message}`);
    }
    if (!consent.checked || panel.hidden) return off(); // taken back meanwhile
    say("");
    view.srcObject = stream;
    view.hidden = record.hidden = false;
  };

  record.onclick = () => {
    if (recorder?.state === "recording") return recorder.stop();
    const parts = [], begin = performance.now();
    recorder = new MediaRecorder(stream, { mimeType: preferred(), videoBitsPerSecond: 2_500_000 });
    const end = setTimeout(() => recorder.state === "recording" && recorder.stop(), 1000 * model.get("seconds"));
    const clock = setInterval(() => {
      say(`recording: ${((performance.now() - begin) / 1000).toFixed(0)} of ${model.get("seconds")} s`);
    }, 250);
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = async () => {
      clearTimeout(end);
      clearInterval(clock);
      record.textContent = "record";
      if (!stream) return say(""); // closed, or consent taken back: nothing is kept
      const ending = recorder.mimeType.includes("mp4") ? "mp4" : "webm";
      off();
      panel.hidden = true;
      await send(new Blob(parts, { type: recorder.mimeType }), `camera.${ending}`);
    };
    record.textContent = "stop";
    recorder.start();
  };
  return { toggle: () => { panel.hidden = !panel.hidden; off(); }, off: () => { stream = stream && (off(), null); } };
}

function render({ model, el }) {
  el.classList.add("clip-autt-film-input");
  const choose = addButton(el, "upload a film");
  const open = addButton(el, "camera");
  const said = add(el, "span", "clip-autt-said");
  said.setAttribute("role", "status");
  const say = (text) => { said.textContent = text; };
  const file = add(el, "input");
  Object.assign(file, { type: "file", accept: "video/*,.mkv,.avi", hidden: true });
  const give = async (blob, name) => {
    choose.disabled = open.disabled = true;
    try { await send(model, blob, name, say); } finally { choose.disabled = open.disabled = false; }
  };
  const filmed = camera(el, model, give, say);
  choose.onclick = () => file.click();
  open.onclick = filmed.toggle;
  file.onchange = () => {
    const [chosen] = file.files;
    if (chosen) give(chosen, chosen.name);
    file.value = "";
  };
  return filmed.off;
}

export default { render };
