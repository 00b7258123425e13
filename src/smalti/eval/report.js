"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// ---------------------------------------------------------------------------------- the numbers

const contenders = data.groups[0].means; // in the order of the command line
const byContender = new Map(contenders.map((m) => [m.contender, m]));
const codecs = [...new Set(contenders.map((m) => m.codec))].map((codec) => {
  const of = contenders.filter((m) => m.codec === codec);
  return { codec, classical: of[0].classical, name: of[0].title };
});
for (const classical of [false, true]) {
  codecs.filter((c) => c.classical === classical).forEach((c, i) => {
    c.colour = `var(--${classical ? `cool-${i % 5}` : `warm-${i % 6}`})`;
    c.shape = i % 5;
  });
}
const codecOf = new Map(codecs.map((c) => [c.codec, c]));
const hiddenCodecs = new Set();

const number = (value) => (value === "inf" ? Infinity : value === null ? NaN : value);

function decimals(value, digits, unit = "") {
  const n = number(value);
  if (n === Infinity) return "exact";
  return isNaN(n) ? "–" : n.toFixed(digits) + unit;
}

function seconds(value) {
  return value < 0.0995 ? (1000 * value).toPrecision(2) + " ms" : value.toPrecision(3) + " s";
}

// Means of a group, or the rows of one picture in the same shape.
function scopeMeans() {
  const value = $("scope").value;
  if (value.startsWith("g")) return data.groups[+value.slice(1)].means;
  return rowsOf(data.names[+value.slice(1)]).map((row) => ({
    ...byContender.get(row.contender), ...row, pictures: 1, exact: row.psnr === "inf" ? 1 : 0, failed: 0,
    encode_mpix_s: row.megapixels / row.encode_seconds, decode_mpix_s: row.megapixels / row.decode_seconds,
  }));
}

const rowsOf = (name) => data.rows.filter((row) => row.picture === name);

function scopeSize() {
  return Math.max(...scopeMeans().map((m) => m.pictures));
}

// ----------------------------------------------------------------------------------- the curves

function marker(codec, x, y, size = 4.2) {
  const style = `stroke:${codec.colour};stroke-width:1.6;fill:${codec.classical ? "var(--card)" : codec.colour}`;
  const s = size, at = (points) => points.map(([dx, dy]) => `${x + dx * s},${y + dy * s}`).join(" ");
  const polygons = [
    null,
    [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
    [[0, -1.2], [1.1, 0.85], [-1.1, 0.85]],
    [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]],
    [[0, 1.2], [1.1, -0.85], [-1.1, -0.85]],
  ];
  return codec.shape === 0
    ? svg("circle", { cx: x, cy: y, r: s, style })
    : svg("polygon", { points: at(polygons[codec.shape]), style });
}

function swatch(codec) {
  return svg("svg", { viewBox: "0 0 26 14", "aria-hidden": "true" },
    svg("line", { x1: 1, y1: 7, x2: 25, y2: 7, style: `stroke:${codec.colour};stroke-width:1.8` }), marker(codec, 13, 7));
}

const METRICS = {
  psnr: { ticks: [10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70], map: (v) => v, label: (v) => v },
  ssim: {
    ticks: [0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999],
    map: (v) => -Math.log10(1 - Math.min(v, 0.99999)), label: (v) => v,
  },
};
const BPP_TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50];

