// ------------------------------------------------------------------------------------ pictures

const ORIGINAL = "original";
const view = { picture: 0, left: ORIGINAL, right: "", mode: "slide", zoom: 1, amplify: 4, x: 0.5, y: 0.5, split: 0.5 };
const inferno = Uint8Array.from(data.inferno.match(/../g), (pair) => parseInt(pair, 16));
const loaded = new Map(); // picture and contender -> promise of a canvas
let press = () => {}; // marks the picture that is shown

const uriOf = (picture, which) => (which === ORIGINAL ? picture.original : picture.decoded[which] || picture.original);
const labelOf = (which) => (which === ORIGINAL ? "Original" : byContender.get(which).label);

function pixels(picture, which) {
  const key = `${which} ${picture.name}`;
  if (!loaded.has(key)) {
    loaded.set(key, new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => {
        const { left, top, width, height } = picture.crop, whole = image.naturalWidth > width || image.naturalHeight > height;
        const canvas = element("canvas", { width, height });
        canvas.getContext("2d", { willReadFrequently: true }).drawImage(image, whole ? -left : 0, whole ? -top : 0);
        resolve(canvas);
      };
      image.onerror = () => reject(new Error(`this browser does not show ${labelOf(which)}`));
      image.src = uriOf(picture, which);
    }));
  }
  return loaded.get(key);
}

// Largest difference of premultiplied colour and alpha, amplified, through the inferno map.
function errorMap(original, decoded, amplify) {
  const { width, height } = original;
  const read = (canvas) => canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const a = read(original), b = read(decoded);
  const made = element("canvas", { width, height }), context = made.getContext("2d");
  const out = context.createImageData(width, height);
  for (let i = 0; i < a.length; i += 4) {
    let error = Math.abs(a[i + 3] - b[i + 3]);
    for (let c = i; c < i + 3; c++) error = Math.max(error, Math.abs(a[c] * a[i + 3] - b[c] * b[i + 3]) / 255);
    const colour = 3 * Math.min(255, Math.round(error * amplify));
    out.data[i] = inferno[colour]; out.data[i + 1] = inferno[colour + 1]; out.data[i + 2] = inferno[colour + 2]; out.data[i + 3] = 255;
  }
  context.putImageData(out, 0, 0);
  return made;
}

// What part of the picture the views show, in texels.
function visible(source) {
  const width = source.width / view.zoom, height = source.height / view.zoom;
  view.x = Math.min(1 - 0.5 / view.zoom, Math.max(0.5 / view.zoom, view.x));
  view.y = Math.min(1 - 0.5 / view.zoom, Math.max(0.5 / view.zoom, view.y));
  return [view.x * source.width - width / 2, view.y * source.height - height / 2, width, height];
}

function paint(canvas, source, from = 0, to = 1, clear = true) {
  const width = Math.round(canvas.clientWidth * (window.devicePixelRatio || 1)), height = Math.round(width * source.height / source.width);
  if (clear) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d"), [x, y, w, h] = visible(source);
  context.imageSmoothingEnabled = width < w;
  context.imageSmoothingQuality = "high";
  context.save();
  context.beginPath();
  context.rect(from * width, 0, (to - from) * width, height);
  context.clip();
  context.drawImage(source, x, y, w, h, 0, 0, width, height);
  context.restore();
}

let turn = 0;
let shown = null; // canvases of the current choice

async function showPicture() {
  const own = ++turn, picture = data.pictures[view.picture];
  drawFacts(picture);
  try {
    const [original, left, right] = await Promise.all([ORIGINAL, view.left, view.right].map((which) => pixels(picture, which)));
    if (own !== turn) return; // another choice was made meanwhile
    shown = { original, left, right, errors: null };
  } catch (cause) {
    if (own === turn) $("viewer-note").textContent = cause.message;
    return;
  }
  const { width, height } = shown.original;
  for (const each of document.querySelectorAll(".slide")) each.style.maxWidth = `calc(78vh * ${width / height})`;
  repaint();
}

function repaint() {
  if (!shown) return;
  const [slide, pair, errors] = document.querySelectorAll(".view");
  [slide.hidden, pair.hidden, errors.hidden] = ["slide", "side by side", "error"].map((mode) => mode !== view.mode);
  document.querySelector(".scale").hidden = view.mode !== "error";
  if (view.mode === "slide") {
    paint($("slide"), shown.left, 0, view.split);
    paint($("slide"), shown.right, view.split, 1, false);
    document.querySelector(".split").style.left = `${100 * view.split}%`;
    $("slide").setAttribute("aria-valuenow", Math.round(100 * view.split));
  } else if (view.mode === "side by side") {
    paint($("pair-left"), shown.left);
    paint($("pair-right"), shown.right);
  } else {
    shown.errors ??= [shown.left, shown.right].map((each) => errorMap(shown.original, each, view.amplify));
    paint($("error-left"), shown.errors[0]);
    paint($("error-right"), shown.errors[1]);
    $("scale-high").textContent = `≥ ${(255 / view.amplify).toFixed(view.amplify > 25 ? 1 : 0)} of 255`;
  }
}

