// -------------------------------------------------------------------------------------- curves

const plots = { scope: "g0", metric: measured[0], kind: "all", hidden: new Set() };
const KINDS = { all: () => true, "picture codecs": (codec) => !codec.for_gpu, "GPU formats": (codec) => codec.for_gpu };
const BPP_TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50];
const SMALL_PLOTS = 12; // pictures that get one

const drawn = (codec) => KINDS[plots.kind](codec) && !plots.hidden.has(codec.codec);

function drawPlot(holder, scope, { small = false } = {}) {
  const { ticks, map, axis } = METRICS[plots.metric], metric = plots.metric;
  const width = Math.max(small ? 150 : 300, holder.clientWidth), height = small ? width * 0.62 : Math.min(520, 160 + width / 2.2);
  const box = { left: small ? 26 : 44, right: width - (small ? 6 : 12), top: 14, bottom: height - (small ? 18 : 38) };
  const all = meansOf(scope), size = Math.max(0, ...all.map((m) => m.pictures));
  const means = all.filter((m) => drawn(codecOf.get(m.codec)) && m.pictures === size && m[metric] !== null);
  holder.replaceChildren();
  if (!means.length) {
    holder.append(element("p", { class: "note" }, "Nothing to draw."));
    return;
  }
  const isExact = (m) => m.psnr === "inf";
  const finite = means.filter((m) => !isExact(m)).map((m) => map(m[metric]));
  const hasExact = means.some(isExact);
  const top = box.top + (hasExact ? (small ? 12 : 26) : 0);
  let [low, high] = finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
  const slack = 0.06 * (high - low) + 1e-3;
  low -= slack; high += slack;
  const bpps = means.map((m) => Math.log(m.bpp));
  const first = Math.min(...bpps) - 0.15, last = Math.max(...bpps) + 0.15;
  const X = (bpp) => box.left + (box.right - box.left) * (Math.log(bpp) - first) / (last - first);
  const Y = (m) => isExact(m) ? box.top : box.bottom - (box.bottom - top) * (map(m[metric]) - low) / (high - low);

  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${axis} against bits per texel` });
  let before = Infinity;
  for (const tick of ticks) {
    const y = box.bottom - (box.bottom - top) * (map(tick) - low) / (high - low);
    if (y > box.bottom || y < top || before - y < (small ? 26 : 18)) continue;
    before = y;
    root.append(svg("line", { class: "grid", x1: box.left, x2: box.right, y1: y, y2: y }), svg("text", { x: box.left - 6, y: y + 4, "text-anchor": "end" }, tick));
  }
  before = -Infinity;
  for (const tick of BPP_TICKS) {
    const x = X(tick);
    if (x < box.left || x > box.right || x - before < 26) continue;
    before = x;
    root.append(svg("line", { class: "grid", x1: x, x2: x, y1: box.top, y2: box.bottom }), svg("text", { x, y: box.bottom + 15, "text-anchor": "middle" }, tick));
  }
  if (!small) root.append(svg("text", { x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle" }, "bits per texel (bpp), logarithmic"));
  if (hasExact) root.append(svg("line", { class: "grid", x1: box.left, x2: box.right, y1: box.top, y2: box.top, "stroke-dasharray": "2 4" }));
  if (hasExact && !small) root.append(svg("text", { x: box.left - 6, y: box.top + 4, "text-anchor": "end" }, "exact"));

  const spots = [];
  // Ours are drawn last, over the classical curves.
  for (const codec of [...codecs].sort((a, b) => b.classical - a.classical)) {
    [...bySeries(means, codec).values()].forEach((points, i) => {
      const sorted = [...points].sort((a, b) => a.bpp - b.bpp);
      const curve = sorted.filter((m) => !isExact(m)).map((m) => `${X(m.bpp).toFixed(1)},${Y(m).toFixed(1)}`).join(" ");
      root.append(svg("polyline", { class: "curve", points: curve, style: `stroke:${codec.colour}`, "stroke-dasharray": i ? "5 4" : "none" }));
      for (const m of sorted) {
        const spot = marker(codec, X(m.bpp), Y(m), (codec.classical ? 3.8 : 5) * (small ? 0.6 : 1));
        root.append(spot);
        spots.push({ m, x: X(m.bpp), y: Y(m), spot });
      }
    });
  }
  if (!small) answer(root, spots, width);
  holder.append(root);
}

function bySeries(means, codec) {
  const series = new Map();
  for (const m of means) if (m.codec === codec.codec) series.set(m.series, [...(series.get(m.series) ?? []), m]);
  return series;
}

// Numbers under the pointer; a click shows that setting's picture.
function answer(root, spots, width) {
  const nearest = (event) => {
    const frame = root.getBoundingClientRect(), scale = width / frame.width;
    const x = (event.clientX - frame.left) * scale, y = (event.clientY - frame.top) * scale;
    const distance = (s) => Math.hypot(s.x - x, s.y - y);
    const best = spots.reduce((a, b) => (distance(b) < distance(a) ? b : a), spots[0]);
    return distance(best) < 28 ? best : null;
  };
  const hover = (event) => {
    const near = event && nearest(event);
    for (const s of spots) s.spot.classList.toggle("on", s === near);
    $("tip").hidden = !near;
    if (!near) return;
    const m = near.m, qualities = measured.map((key) => `${METRICS[key].name} ${decimals(m[key], METRICS[key].digits, METRICS[key].unit)}\n`);
    $("tip").replaceChildren(element("b", {}, m.label), `${decimals(m.bpp, 3)} bpp\n${qualities.join("")}encode ${seconds(m.encode_seconds)}, decode ${seconds(m.decode_seconds)}`);
    const right = event.pageX + 210 > document.documentElement.clientWidth;
    $("tip").style.left = `${right ? event.pageX - 210 : event.pageX + 14}px`;
    $("tip").style.top = `${event.pageY + 12}px`;
  };
  root.addEventListener("pointermove", hover);
  root.addEventListener("pointerleave", () => hover(null));
  root.addEventListener("click", (event) => {
    const near = nearest(event);
    if (near && data.pictures.some((p) => near.m.contender in p.decoded)) choose("right", near.m.contender);
  });
}

function drawCurves() {
  const large = $("plot-large"), label = $("scope").querySelector(`option[value="${plots.scope}"]`).textContent;
  large.querySelector("figcaption").textContent = `${METRICS[plots.metric].axis}; ${label}`;
  drawPlot(large.querySelector(".plot"), plots.scope);
  for (const figure of $("plots-small").children) drawPlot(figure.querySelector(".plot"), figure.dataset.scope, { small: true });
  const means = meansOf(plots.scope), size = Math.max(0, ...means.map((m) => m.pictures));
  const partial = means.filter((m) => m.pictures < size && drawn(codecOf.get(m.codec)));
  const names = [...new Set(partial.map((m) => `${m.title} (${m.pictures} of ${size} pictures)`))];
  $("curves-note").textContent = names.length ? `Not drawn, since a mean over fewer pictures compares with nothing: ${names.join(", ")}.` : "";
}

function showScope(scope) {
  plots.scope = $("scope").value = scope;
  drawCurves();
  drawTable();
}

function startCurves() {
  const legend = [...codecs].sort((a, b) => a.classical - b.classical);
  for (const codec of legend) {
    const button = element("button", { type: "button", "aria-pressed": "true" }, swatch(codec), codec.name);
    button.addEventListener("click", () => {
      if (!plots.hidden.delete(codec.codec)) plots.hidden.add(codec.codec);
      button.setAttribute("aria-pressed", String(!plots.hidden.has(codec.codec)));
      drawCurves();
    });
    $("legend").append(button);
  }
  const kinds = Object.keys(KINDS).filter((kind) => codecs.some(KINDS[kind]));
  const chosen = (key) => (value) => {
    plots[key] = value;
    [...$("legend").children].forEach((button, i) => { button.hidden = !KINDS[plots.kind](legend[i]); });
    drawCurves();
  };
  choices("kinds", kinds.length > 2 ? kinds.map((kind) => [kind, kind]) : [], plots.kind, chosen("kind"));
  choices("metric", measured.map((key) => [key, METRICS[key].name]), plots.metric, chosen("metric"));
  data.groups.forEach((group, i) => $("scope").append(element("option", { value: `g${i}` }, group.label)));
  const names = data.names.length > 1 ? data.names.map((name, i) => [`p${i}`, name]).filter(([, name]) => rowsOf(name).length) : [];
  for (const [scope, name] of names) $("scope").append(element("option", { value: scope }, name));
  for (const [scope, name] of names.slice(0, SMALL_PLOTS)) {
    const figure = element("figure", { "data-scope": scope }, element("figcaption", {}, name), element("div", { class: "plot" }));
    figure.addEventListener("click", () => showScope(plots.scope === scope ? "g0" : scope));
    $("plots-small").append(figure);
  }
  $("scope").addEventListener("change", () => showScope($("scope").value));
}

// --------------------------------------------------------------------------------------- table

const CELLS = {
  bpp: ["bpp", (m) => decimals(m.bpp, 3)],
  ...Object.fromEntries(measured.map((key) => [key, [METRICS[key].name, (m) => decimals(m[key], METRICS[key].digits)]])),
  encode_seconds: ["encode", (m) => seconds(m.encode_seconds)], decode_seconds: ["decode", (m) => seconds(m.decode_seconds)],
  encode_mpix_s: ["enc. MPix/s", (m) => m.encode_mpix_s.toPrecision(3)], decode_mpix_s: ["dec. MPix/s", (m) => m.decode_mpix_s.toPrecision(3)],
  pictures: ["pictures", (m) => `${m.pictures}${m.failed ? ` of ${m.pictures + m.failed}` : ""}${m.exact && m.exact < m.pictures ? `, ${m.exact} exact` : ""}`],
  random_access: ["reads", (m) => [m.random_access ? "windows" : "", m.any_size ? "any size" : ""].filter(Boolean).join(", ")],
};
let sorting = { key: null, ascending: true };

function drawTable() {
  const head = document.querySelector(".scroll thead tr"), body = document.querySelector(".scroll tbody");
  const { key, ascending } = sorting;
  head.replaceChildren(...[["label", ["codec"]], ...Object.entries(CELLS)].map(([column, [title]]) => {
    const button = element("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      sorting = { key: column, ascending: column === key ? !ascending : true };
      drawTable();
    });
    return element("th", column === key ? { "aria-sort": ascending ? "ascending" : "descending" } : {}, button);
  }));
  const means = [...meansOf(plots.scope)];
  if (key) {
    const order = (a, b) => (key === "label" ? a.label.localeCompare(b.label, "en", { numeric: true }) : number(a[key]) - number(b[key]) || 0);
    means.sort((a, b) => (ascending ? order(a, b) : order(b, a)));
  }
  body.replaceChildren(...means.map((m) => element("tr", {},
    element("td", { class: "name" }, swatch(codecOf.get(m.codec)), ...named(m)),
    ...Object.values(CELLS).map(([, cell]) => element("td", {}, String(cell(m)))))));
}

// ------------------------------------------------------------------------------------ the rest

function drawHeader() {
  const latest = data.conditions[data.conditions.length - 1];
  const day = new Date(latest.date).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
  const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  $("summary").textContent = `${count(data.names.length, "picture")}, ${count(contenders.length, "setting")} of ${count(codecs.length, "codec")}; ${day}, ${latest.processor}`;
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

function drawSentences() {
  $("verdicts-section").hidden = !data.verdicts.length;
  for (const { codec, sentence } of data.verdicts) {
    $("verdicts").append(element("li", {}, swatch(codecOf.get(codec)), element("b", {}, codecOf.get(codec).name), sentence.slice(sentence.indexOf(":"))));
  }
  $("failures-section").hidden = !data.failures.length;
  for (const { who, pictures, error } of data.failures) {
    $("failures").append(element("li", {}, element("b", {}, who), `: ${error} `, element("small", {}, pictures.join(", "))));
  }
}

function start() {
  drawHeader();
  startCurves();
  drawSentences();
  startViewer();
  if (contenders.length) { drawCurves(); drawTable(); }
  window.addEventListener("resize", () => { drawCurves(); repaint(); });
}

start();