function drawPlot(metric) {
  const holder = $("plot-" + metric), { ticks, map, label } = METRICS[metric];
  const width = Math.max(300, holder.clientWidth), height = Math.min(400, 150 + width / 2.4);
  const box = { left: 44, right: width - 12, top: 14, bottom: height - 38 };
  const size = scopeSize();
  const means = scopeMeans().filter((m) => !hiddenCodecs.has(m.codec) && m.pictures === size && m[metric] !== null);
  holder.replaceChildren();
  if (!means.length) {
    holder.append(element("p", { class: "note" }, metric === "ssim" ? "SSIM needs pictures of at least 11 × 11 texels." : "Nothing to draw."));
    return;
  }
  const isExact = (m) => m.psnr === "inf";
  const finite = means.filter((m) => !isExact(m)).map((m) => map(m[metric]));
  const hasExact = means.some(isExact);
  const top = box.top + (hasExact ? 26 : 0);
  let [low, high] = finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
  const slack = 0.06 * (high - low) + 1e-3;
  low -= slack; high += slack;
  const bpps = means.map((m) => Math.log(m.bpp));
  let [first, last] = [Math.min(...bpps), Math.max(...bpps)];
  first -= 0.15; last += 0.15;
  const X = (bpp) => box.left + (box.right - box.left) * (Math.log(bpp) - first) / (last - first);
  const Y = (m) => isExact(m) ? box.top : box.bottom - (box.bottom - top) * (map(m[metric]) - low) / (high - low);

  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${metric.toUpperCase()} against bits per texel` });
  let lastLabel = Infinity;
  for (const tick of ticks) {
    const y = box.bottom - (box.bottom - top) * (map(tick) - low) / (high - low);
    if (y > box.bottom || y < top || lastLabel - y < 18) continue;
    lastLabel = y;
    root.append(svg("line", { class: "grid", x1: box.left, x2: box.right, y1: y, y2: y }), svg("text", { x: box.left - 6, y: y + 4, "text-anchor": "end" }, label(tick)));
  }
  for (const tick of BPP_TICKS) {
    const x = X(tick);
    if (x < box.left || x > box.right) continue;
    root.append(svg("line", { class: "grid", x1: x, x2: x, y1: box.top, y2: box.bottom }), svg("text", { x, y: box.bottom + 16, "text-anchor": "middle" }, tick));
  }
  root.append(svg("text", { x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle" }, "bits per texel (bpp), logarithmic"));
  if (hasExact) root.append(svg("text", { x: box.left - 6, y: box.top + 4, "text-anchor": "end" }, "exact"), svg("line", { class: "grid", x1: box.left, x2: box.right, y1: box.top, y2: box.top, "stroke-dasharray": "2 4" }));

  const spots = [];
  // Ours are drawn last, over the classical curves.
  for (const codec of [...codecs].sort((a, b) => b.classical - a.classical)) {
    [...bySeries(means, codec).values()].forEach((points, i) => {
      const sorted = [...points].sort((a, b) => a.bpp - b.bpp);
      const curve = sorted.filter((m) => !isExact(m)).map((m) => `${X(m.bpp).toFixed(1)},${Y(m).toFixed(1)}`).join(" ");
      root.append(svg("polyline", { class: "curve", points: curve, style: `stroke:${codec.colour}`, "stroke-dasharray": i ? "5 4" : "none" }));
      for (const m of sorted) {
        const spot = marker(codec, X(m.bpp), Y(m), codec.classical ? 3.6 : 5);
        root.append(spot);
        spots.push({ m, x: X(m.bpp), y: Y(m), spot });
      }
    });
  }
  root.addEventListener("pointermove", (event) => hover(event, root, spots, width));
  root.addEventListener("pointerleave", () => hover(null, root, spots, width));
  root.addEventListener("click", (event) => {
    const near = nearest(event, root, spots, width);
    if (near && !$("viewer").hidden) choose("right", near.m.contender);
  });
  holder.append(root);
}

function bySeries(means, codec) {
  const series = new Map();
  for (const m of means) if (m.codec === codec.codec) series.set(m.series, [...(series.get(m.series) ?? []), m]);
  return series;
}

function nearest(event, root, spots, width) {
  const frame = root.getBoundingClientRect(), scale = width / frame.width;
  const x = (event.clientX - frame.left) * scale, y = (event.clientY - frame.top) * scale;
  const distance = (s) => Math.hypot(s.x - x, s.y - y);
  const best = spots.reduce((a, b) => (distance(b) < distance(a) ? b : a), spots[0]);
  return distance(best) < 28 ? best : null;
}

function hover(event, root, spots, width) {
  const near = event && nearest(event, root, spots, width);
  for (const s of spots) s.spot.classList.toggle("on", s === near);
  $("tip").hidden = !near;
  if (!near) return;
  const m = near.m;
  $("tip").replaceChildren(element("b", {}, m.label),
    `${decimals(m.bpp, 3)} bpp\nPSNR ${decimals(m.psnr, 2, " dB")}\nSSIM ${decimals(m.ssim, 4)}\nencode ${seconds(m.encode_seconds)}, decode ${seconds(m.decode_seconds)}`);
  const right = event.pageX + 190 > document.documentElement.clientWidth;
  $("tip").style.left = `${right ? event.pageX - 190 : event.pageX + 14}px`;
  $("tip").style.top = `${event.pageY + 12}px`;
}

function drawCurves() {
  drawPlot("psnr");
  drawPlot("ssim");
  const size = scopeSize();
  const partial = scopeMeans().filter((m) => m.pictures < size);
  const names = [...new Set(partial.map((m) => `${codecOf.get(m.codec).name} (${m.pictures} of ${size} pictures)`))];
  $("curves-note").textContent = names.length
    ? `Not drawn, since a mean over fewer pictures compares with nothing: ${names.join(", ")}. ${data.groups.length > 1 ? "Choose another set of pictures above to see them." : ""}` : "";
}

function drawLegend() {
  for (const codec of codecs) {
    const button = element("button", { type: "button", "aria-pressed": "true" }, swatch(codec), codec.name);
    button.addEventListener("click", () => {
      if (!hiddenCodecs.delete(codec.codec)) hiddenCodecs.add(codec.codec);
      button.setAttribute("aria-pressed", String(!hiddenCodecs.has(codec.codec)));
      drawCurves();
    });
    $("legend").append(button);
  }
}

// ------------------------------------------------------------------------------------ the table

const COLUMNS = [
  ["label", "codec"], ["bpp", "bpp"], ["psnr", "PSNR dB"], ["ssim", "SSIM"], ["ms_ssim", "MS-SSIM"],
  ["encode_seconds", "encode"], ["decode_seconds", "decode"], ["encode_mpix_s", "enc. MPix/s"], ["decode_mpix_s", "dec. MPix/s"],
  ["pictures", "pictures"], ["random_access", "reads"],
];
const CELLS = {
  bpp: (m) => decimals(m.bpp, 3), psnr: (m) => decimals(m.psnr, 2), ssim: (m) => decimals(m.ssim, 4), ms_ssim: (m) => decimals(m.ms_ssim, 4),
  encode_seconds: (m) => seconds(m.encode_seconds), decode_seconds: (m) => seconds(m.decode_seconds),
  encode_mpix_s: (m) => m.encode_mpix_s.toPrecision(3), decode_mpix_s: (m) => m.decode_mpix_s.toPrecision(3),
  pictures: (m) => `${m.pictures}${m.failed ? ` of ${m.pictures + m.failed}` : ""}${m.exact && m.exact < m.pictures ? `, ${m.exact} exact` : ""}`,
  random_access: (m) => [m.random_access ? "windows" : "", m.any_size ? "any size" : ""].filter(Boolean).join(", "),
};
let sorting = { key: null, ascending: true };

function drawTable() {
  const head = document.querySelector("#table-title ~ .scroll thead tr"), body = document.querySelector("#table-title ~ .scroll tbody");
  const { key, ascending } = sorting;
  head.replaceChildren(...COLUMNS.map(([column, title]) => {
    const button = element("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      sorting = { key: column, ascending: column === key ? !ascending : true };
      drawTable();
    });
    return element("th", column === key ? { "aria-sort": ascending ? "ascending" : "descending" } : {}, button);
  }));
  const means = [...scopeMeans()];
  if (key) {
    const value = (m) => (key === "label" ? m.label : number(m[key]));
    means.sort((a, b) => (ascending ? 1 : -1) * (key === "label" ? a.label.localeCompare(b.label, "en", { numeric: true }) : value(a) - value(b) || 0));
  }
  body.replaceChildren(...means.map((m) => {
    const codec = codecOf.get(m.codec);
    const name = element("td", {}, swatch(codec), " ", m.label);
    return element("tr", { class: codec.classical ? "" : "ours" }, name, ...COLUMNS.slice(1).map(([column]) => element("td", {}, String(CELLS[column](m)))));
  }));
  $("table-note").textContent = `${$("scope").selectedOptions[0].textContent}; times for one picture. Reads windows: single texels or blocks decode without the rest; any size: decodes at other sizes than the picture's.`;
}

