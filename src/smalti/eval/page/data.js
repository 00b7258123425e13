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

const contenders = data.groups[0].means; // in the order of the command line
const byContender = new Map(contenders.map((m) => [m.contender, m]));
const codecs = [...new Set(contenders.map((m) => m.codec))].map((codec) => {
  const { classical, for_gpu, title } = contenders.find((m) => m.codec === codec);
  return { codec, classical, for_gpu, name: title };
});
for (const classical of [false, true]) {
  codecs.filter((c) => c.classical === classical).forEach((c, i) => {
    c.colour = `var(--${classical ? `classical-${i % 5}` : `ours-${i % 9}`})`;
    c.shape = i % 5;
  });
}
const codecOf = new Map(codecs.map((c) => [c.codec, c]));

// Quality by its key in the numbers: how a plot's axis runs and where it may have ticks.
const logarithmic = (v) => -Math.log10(1 - Math.min(v, 0.99999));
const SIMILARITIES = [0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999];
const METRICS = {
  psnr: { name: "PSNR", axis: "PSNR, dB", digits: 2, unit: " dB", ticks: [10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70], map: (v) => v },
  ssim: { name: "SSIM", axis: "SSIM (logarithm of 1 − SSIM)", digits: 4, unit: "", ticks: SIMILARITIES, map: logarithmic },
  ms_ssim: { name: "MS-SSIM", axis: "MS-SSIM (logarithm of 1 − MS-SSIM)", digits: 4, unit: "", ticks: SIMILARITIES, map: logarithmic },
};
const measured = Object.keys(METRICS).filter((key) => contenders.some((m) => m[key] !== null));

const number = (value) => (value === "inf" ? Infinity : value === null ? NaN : value);

function decimals(value, digits, unit = "") {
  const n = number(value);
  if (n === Infinity) return "exact";
  return isNaN(n) ? "–" : n.toFixed(digits) + unit;
}

function seconds(value) {
  return value < 0.0995 ? (1000 * value).toPrecision(2) + " ms" : value.toPrecision(3) + " s";
}

const rowsOf = (name) => data.rows.filter((row) => row.picture === name);

// "g0": the means of a group; "p3": the rows of one picture in the same shape.
function meansOf(scope) {
  if (scope.startsWith("g")) return data.groups[+scope.slice(1)].means;
  return rowsOf(data.names[+scope.slice(1)]).map((row) => ({
    ...byContender.get(row.contender), ...row, pictures: 1, exact: row.psnr === "inf" ? 1 : 0, failed: 0,
    encode_mpix_s: row.megapixels / row.encode_seconds, decode_mpix_s: row.megapixels / row.decode_seconds,
  }));
}

// A codec's name, and its settings small below it.
function named(m) {
  const settings = m.label.slice(m.title.length).trim();
  return settings ? [m.title, element("small", {}, settings)] : [m.title];
}

// Buttons of which one is pressed.
function choices(holder, options, chosen, onChoice) {
  const buttons = options.map(([value, ...content]) => {
    const button = element("button", { type: "button", "aria-pressed": String(value === chosen) }, ...content);
    button.addEventListener("click", () => { press(value); onChoice(value); });
    return [value, button];
  });
  const press = (value) => buttons.forEach(([own, button]) => button.setAttribute("aria-pressed", String(own === value)));
  $(holder).replaceChildren(...buttons.map(([, button]) => button));
  $(holder).hidden = options.length < 2;
  return press;
}

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
  return svg("svg", { viewBox: "0 0 24 14", "aria-hidden": "true" },
    svg("line", { x1: 1, y1: 7, x2: 23, y2: 7, style: `stroke:${codec.colour};stroke-width:1.8` }), marker(codec, 12, 7));
}