function drawFacts(picture) {
  const rows = rowsOf(picture.name), row = (which) => rows.find((r) => r.contender === which);
  const columns = [view.left, view.right];
  const facts = [
    ["file", "bytes", (r) => `${r.bytes.toLocaleString("en")} B`, -1], ["bpp", "bpp", (r) => decimals(r.bpp, 3), -1],
    ...measured.map((key) => [METRICS[key].name, key, (r) => decimals(r[key], METRICS[key].digits, METRICS[key].unit), 1]),
    ["encode", "encode_seconds", (r) => seconds(r.encode_seconds), 0], ["decode", "decode_seconds", (r) => seconds(r.decode_seconds), 0],
  ];
  const head = columns.map((which) => element("th", {}, ...(which === ORIGINAL ? ["Original"] : named(byContender.get(which)))));
  const lines = facts.map(([name, key, written, sign]) => {
    const values = columns.map((which) => (which === ORIGINAL ? NaN : number(row(which)[key])));
    const cells = columns.map((which, i) => element("td", { class: sign * (values[i] - values[1 - i]) > 0 ? "better" : "" }, which === ORIGINAL ? "" : written(row(which))));
    return element("tr", {}, element("td", {}, name), ...cells);
  });
  const { left, top, width, height } = picture.crop, kind = { 1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA" }[picture.channels];
  const whole = width === picture.width && height === picture.height;
  $("facts").replaceChildren(
    element("table", {}, element("thead", {}, element("tr", {}, element("th"), ...head)), element("tbody", {}, ...lines)),
    element("p", { class: "note" }, `${picture.name}, ${picture.width} × ${picture.height}, ${kind}. ` +
      (whole ? "" : `Shown: ${width} × ${height} texels at (${left}, ${top}), its most detailed part; the numbers are of the whole picture.`)));
}

function choose(key, value) {
  view[key] = value;
  if (key === "picture") { fillSides(); press(value); }
  for (const side of ["left", "right"]) $(side).value = view[side];
  showPicture();
}

function fillSides() {
  const available = [ORIGINAL, ...Object.keys(data.pictures[view.picture].decoded)];
  for (const side of ["left", "right"]) {
    $(side).replaceChildren(...available.map((which) => element("option", { value: which }, labelOf(which))));
    if (!available.includes(view[side])) view[side] = available[side === "left" ? 0 : available.length - 1];
    $(side).value = view[side];
  }
}

function draggable(canvas, move) {
  let last = null;
  canvas.addEventListener("pointerdown", (event) => { last = event; canvas.setPointerCapture(event.pointerId); move(event, event); });
  canvas.addEventListener("pointermove", (event) => { if (last) { move(event, last); last = event; } });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
}

function startViewer() {
  if (!data.pictures.length) { $("viewer").hidden = true; return; }
  Object.assign(view, data.opening);
  press = choices("pictures", data.pictures.map((p, i) => [i, element("img", { src: p.original, alt: "" }), element("span", {}, p.name)]), view.picture, (i) => choose("picture", i));
  fillSides();
  for (const side of ["left", "right"]) $(side).addEventListener("change", () => choose(side, $(side).value));
  choices("mode", ["slide", "side by side", "error"].map((mode) => [mode, mode]), view.mode, (mode) => { view.mode = mode; repaint(); });
  choices("zoom", [[1, "fit"], [2, "2×"], [4, "4×"], [8, "8×"]], view.zoom, (zoom) => { view.zoom = zoom; repaint(); });
  choices("amplify", [1, 4, 16, 64].map((a) => [a, `${a}×`]), view.amplify, (a) => { view.amplify = a; shown.errors = null; repaint(); });
  const stops = Array.from({ length: 9 }, (_, i) => `#${data.inferno.slice(6 * Math.round(i * 255 / 8)).slice(0, 6)}`);
  $("inferno").style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
  const slide = (to) => { view.split = Math.min(1, Math.max(0, to)); repaint(); };
  draggable($("slide"), (event) => slide((event.clientX - $("slide").getBoundingClientRect().left) / $("slide").clientWidth));
  $("slide").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (step) { event.preventDefault(); slide(view.split + step); }
  });
  for (const id of ["pair-left", "pair-right", "error-left", "error-right"]) {
    draggable($(id), (event, last) => {
      view.x -= (event.clientX - last.clientX) / $(id).clientWidth / view.zoom;
      view.y -= (event.clientY - last.clientY) / $(id).clientHeight / view.zoom;
      repaint();
    });
  }
  const missing = data.names.length - data.pictures.length;
  $("viewer-note").textContent = missing > 0 ? `Pictures of ${data.pictures.length} of ${data.names.length} are in this page (all with --full); the numbers are of all.` : "";
  showPicture();
}