// ----------------------------------------------------------------------------------- the viewer

const ORIGINAL = "original";
const view = { picture: 0, left: ORIGINAL, right: "", zoom: 1, amplify: 4, x: 0.5, y: 0.5, split: 0.5 };
const inferno = Uint8Array.from(data.inferno.match(/../g), (pair) => parseInt(pair, 16));
const loaded = new Map(); // data URI -> promise of a canvas

function pixels(uri) {
  if (!loaded.has(uri)) {
    loaded.set(uri, new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => {
        const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
        canvas.getContext("2d", { willReadFrequently: true }).drawImage(image, 0, 0);
        resolve(canvas);
      };
      image.onerror = () => reject(new Error("a picture in this page is damaged"));
      image.src = uri;
    }));
  }
  return loaded.get(uri);
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

const uriOf = (picture, which) => (which === ORIGINAL ? picture.original : picture.decoded[which]);
const labelOf = (which) => (which === ORIGINAL ? "Original" : byContender.get(which).label);
let painted = 0;
let shown = null; // { left, right, error } canvases of the current choice

async function showPicture() {
  const turn = ++painted, picture = data.pictures[view.picture];
  const [original, left, right] = await Promise.all([picture.original, uriOf(picture, view.left), uriOf(picture, view.right)].map(pixels));
  if (turn !== painted) return; // another choice was made meanwhile
  shown = { left, right, error: errorMap(original, right, view.amplify) };
  const captions = document.querySelectorAll(".panels figcaption");
  captions[0].textContent = labelOf(view.left);
  captions[1].textContent = labelOf(view.right);
  captions[2].textContent = `Error of ${labelOf(view.right)}`;
  document.querySelector(".tag.left").textContent = labelOf(view.left);
  document.querySelector(".tag.right").textContent = labelOf(view.right);
  $("scale-high").textContent = `≥ ${(255 / view.amplify).toFixed(view.amplify > 25 ? 1 : 0)} of 255 levels`;
  document.querySelector(".slider").style.maxWidth = `calc(80vh * ${original.width / original.height})`;
  drawFacts(picture);
  repaint();
}

function repaint() {
  if (!shown) return;
  paint($("slider"), shown.left, 0, view.split);
  paint($("slider"), shown.right, view.split, 1, false);
  document.querySelector(".split").style.left = `${100 * view.split}%`;
  $("slider").setAttribute("aria-valuenow", Math.round(100 * view.split));
  paint($("panel-left"), shown.left);
  paint($("panel-right"), shown.right);
  paint($("panel-error"), shown.error);
}

function drawFacts(picture) {
  const rows = rowsOf(picture.name), row = (which) => rows.find((r) => r.contender === which);
  const columns = [view.left, view.right].filter((which) => which !== ORIGINAL);
  const facts = [
    ["file", (r) => `${r.bytes.toLocaleString("en")} B`], ["bpp", (r) => decimals(r.bpp, 3)], ["PSNR", (r) => decimals(r.psnr, 2, " dB")],
    ["SSIM", (r) => decimals(r.ssim, 4)], ["MS-SSIM", (r) => decimals(r.ms_ssim, 4)], ["encode", (r) => seconds(r.encode_seconds)], ["decode", (r) => seconds(r.decode_seconds)],
  ];
  const head = element("tr", {}, element("th", {}, ""), ...columns.map((which) => element("th", {}, labelOf(which))));
  $("facts").replaceChildren(
    element("table", {}, element("thead", {}, head), element("tbody", {},
      ...facts.map(([name, value]) => element("tr", {}, element("td", {}, name), ...columns.map((which) => element("td", {}, value(row(which)))))))));
  const { left, top, width, height } = picture.crop, kind = { 1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA" }[picture.channels];
  const whole = width === picture.width && height === picture.height;
  $("facts").append(element("p", { class: "note" }, `${picture.name}: ${picture.width} × ${picture.height} texels, ${kind}. ` +
    (whole ? "Shown whole." : `Shown: ${width} × ${height} texels from column ${left}, row ${top}, its most detailed part. The numbers are of the whole picture.`)));
}

function choose(key, value) {
  view[key] = value;
  if (key === "picture") fillSides();
  for (const side of ["left", "right"]) $(side).value = view[side];
  $("picture").value = view.picture;
  showPicture();
}

function fillSides() {
  const available = Object.keys(data.pictures[view.picture].decoded);
  for (const side of ["left", "right"]) {
    const options = side === "left" ? [ORIGINAL, ...available] : available;
    $(side).replaceChildren(...options.map((which) => element("option", { value: which }, labelOf(which))));
    if (!options.includes(view[side])) view[side] = options[0];
    $(side).value = view[side];
  }
}

function choices(id, key, values, label) {
  for (const value of values) {
    const button = element("button", { type: "button", "aria-pressed": String(value === view[key]) }, label(value));
    button.addEventListener("click", () => {
      for (const other of $(id).children) other.setAttribute("aria-pressed", String(other === button));
      view[key] = value;
      if (key === "zoom") repaint(); else showPicture();
    });
    $(id).append(button);
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
  $("picture").append(...data.pictures.map((p, i) => element("option", { value: i }, p.name)));
  view.right = Object.keys(data.pictures[0].decoded)[0];
  fillSides();
  $("picture").addEventListener("change", () => choose("picture", +$("picture").value));
  for (const side of ["left", "right"]) $(side).addEventListener("change", () => choose(side, $(side).value));
  choices("zoom", "zoom", [1, 2, 4, 8], (z) => (z === 1 ? "fit" : `${z}×`));
  choices("amplify", "amplify", [1, 4, 16, 64], (a) => `${a}×`);
  const stops = Array.from({ length: 9 }, (_, i) => `#${data.inferno.slice(6 * Math.round(i * 255 / 8)).slice(0, 6)}`);
  $("inferno").style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
  const slide = (to) => { view.split = Math.min(1, Math.max(0, to)); repaint(); };
  draggable($("slider"), (event) => slide((event.clientX - $("slider").getBoundingClientRect().left) / $("slider").clientWidth));
  $("slider").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (step) { event.preventDefault(); slide(view.split + step); }
  });
  for (const id of ["panel-left", "panel-right", "panel-error"]) {
    draggable($(id), (event, last) => {
      view.x -= (event.clientX - last.clientX) / $(id).clientWidth / view.zoom;
      view.y -= (event.clientY - last.clientY) / $(id).clientHeight / view.zoom;
      repaint();
    });
  }
  const missing = data.names.length - data.pictures.length;
  $("viewer-note").textContent = "Error: the largest difference of a texel's channels, colour premultiplied with alpha. Drag the panels to move a zoomed picture." +
    (missing > 0 ? ` The page has room for ${data.pictures.length} of ${data.names.length} pictures; the numbers are of all.` : "");
  showPicture();
}

// ------------------------------------------------------------------------------------- the rest

function drawHeader() {
  const latest = data.conditions[data.conditions.length - 1];
  const day = new Date(latest.date).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
  const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  $("summary").textContent = `${count(data.names.length, "picture")}, ${count(contenders.length, "setting")} of ${count(codecs.length, "codec")}. smalti ${latest.smalti}, ${day}, ${latest.processor}, ${latest.device}.`;
  const list = document.querySelector("#conditions dl");
  data.conditions.forEach((conditions, i) => {
    if (data.conditions.length > 1) list.append(element("dt", {}, element("b", {}, `run ${i + 1}`)), element("dd", {}, ""));
    for (const [key, value] of Object.entries(conditions)) {
      if (value === "") continue;
      const text = typeof value === "object" ? Object.entries(value).map((pair) => pair.join(" ")).join(", ") : String(value);
      list.append(element("dt", {}, key), element("dd", {}, text));
    }
  });
}

function drawDuels() {
  if (!data.duels.length) { $("duels-section").hidden = true; return; }
  for (const duel of data.duels) {
    const gap = number(duel.gap);
    let [kind, text] = ["none", "no rival"];
    if (gap > 0.05) [kind, text] = ["classical", gap === Infinity ? "classical, exact" : `classical +${gap.toFixed(1)} dB`];
    else if (gap < -0.05) [kind, text] = ["ours", gap === -Infinity ? "smalti, exact" : `smalti +${(-gap).toFixed(1)} dB`];
    else if (!isNaN(gap)) text = "equal";
    $("duels").append(element("li", {}, element("span", { class: `badge ${kind}` }, text), element("span", {}, duel.sentence)));
  }
}

function drawFailures() {
  const grouped = new Map();
  for (const { picture, codec, error } of data.failures) {
    const key = JSON.stringify([codec, error]);
    grouped.set(key, (grouped.get(key) ?? new Set()).add(picture));
  }
  $("failures-section").hidden = grouped.size === 0;
  for (const [key, pictures] of grouped) {
    const [codec, error] = JSON.parse(key);
    $("failures").append(element("li", {}, element("b", {}, codec), ` ${error} `, element("small", {}, [...pictures].join(", "))));
  }
}

function start() {
  drawHeader();
  drawLegend();
  data.groups.forEach((group, i) => $("scope").append(element("option", { value: `g${i}` }, group.label)));
  if (data.names.length > 1) data.names.forEach((name, i) => { if (rowsOf(name).length) $("scope").append(element("option", { value: `p${i}` }, name)); });
  $("scope").addEventListener("change", () => { drawCurves(); drawTable(); });
  drawDuels();
  drawFailures();
  startViewer();
  if (contenders.length) { drawCurves(); drawTable(); }
  window.addEventListener("resize", () => { drawCurves(); repaint(); });
}

start();
