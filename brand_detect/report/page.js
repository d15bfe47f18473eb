// The report page: table, timeline, evidence and, if a service provides the page, corrections.
// Texts come from untrusted pictures: elements are built one by one and texts set as text, never as markup.
(() => {
  "use strict";

  const data = JSON.parse(document.getElementById("data").textContent);
  const service = JSON.parse(document.getElementById("service").textContent);
  const [START, END] = data.range_s;
  const LETTERS = 120;
  const byId = (id) => document.getElementById(id);
  document.documentElement.classList.add("js");

  // ---- elements and words

  function el(tag, props = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(props)) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "style") for (const [name, v] of Object.entries(value)) node.style.setProperty(name, v);
      else if (typeof value === "function") node.addEventListener(key, value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }

  function cut(text, letters = LETTERS) {
    const start = Array.from(text.slice(0, 2 * letters + 2));
    return start.length > letters ? start.slice(0, letters).join("") + "…" : text;
  }
  const word = (text) => el("bdi", {}, cut(String(text)));
  const plain = (text) => `\u2068${cut(String(text))}\u2069`; // for attributes, isolated from the surrounding text direction
  const counted = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

  function clock(seconds) {
    const tenths = Math.round(seconds * 10);
    const [minutes, rest] = [Math.floor(tenths / 600), tenths % 600];
    const tail = `${String(Math.floor(rest / 10)).padStart(2, "0")}.${rest % 10}`;
    return minutes < 60 ? `${minutes}:${tail}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
  }
  function duration(seconds) {
    if (seconds < 120) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    const minutes = Math.floor(whole / 60);
    return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  }
  function percent(share) {
    const value = 100 * share;
    if (value > 0 && value < 0.005) return "< 0.01 %";
    return `${value.toFixed(value >= 10 ? 0 : value >= 1 ? 1 : 2)} %`;
  }
  const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
  function written(value, kind) {
    if (value === null || value === undefined) return "–";
    if (kind === "seconds") return duration(value);
    if (kind === "share") return percent(value);
    if (kind === "score" || kind === "zones") return score(value);
    if (kind === "money") return Math.round(value).toLocaleString("en");
    if (kind === "placement") return placementWords(value);
    return cut(Array.isArray(value) ? value.join(", ") : String(value));
  }

  function placementWords(placement) {
    return placement === "led" ? "LED" : placement.replace("_", " ");
  }

  // ---- the data as rows

  const brands = data.brands;
  const figures = data.figures;
  const isText = (figure) => figure.kind === "text" || figure.kind === "placement";
  const placementsTold = figures.some((figure) => figure.key === "placement");
  const exposures = rowsOf(data.exposures, data.exposures.brand.length);
  const proofs = rowsOf(data.evidence, data.evidence.score.length);
  const ofBrand = brands.map(() => []);
  exposures.forEach((exposure, i) => {
    exposure.i = i;
    ofBrand[exposure.brand].push(exposure);
  });
  const pictures = data.pictures;

  function rowsOf(columns, length) {
    const names = Object.keys(columns);
    return Array.from({ length }, (_, i) => {
      const row = {};
      for (const name of names) {
        const column = columns[name];
        row[name] = Array.isArray(column) ? column[i] : column.of[column.at[i]];
      }
      return row;
    });
  }

  const SOURCES = { T: "a rule on text", L: "its logo", M: "a local model", C: "a cloud model", P: "a person" };
  function sourceOf(e) {
    if (e.rule === "review" || e.reviewed === "renamed" || e.reviewed === "named") return "P";
    if (e.decided_by === "escalate_cloud") return "C";
    if (e.decided_by === "escalate_vlm") return "M";
    return e.rule === "logo_match" ? "L" : "T";
  }
  const WEAK = 0.7;
  const certainty = (e) => (e.confidence >= data.sure_confidence || e.reviewed ? "sure" : e.confidence >= WEAK ? "likely" : "weak");

  // ---- what is shown: filters, order, totals

  const filter = { source: "", confidence: 0, placement: "" };
  const order = { key: "seconds", down: true };
  let query = "";
  let rows = []; // of the table: a brand's totals, its number and its shown exposures
  const filtered = () => Boolean(filter.source || filter.confidence || filter.placement);

  function passes(e) {
    const [kind, value] = filter.source.split(":");
    if (kind === "source" && sourceOf(e) !== value) return false;
    if (kind === "stage" && e.decided_by !== value) return false;
    if (kind === "rule" && e.rule !== value) return false;
    return e.confidence >= filter.confidence - 1e-9 && (!filter.placement || e.placement === filter.placement);
  }

  function totalsOf(number, own) {
    const seconds = own.reduce((sum, e) => sum + e.seconds, 0);
    const mean = (name) => {
      const known = own.filter((e) => e[name] !== null);
      const time = known.reduce((sum, e) => sum + e.seconds, 0);
      return time ? known.reduce((sum, e) => sum + e[name] * e.seconds, 0) / time : null;
    };
    const on = {};
    for (const e of own) on[e.placement] = (on[e.placement] || 0) + e.seconds;
    const rate = data.media_value && data.media_value.rate_per_30_s;
    const spotSeconds = own.some((e) => e.media_factor === null) ? null : own.reduce((sum, e) => sum + e.media_factor * e.seconds, 0);
    return {
      ...brands[number],
      seconds,
      low_s: null,
      high_s: null,
      screen_share: seconds / (END - START),
      n_exposures: own.length,
      longest_s: Math.max(...own.map((e) => e.seconds)),
      mean_s: seconds / own.length,
      area_frac_mean: mean("area_frac_mean"),
      area_frac_max: Math.max(...own.map((e) => e.area_frac_max)),
      position: mean("position"),
      clarity: mean("clarity"),
      visible_frac: mean("visible_frac"),
      exclusive_s: own.some((e) => e.exclusive_s === null) ? null : own.reduce((sum, e) => sum + e.exclusive_s, 0),
      placement: Object.entries(on).sort((a, b) => b[1] - a[1])[0][0],
      quality: mean("quality"),
      media_value: rate && spotSeconds !== null ? (rate / 30) * spotSeconds : null,
    };
  }

  function zonesOf(own) {
    const total = own.reduce((sum, e) => sum + e.seconds, 0);
    return data.zones.map((zone) => own.reduce((sum, e) => sum + (e.zone === zone ? e.seconds : 0), 0) / total);
  }

  function unionSeconds(spans) {
    let [sum, reach] = [0, -Infinity];
    for (const e of [...spans].sort((a, b) => a.start_s - b.start_s)) {
      sum += Math.max(0, e.end_s - Math.max(reach, e.start_s));
      reach = Math.max(reach, e.end_s);
    }
    return sum;
  }

  function update() {
    rows = [];
    brands.forEach((brand, number) => {
      const own = filtered() ? ofBrand[number].filter(passes) : ofBrand[number];
      if (own.length) rows.push({ number, own, total: filtered() ? totalsOf(number, own) : brand });
    });
    if (filtered()) {
      const all = rows.reduce((sum, row) => sum + row.total.seconds, 0);
      for (const row of rows) row.total.share_of_voice = row.total.seconds / all;
    }
    const shown = rows.flatMap((row) => row.own);
    say(shown);
    const wanted = query.trim().toLocaleLowerCase();
    const found = rows.filter((row) => row.total.brand.toLocaleLowerCase().includes(wanted)).sort(compare);
    if (wanted && !found.length) state.textContent += ` No brand's name contains “${plain(query)}”.`;
    drawTable(found);
    timeline.setLanes(found);
    drawEvidence(found);
  }

  function compare(a, b) {
    const [x, y] = [a.total[order.key], b.total[order.key]];
    if (x === null || y === null) return (x === null) - (y === null);
    const by = typeof x === "number" ? x - y : String(x).localeCompare(String(y));
    return (order.down ? -by : by) || b.total.seconds - a.total.seconds || a.number - b.number;
  }

  function say(shown) {
    const value = rows.reduce((sum, row) => sum + (row.total.media_value || 0), 0);
    const tiles = {
      brands: rows.length,
      any: duration(unionSeconds(shown)),
      exposures: shown.length,
      value: data.media_value && `${written(value, "money")} ${data.media_value.currency}`,
    };
    for (const tile of document.querySelectorAll("[data-tile]")) tile.textContent = tiles[tile.dataset.tile];
    state.classList.toggle("on", filtered());
    state.textContent = filtered()
      ? `Filter on: ${shown.length} of ${counted(exposures.length, "exposure")}, ${rows.length} of ${counted(brands.length, "brand")}. ` +
        "All totals, shares and tiles are those of the filter, each instant counted once per brand; low and high are known only for the whole report. " +
        "An exposure counts by its best detection."
      : "Every instant counts once per brand, however many boxes show it.";
    reset.disabled = !filtered() && !query;
  }

  // ---- filters

  const state = el("p", { class: "state", role: "status" });
  const search = el("input", { type: "search", id: "search", placeholder: "Name of a brand", autocomplete: "off", maxlength: 200, input: () => { query = search.value; update(); } });
  const source = el("select", { id: "source", change: () => { filter.source = source.value; update(); } });
  const placement = el("select", { id: "placement", change: () => { filter.placement = placement.value; update(); } });
  const least = el("span", {}, "0.00");
  const confidence = el("input", { type: "range", id: "confidence", min: 0, max: 1, step: 0.01, value: 0, input: () => {
    filter.confidence = Number(confidence.value);
    least.textContent = filter.confidence.toFixed(2);
    update();
  } });
  const reset = el("button", { type: "button", class: "button", click: () => {
    Object.assign(filter, { source: "", confidence: 0, placement: "" });
    query = search.value = source.value = placement.value = "";
    confidence.value = 0;
    least.textContent = "0.00";
    update();
    search.focus();
  } }, "Show everything");

  function buildFilters() {
    const distinct = (of) => [...new Set(exposures.map(of))].sort();
    const option = (value, label) => el("option", { value }, label);
    source.append(
      option("", "Any source"),
      el("optgroup", { label: "Identified by" }, distinct(sourceOf).map((s) => option(`source:${s}`, SOURCES[s]))),
      el("optgroup", { label: "Decided in" }, distinct((e) => e.decided_by).map((s) => option(`stage:${s}`, cut(s, 40)))),
      el("optgroup", { label: "Rule" }, distinct((e) => e.rule).map((s) => option(`rule:${s}`, cut(s, 40)))),
    );
    placement.append(option("", "Any placement"), ...distinct((e) => e.placement).map((s) => option(s, placementWords(s))));
    const field = (label, input, more) => el("label", { class: "field" }, el("span", {}, label, more), input);
    byId("filters").append(
      el("div", { class: "filters", role: "search", "aria-label": "Filter the report" },
        field("Search", search), field("Source", source), placementsTold && field("Placement", placement),
        field("Confidence from ", confidence, least), reset, state),
    );
  }

  // ---- tooltips of the column heads

  const tip = el("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
  function showTip(figure, at) {
    tip.replaceChildren(el("b", {}, figure.head, figure.unit && ` (${figure.unit})`), figure.meaning);
    tip.hidden = false;
    const box = at.getBoundingClientRect();
    tip.style.left = `${Math.max(12, Math.min(box.left, innerWidth - tip.offsetWidth - 12))}px`;
    const above = box.top - tip.offsetHeight - 8;
    tip.style.top = `${above > 8 ? above : box.bottom + 8}px`;
  }
  const hideTip = () => { tip.hidden = true; };

  // ---- the table

  const heads = new Map();

  function buildTable() {
    document.body.append(tip);
    for (const head of document.querySelectorAll("#table thead th")) {
      const figure = figures.find((f) => f.key === head.dataset.key);
      head.removeAttribute("title");
      const sort = el("button", {
        type: "button", class: "sort", "aria-describedby": `means-${figure.key}`,
        click: () => {
          order.down = order.key === figure.key ? !order.down : !isText(figure);
          order.key = figure.key;
          update();
        },
        focus: () => showTip(figure, head), blur: hideTip,
      }, figure.head);
      head.replaceChildren(sort);
      head.addEventListener("mouseenter", () => showTip(figure, head));
      head.addEventListener("mouseleave", hideTip);
      heads.set(figure.key, head);
    }
  }

  function drawTable(found) {
    for (const [key, head] of heads) {
      if (key === order.key) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const most = Math.max(1e-9, ...found.map((row) => row.total.high_s ?? row.total.seconds));
    const lines = found.map((row) => el("tr", {}, figures.map((figure) => cellOf(figure, row, most))));
    if (!lines.length) lines.push(el("tr", {}, el("td", { colspan: figures.length }, "No brand matches. Widen the filter or the search.")));
    document.querySelector("#table tbody").replaceChildren(...lines);
  }

  function cellOf(figure, { number, own, total }, most) {
    const value = total[figure.key];
    if (figure.key === "brand") {
      return el("th", { scope: "row" },
        el("button", { type: "button", class: "link", "data-brand": number, "aria-haspopup": "dialog", click: (event) => openBrand(number, event.currentTarget) }, word(total.brand)),
        review && [" ", ...review.ofBrand(number).map(badge), el("button", {
          type: "button", class: "link small soft", "data-brand": number, "aria-haspopup": "dialog", "aria-label": `Correct ${plain(total.brand)}`,
          click: (event) => openBrand(number, event.currentTarget, "actions"),
        }, "Correct…")]);
    }
    if (figure.kind === "zones") return el("td", { class: "zoned" }, score(value), zoneMap(own));
    if (figure.key === "seconds") {
      const at = (s) => `${(100 * s) / most}%`;
      const known = total.low_s !== null && total.high_s !== null;
      return el("td", { class: "num" }, duration(value),
        known && el("span", { class: "bounds" }, `${duration(total.low_s)} to ${duration(total.high_s)}`),
        el("span", { class: "range", "aria-hidden": "true" },
          known && el("i", { style: { left: at(total.low_s), width: at(total.high_s - total.low_s) } }),
          el("b", { style: { width: at(known ? Math.min(total.low_s, value) : value) } })));
    }
    return el("td", { class: isText(figure) ? null : "num" }, written(value, figure.kind));
  }

  function zoneMap(own) {
    const shares = zonesOf(own);
    const present = data.zones.map((zone, i) => [zone, shares[i]]).filter(([, s]) => s > 0);
    return el("span", { class: "zones", role: "img", "aria-label": present.map(([zone, s]) => `${zone} ${percent(s)}`).join(", ") },
      shares.map((s) => el("i", { class: `z${Math.ceil(4 * s - 1e-9)}` })));
  }

  const badge = (text) => el("span", { class: "badge pending" }, text);

  // ---- the timeline: one lane per brand, drawn only where it is in view

  const timeline = (() => {
    const whole = END - START;
    const view = { from: START, to: END };
    const leastSpan = Math.min(whole, 1);
    let lanes = [];
    let version = 0;
    let current = null; // the exposure with the keyboard focus, now or last
    let asked = false;
    let dragged = false;
    const axis = el("div", { class: "track axis", "aria-hidden": "true" });
    const shots = el("div", { class: "track shots", role: "img", "aria-label": counted(data.shots_s.length, "shot") });
    const top = el("div", { class: "top" },
      el("div", { class: "lane" }, el("span", { class: "name soft" }, "time"), axis),
      el("div", { class: "lane" }, el("span", { class: "name soft" }, "shots"), shots));
    const list = el("div", { class: "lanes" }, top);
    const pane = el("i");
    const strip = el("div", { class: "window", "aria-hidden": "true" }, pane);
    const chart = el("div", { class: "chart", tabindex: 0, role: "group", "aria-label": "Timeline", "aria-describedby": "timeline-keys" }, list, strip);
    const range = el("span", { class: "soft small", role: "status" });

    function build() {
      const button = (label, title, click) => el("button", { type: "button", class: "button", "aria-label": title, title, click }, label);
      const sample = (by, how, letter) => el("span", { class: `bar by-${by} ${how}`, "aria-hidden": "true" }, letter && el("span", {}, letter));
      const present = [...new Set(exposures.map(sourceOf))];
      byId("timeline").append(
        el("div", { class: "controls" },
          button("+", "Zoom in", () => zoom(0.5)), button("−", "Zoom out", () => zoom(2)),
          button("←", "Earlier", () => pan(-0.25)), button("→", "Later", () => pan(0.25)),
          button("Whole", "The whole range", () => show(START, END)), range),
        el("ul", { class: "legend", "aria-label": "Legend" },
          Object.keys(SOURCES).filter((s) => present.includes(s)).map((s) => el("li", {}, sample(s, "sure", s), `identified by ${SOURCES[s]}`)),
          el("li", {}, sample("T", "sure"), `sure (${data.sure_confidence.toFixed(2)} or more)`),
          el("li", {}, sample("T", "likely"), `likely (${WEAK.toFixed(2)} or more)`),
          el("li", {}, sample("T", "weak"), "weak")),
        chart,
        el("p", { class: "soft small", id: "timeline-keys" },
          "The letter on a bar shows how the brand was identified. Click a bar for its evidence. Drag to move, Ctrl and wheel or pinch to zoom. Keys: + and − zoom, ← and → move, 0 shows all, Enter goes to the bars; there the arrows go from bar to bar, Enter opens, Esc leaves."),
      );
      list.addEventListener("scroll", ask, { passive: true });
      new ResizeObserver(ask).observe(axis);
      chart.addEventListener("keydown", onKey);
      chart.addEventListener("wheel", onWheel, { passive: false });
      chart.addEventListener("focusin", (event) => { if (event.target.shown) current = event.target.shown[0]; });
      list.addEventListener("click", onClick, true);
      watchPointers();
    }

    function setLanes(found) {
      lanes = found.map(({ number, own, total }) => {
        const track = el("div", { class: "track", role: "group", "aria-label": `${plain(total.brand)}: ${counted(own.length, "exposure")}` });
        const name = el("button", { type: "button", class: "link name", tabindex: -1, title: plain(total.brand), click: () => openBrand(number, name) }, word(total.brand));
        return { number, own, track, drawn: -1, row: el("div", { class: "lane" }, name, track) };
      });
      list.replaceChildren(top, ...lanes.map((lane) => lane.row));
      version += 1;
      draw();
    }

    function show(from, to) {
      const span = Math.min(whole, Math.max(leastSpan, to - from));
      view.from = Math.min(Math.max(START, from), END - span);
      view.to = view.from + span;
      version += 1;
      ask();
    }
    const pan = (share) => { const by = share * (view.to - view.from); show(view.from + by, view.to + by); };
    function zoom(factor, at = (view.from + view.to) / 2) {
      const span = Math.min(whole, Math.max(leastSpan, (view.to - view.from) * factor));
      const from = at - ((at - view.from) / (view.to - view.from)) * span;
      show(from, from + span);
    }
    const timeAt = (x) => { const box = axis.getBoundingClientRect(); return view.from + ((x - box.left) / box.width) * (view.to - view.from); };

    function ask() {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; draw(); });
    }

    let width = 1;
    const place = (s) => `${(100 * (s - view.from)) / (view.to - view.from)}%`;
    const extent = (s) => `${(100 * s) / (view.to - view.from)}%`;

    function draw() {
      if (axis.clientWidth && axis.clientWidth !== width) { width = axis.clientWidth; version += 1; }
      if (top.version !== version) drawTop();
      const focus = document.activeElement && document.activeElement.shown ? current : null;
      const print = matchMedia("print").matches;
      const [high, low] = [list.scrollTop, list.scrollTop + list.clientHeight];
      for (const lane of lanes) {
        const y = lane.row.offsetTop;
        const inView = print || (y + 26 >= high && y <= low) || lane.own.includes(focus);
        if (inView && lane.drawn !== version) drawLane(lane);
      }
      let stop = null;
      for (const bar of list.querySelectorAll(".bar")) {
        bar.tabIndex = -1;
        if (current && bar.shown.includes(current)) stop = bar;
      }
      stop = stop || list.querySelector(".bar");
      if (stop) stop.tabIndex = 0;
      if (focus && stop && stop.shown.includes(focus)) stop.focus({ preventScroll: true });
    }

    function drawTop() {
      top.version = version;
      const span = view.to - view.from;
      const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
      const step = steps.find((s) => span / s <= Math.max(2, width / 110)) || 36000;
      const marks = [];
      for (let k = Math.ceil(view.from / step - 1e-9); k * step <= view.to + 1e-9; k += 1) {
        const at = (k * step - view.from) / span;
        marks.push(el("i", { class: at < 0.04 ? "first" : at > 0.96 ? "last" : null, style: { left: place(k * step) } }, step < 1 ? clock(k * step) : clock(k * step).replace(/\.0$/, "")));
      }
      axis.replaceChildren(...marks);
      const strokes = [];
      data.shots_s.forEach(([from, to], i) => {
        if (to > view.from && from < view.to && ((to - from) * width) / span >= 0.5) {
          strokes.push(el("i", { class: i % 2 ? "odd" : null, title: `shot ${i + 1}: ${clock(from)} to ${clock(to)}`, style: { left: place(from), width: extent(to - from) } }));
        }
      });
      shots.replaceChildren(...strokes);
      pane.style.left = `${(100 * (view.from - START)) / whole}%`;
      pane.style.width = `${(100 * span) / whole}%`;
      range.textContent = `${clock(view.from)} to ${clock(view.to)}, ${counted(lanes.length, "brand")}`;
    }

    function drawLane(lane) {
      lane.drawn = version;
      const span = view.to - view.from;
      const groups = [];
      for (const e of lane.own) {
        if (e.end_s <= view.from) continue;
        if (e.start_s >= view.to) break;
        const look = `by-${sourceOf(e)} ${certainty(e)}${review && review.isRejected(e) ? " rejected" : ""}`;
        const last = groups.at(-1);
        const near = last && ((e.start_s - last.end) * width) / span < 2;
        if (near && last.look === look && (last.narrow || ((e.seconds * width) / span) < 6)) {
          last.end = e.end_s;
          last.shown.push(e);
        } else {
          groups.push({ look, start: e.start_s, end: e.end_s, shown: [e], narrow: (e.seconds * width) / span < 6 });
        }
      }
      lane.track.replaceChildren(...groups.map((group) => {
        const [from, to] = [Math.max(group.start, view.from), Math.min(group.end, view.to)];
        const wide = ((to - from) * width) / span;
        const label = group.shown.length === 1 ? titleOf(group.shown[0]) : `${counted(group.shown.length, "exposure")}, ${clock(group.start)} to ${clock(group.end)}; zoom in to tell them apart`;
        const bar = el("button", {
          type: "button", class: `bar ${group.look}${group.shown.includes(chosen) ? " chosen" : ""}`, tabindex: -1, title: label, "aria-label": label,
          style: { left: place(from), width: extent(to - from) },
        }, wide >= 18 && el("span", {}, sourceOf(group.shown[0])));
        bar.shown = group.shown;
        return bar;
      }));
    }

    function titleOf(e) {
      return `${plain(brands[e.brand].brand)}, ${clock(e.start_s)} to ${clock(e.end_s)}, ${duration(e.seconds)}, identified by ${SOURCES[sourceOf(e)]}, confidence ${score(e.confidence)}, ${certainty(e)}${e.reviewed ? `, ${e.reviewed} by a person` : ""}`;
    }

    function onClick(event) {
      const bar = event.target.closest(".bar");
      if (dragged) { event.stopPropagation(); event.preventDefault(); dragged = false; return; }
      if (!bar) return;
      const near = event.detail ? timeAt(event.clientX) : bar.shown[0].start_s;
      const off = (e) => Math.max(e.start_s - near, near - e.end_s, 0);
      openExposure(bar.shown.reduce((best, e) => (off(e) < off(best) ? e : best)), bar);
    }

    /** Moves to an exposure that is out of view. */
    function reveal(e) {
      const span = view.to - view.from;
      if (e.start_s < view.from || e.start_s > view.to - span / 50) show(e.start_s - span / 2, e.start_s + span / 2);
    }

    function goTo(e) {
      current = e;
      reveal(e);
      const lane = lanes.find((l) => l.own.includes(e));
      if (!lane) return;
      const [y, head] = [lane.row.offsetTop, top.offsetHeight];
      if (y < list.scrollTop + head) list.scrollTop = y - head;
      if (y + 26 > list.scrollTop + list.clientHeight) list.scrollTop = y + 26 - list.clientHeight;
      draw();
      const bar = [...lane.track.children].find((b) => b.shown.includes(e));
      if (bar) bar.focus({ preventScroll: true });
      draw();
    }

    function onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const bar = event.target.shown;
      const act = {
        "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "−": () => zoom(2), 0: () => show(START, END),
        ...(bar
          ? { ArrowLeft: () => beside(-1), ArrowRight: () => beside(1), ArrowUp: () => across(-1), ArrowDown: () => across(1), Escape: () => chart.focus() }
          : event.target === chart
            ? { ArrowLeft: () => pan(-0.25), ArrowRight: () => pan(0.25), ArrowUp: () => list.scrollBy(0, -78), ArrowDown: () => list.scrollBy(0, 78), Enter: () => { const first = list.querySelector('.bar[tabindex="0"]'); if (first) first.focus(); } }
            : {}),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      event.stopPropagation();
      act();
    }

    function beside(by) {
      const lane = lanes.find((l) => l.own.includes(current));
      const bar = document.activeElement.shown;
      const next = lane.own[lane.own.indexOf(by > 0 ? bar.at(-1) : bar[0]) + by];
      if (next) goTo(next);
    }
    function across(by) {
      const lane = lanes[lanes.findIndex((l) => l.own.includes(current)) + by];
      if (!lane) return;
      const off = (e) => Math.max(e.start_s - current.start_s, current.start_s - e.end_s, 0);
      goTo(lane.own.reduce((best, e) => (off(e) < off(best) ? e : best)));
    }

    function onWheel(event) {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), timeAt(event.clientX));
      } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        pan((event.deltaX || event.deltaY) / 1000);
      }
    }

    function watchPointers() {
      const down = new Map();
      let begin = null;
      list.addEventListener("pointerdown", (event) => {
        if (event.button || !event.target.closest(".track")) return;
        down.set(event.pointerId, event.clientX);
        dragged = false;
        begin = { x: event.clientX, from: view.from, to: view.to };
      });
      list.addEventListener("pointermove", (event) => {
        if (!down.has(event.pointerId)) return;
        const before = [...down.values()];
        down.set(event.pointerId, event.clientX);
        if (down.size === 2) {
          const after = [...down.values()];
          const [was, is] = [Math.abs(before[0] - before[1]), Math.abs(after[0] - after[1])];
          if (was > 4 && is > 4) zoom(was / is, timeAt((after[0] + after[1]) / 2));
          dragged = true;
        } else if (dragged || Math.abs(event.clientX - begin.x) > 4) {
          if (!dragged) list.setPointerCapture(event.pointerId);
          dragged = true;
          const by = ((begin.x - event.clientX) / width) * (begin.to - begin.from);
          show(begin.from + by, begin.to + by);
        }
      });
      for (const name of ["pointerup", "pointercancel"]) {
        list.addEventListener(name, (event) => {
          down.delete(event.pointerId);
          if (dragged) setTimeout(() => { dragged = false; }, 0); // after the click event that ends a drag
        });
      }
      const centre = (event) => {
        const box = strip.getBoundingClientRect();
        const [t, half] = [START + ((event.clientX - box.left) / box.width) * whole, (view.to - view.from) / 2];
        show(t - half, t + half);
      };
      strip.addEventListener("pointerdown", (event) => { strip.setPointerCapture(event.pointerId); centre(event); });
      strip.addEventListener("pointermove", (event) => { if (strip.hasPointerCapture(event.pointerId)) centre(event); });
    }

    const redraw = () => { version += 1; draw(); };
    return { build, setLanes, redraw, reveal, focus: goTo };
  })();

  // ---- pictures

  const jpeg = (base64) => `data:image/jpeg;base64,${base64}`;
  const percents = (left, top, width, height) => ({ left: `${left}%`, top: `${top}%`, width: `${width}%`, height: `${height}%` });

  function closeUp(picture, alt, tag = "div", props = {}) {
    const [bytes, width, height, ...box] = picture;
    return el(tag, { ...props, class: `shot ${props.class || ""}` },
      el("img", { src: jpeg(bytes), width, height, alt, decoding: "async" }),
      el("span", { class: "box", style: percents(...box) }));
  }

  function wholeFrame(e, src) {
    const [width, height] = pictures.size_px || [16, 9];
    const at = (x, y, w, h) => percents((100 * x) / width, (100 * y) / height, (100 * w) / width, (100 * h) / height);
    const all = data.boxes[e.frame] || [];
    const isBest = ([brand, x, y]) => brand === e.brand && Math.abs(x - e.x_px) <= 2 && Math.abs(y - e.y_px) <= 2;
    const own = ([brand, ...box]) => (brand === e.brand ? box.join() : null); // identifies the boxes of this brand
    const others = all.filter((box) => !isBest(box));
    const image = el("img", { src, width, height, alt: `The frame at ${e.t_s === null ? clock(e.start_s) : clock(e.t_s)} with the box of ${plain(brands[e.brand].brand)}` });
    return el("div", { class: "shot" }, image,
      pictures.size_px && others.map(([brand, ...box]) => el("span", { class: "box other", "data-own": own([brand, ...box]), title: plain(brands[brand].brand), style: at(...box) })),
      pictures.size_px && el("span", { class: "box", "data-own": own(all.find(isBest) || []), style: at(e.x_px, e.y_px, e.w_px, e.h_px) }));
  }

  /** The same picture enlarged around the box, for a frame that comes whole from the service. */
  function enlarged(e, src) {
    const [width, height] = pictures.size_px;
    const across = Math.min(width, Math.max(1.5 * e.w_px, (1.8 * e.h_px * 16) / 9, 0.1 * width));
    const down = Math.min(height, (across * 9) / 16);
    const corner = (at, side, view, whole) => Math.min(Math.max(at + side / 2 - view / 2, 0), whole - view);
    const [x, y] = [corner(e.x_px, e.w_px, across, width), corner(e.y_px, e.h_px, down, height)];
    return el("div", { class: "shot close", style: { "aspect-ratio": `${across} / ${down}` } },
      el("img", { src, alt: `Close-up of ${plain(brands[e.brand].brand)}`, style: {
        position: "absolute", width: `${(100 * width) / across}%`, left: `${(-100 * x) / across}%`, top: `${(-100 * y) / down}%`,
      } }),
      el("span", { class: "box", style: percents((100 * (e.x_px - x)) / across, (100 * (e.y_px - y)) / down, (100 * e.w_px) / across, (100 * e.h_px) / down) }));
  }

  function beside(e) {
    const others = [...new Set((data.boxes[e.frame] || []).map(([brand]) => brand))].filter((brand) => brand !== e.brand);
    return others.length ? el("p", { class: "soft small" }, "Dashed, on the same frame: ", others.map((brand, i) => [i ? ", " : "", word(brands[brand].brand)])) : "";
  }

  /** The frame of an exposure: its own, from the service, or the nearest one of its brand that is in this file. */
  function frameOf(e) {
    const holder = el("div", { class: "pictures" });
    const fallBack = () => {
      const away = (o) => Math.abs(o.start_s - e.start_s);
      const near = ofBrand[e.brand].filter((o) => pictures.frames[o.frame]).sort((a, b) => away(a) - away(b))[0];
      if (!near) return holder.replaceChildren(el("p", { class: "says" }, "This file has no picture of this brand."));
      const here = near === e;
      return holder.replaceChildren(
        ...(here ? [] : [el("p", { class: "says" }, `This file has no picture of this exposure. Shown is the nearest one of the brand, at ${clock(near.start_s)}.`)]),
        wholeFrame(near, jpeg(pictures.frames[near.frame])), beside(near),
        ...(pictures.exposures[near.exposure_id] ? [closeUp(pictures.exposures[near.exposure_id], `Close-up of ${plain(brands[e.brand].brand)}`, "div", { class: "close" })] : []));
    };
    if (service && !pictures.frames[e.frame]) {
      const src = service.frames.replace("{frame}", e.frame);
      const shown = wholeFrame(e, src);
      shown.querySelector("img").addEventListener("error", fallBack);
      holder.append(shown, beside(e), pictures.size_px ? enlarged(e, src) : "");
    } else fallBack();
    return holder;
  }

  // ---- the panel: an exposure, a brand, or the corrections

  const panel = el("div", { id: "panel", role: "dialog", "aria-labelledby": "panel-head", tabindex: -1, hidden: true });
  let opener = null;
  let chosen = null; // the exposure in the panel
  let reopen = null; // redraws the panel

  function openPanel(title, from, ...content) {
    if (from && !panel.contains(from)) opener = from;
    panel.replaceChildren(
      el("header", {}, el("h2", { id: "panel-head" }, title), el("button", { type: "button", class: "button", click: closePanel, "aria-label": "Close" }, "✕")),
      ...content.flat().filter(Boolean));
    const first = panel.hidden;
    panel.hidden = false;
    panel.scrollTop = 0;
    document.body.classList.add("with-panel");
    if (first || !panel.contains(document.activeElement)) panel.focus();
    if (chosen) timeline.reveal(chosen);
    timeline.redraw();
  }

  function closePanel() {
    panel.hidden = true;
    chosen = reopen = null;
    document.body.classList.remove("with-panel");
    timeline.redraw();
    if (opener && opener.shown) timeline.focus(opener.shown[0]);
    else {
      const drawnAgain = opener && opener.dataset.brand && document.querySelector(`#table [data-brand="${opener.dataset.brand}"]`);
      (opener && opener.isConnected ? opener : drawnAgain || search).focus();
    }
  }

  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.stopPropagation(); closePanel(); return; }
    if (!chosen || event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea")) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) { event.preventDefault(); step(by); }
  });

  function siblings(e) {
    const row = rows.find((r) => r.number === e.brand);
    return row && row.own.includes(e) ? row.own : ofBrand[e.brand];
  }
  function step(by) {
    const all = siblings(chosen);
    const next = all[all.indexOf(chosen) + by];
    if (next) { openExposure(next); panel.focus(); }
  }

  const RULES = {
    exact: "the text is the brand's name",
    alias: "the text is another name of the brand",
    fuzzy: "the text is almost the name",
    lexicon: "the name is likely by what the reader saw, letter by letter",
    joined: "neighbouring texts together form the name",
    logo_match: "the region looks like a picture of the brand's logo",
    vlm: "a local model named it",
    cloud: "a cloud model named it",
    review: "a person named it",
  };

  function openExposure(e, from) {
    chosen = e;
    reopen = () => openExposure(e);
    const all = siblings(e);
    const at = all.indexOf(e);
    const brand = brands[e.brand];
    openPanel(word(brand.brand), from,
      el("p", { class: "steps" },
        el("button", { type: "button", class: "button", "aria-label": "Previous exposure", disabled: at === 0, click: () => step(-1) }, "←"),
        `Exposure ${at + 1} of ${all.length}`,
        el("button", { type: "button", class: "button", "aria-label": "Next exposure", disabled: at === all.length - 1, click: () => step(1) }, "→"),
        el("button", { type: "button", class: "link", click: () => openBrand(e.brand) }, "All of this brand")),
      el("p", {}, el("b", {}, `${clock(e.start_s)} to ${clock(e.end_s)}`), `, ${duration(e.seconds)}`, " ",
        e.reviewed && el("span", { class: "badge reviewed" }, `${e.reviewed} by a person`),
        review && review.ofExposure(e).map(badge),
        service && service.clips && [" ", el("a", { href: service.clips.replace("{exposure}", e.exposure_id) }, "Clip (MP4)")]),
      frameOf(e),
      el("h3", {}, "Evidence"),
      chain(e),
      review ? [el("h3", {}, "Correct"), review.actionsFor(e)] : unserved());
  }

  function chain(e) {
    const proof = e.proof === null ? null : proofs[e.proof];
    const text = proof ? proof.text : e.text;
    const item = (title, ...content) => el("li", {}, el("b", {}, title), ...content);
    const size = pictures.size_px && `${Math.round(e.w_px)} × ${Math.round(e.h_px)} px at ${Math.round(e.x_px)}, ${Math.round(e.y_px)}`;
    return [
      el("ol", { class: "chain" },
        item("Seen", `frame ${e.frame}${e.t_s === null ? "" : ` at ${clock(e.t_s)}`}${size ? `, box ${size}` : ""}; ${percent(e.area_frac_max)} of the picture at most, ${e.zone}; ${counted(e.n_detections, "detection")} in this exposure`),
        text ? item("Read", el("q", {}, word(text))) : item("Read", "no text: recognised by its logo"),
        item("Matched", `${RULES[e.rule] || ""} (`, el("code", {}, cut(e.rule)), ")",
          proof && [proof.matched && [", ", e.rule === "logo_match" ? "exemplar " : "to ", word(proof.matched)], `, score ${score(proof.score)}`]),
        proof && proof.model && item("Model answered", word(proof.matched || "none"), proof.reasoning && [": ", el("q", {}, el("bdi", {}, cut(proof.reasoning, 600)))],
          el("div", { class: "soft" }, word(proof.provider), " ", word(proof.model), proof.prompt_version && [", prompt ", word(proof.prompt_version)],
            `, ${proof.cost_usd ? `${proof.cost_usd.toFixed(4)} USD` : "no cost"}`, placementsTold && proof.placement && [", on ", word(placementWords(proof.placement))])),
        item("Decided", "in ", el("code", {}, cut(e.decided_by)), `, confidence ${score(e.confidence)} (${certainty(e)})`, proof && `; this verdict covers ${counted(proof.n_tracks, "track")}`),
        item("Measured", `${placementsTold ? `placement ${placementWords(e.placement)} (${score(e.placement_confidence)}), ` : ""}${e.asset ? `asset ${cut(e.asset, 64)}, ` : ""}quality ${score(e.quality)}: size ${percent(e.area_frac_mean)}, position ${score(e.position)}, clarity ${score(e.clarity)}, visibility ${e.visible_frac === null ? "–" : percent(e.visible_frac)}, exclusive ${e.exclusive_s === null ? "–" : duration(e.exclusive_s)}`)),
      el("details", {}, el("summary", {}, "Checkpoints and settings behind it"), el("div", {}, checkpoints(e))),
    ];
  }

  function checkpoints(e) {
    const stages = ["extract_frames", "filter_scenes", "detect_objects", "run_ocr", "match_brands", "escalate_vlm", "escalate_cloud"];
    const last = stages.indexOf(e.decided_by);
    const used = stages.slice(0, last < 0 ? stages.length : last + 1);
    const settings = data.run.params[e.decided_by];
    return [
      el("dl", { class: "facts" }, used.map((stage) => [
        el("dt", {}, stage),
        el("dd", {}, el("code", {}, data.run.lineage[stage] || "not stored"), data.run.engines[stage] && [" ", word(Object.values(data.run.engines[stage]).join(", "))]),
      ])),
      settings && [el("p", {}, el("b", {}, "Settings of "), el("code", {}, e.decided_by)),
        el("dl", { class: "facts" }, Object.entries(settings).map(([name, value]) => [el("dt", {}, name), el("dd", {}, el("code", {}, cut(typeof value === "string" ? value : JSON.stringify(value))))]))],
      !settings && el("p", {}, "The settings of all stages are under “How this was made”."),
    ];
  }

  function openBrand(number, from, part) {
    chosen = null;
    reopen = () => openBrand(number);
    const row = rows.find((r) => r.number === number) || { own: ofBrand[number], total: brands[number] };
    const pictured = row.own.filter((e) => pictures.exposures[e.exposure_id]).slice(0, 4);
    const actions = el("div", {}, review ? [el("h3", {}, "Correct all of this brand"), review.actionsForBrand(number)] : unserved());
    openPanel(word(row.total.brand), from,
      el("p", {}, `${duration(row.total.seconds)} on screen in ${counted(row.own.length, "exposure")}, quality ${score(row.total.quality)}`,
        row.total.overlay_s ? `; ${duration(row.total.overlay_s)} of the total on the broadcaster's own graphics` : "", " ", review && review.ofBrand(number).map(badge)),
      el("div", { class: "figures" }, pictured.map(figureOf)),
      el("h3", {}, "Exposures"), exposureList(row.own), actions);
    if (part === "actions") (actions.querySelector("button, input") || panel).focus();
  }

  function exposureList(own) {
    const body = el("tbody");
    const more = el("button", { type: "button", class: "button more", click: () => add() });
    function add() {
      const from = body.childElementCount;
      body.append(...own.slice(from, from + 100).map((e) => el("tr", {},
        el("td", {}, el("button", { type: "button", class: "link", click: () => openExposure(e) }, `${clock(e.start_s)} to ${clock(e.end_s)}`), review && review.ofExposure(e).map(badge)),
        el("td", { class: "num" }, duration(e.seconds)), el("td", {}, SOURCES[sourceOf(e)]), el("td", { class: "num" }, score(e.confidence)))));
      const left = own.length - body.childElementCount;
      more.hidden = !left;
      more.textContent = `Show ${Math.min(100, left)} more of ${left}`;
    }
    add();
    return [el("table", { class: "list" }, el("thead", {}, el("tr", {}, ["Time", "Length", "Identified by", "Confidence"].map((head, i) => el("th", { scope: "col", class: i % 2 ? "num" : null }, head)))), body), more];
  }

  const unserved = () => el("p", { class: "says" }, "To correct this report, serve it: ", el("code", {}, "brand-detect serve"), ", then open it there under /reports.");

  // ---- the gallery

  const [FIRST, EACH] = [12, 3]; // brands before "show more", and pictures of each
  let everything = false;

  function figureOf(e) {
    const brand = brands[e.brand].brand;
    return el("figure", {},
      closeUp(pictures.exposures[e.exposure_id], plain(brand), "button", { type: "button", "aria-label": `Evidence of ${plain(brand)} at ${clock(e.start_s)}`, click: (event) => openExposure(e, event.currentTarget) }),
      el("figcaption", {}, el("b", {}, word(brand)), ` ${clock(e.start_s)} to ${clock(e.end_s)}`, el("br"),
        e.text && e.rule !== "logo_match" ? ["“", word(e.text), "”, "] : "", `${e.rule.replace("_", " ")} in ${e.decided_by}, confidence ${score(e.confidence)}`,
        review && review.ofExposure(e).map((text) => [" ", badge(text)])));
  }

  let inGallery = [];
  function drawEvidence(found) {
    inGallery = found;
    const all = everything || matchMedia("print").matches;
    const listed = all ? found : found.slice(0, FIRST);
    const best = listed.map(({ own }) => own.filter((e) => pictures.exposures[e.exposure_id])
      .sort((a, b) => b.confidence - a.confidence || b.seconds - a.seconds).slice(0, EACH).sort((a, b) => a.start_s - b.start_s));
    const left = found.length - listed.length;
    byId("evidence").replaceChildren(
      el("div", { class: "figures" }, best.flat().map(figureOf)),
      left ? el("button", { type: "button", class: "button more", click: () => { everything = true; drawEvidence(inGallery); } }, `Show ${counted(left, "more brand")}`) : "");
  }

  // ---- unresolved clusters

  let clustersShown = 24;
  function drawUnresolved() {
    if (!byId("unresolved")) return;
    const typed = new Map([...document.querySelectorAll("#unresolved input")].map((input) => [input.dataset.cluster, input.value]));
    const cards = data.unresolved.slice(0, matchMedia("print").matches ? undefined : clustersShown).map((cluster) => {
      const picture = pictures.clusters[cluster.cluster_id];
      return el("figure", {},
        picture ? closeUp(picture, cluster.text ? plain(cluster.text) : "a logo region without text") : null,
        el("figcaption", {}, el("b", {}, `${cluster.rank}. `, cluster.text ? word(cluster.text) : "(no text)"), el("br"),
          `${duration(cluster.seconds)}, ${percent(cluster.area_frac)} of the picture${cluster.t_s === null ? "" : `, seen at ${clock(cluster.t_s)}`}`, el("br"),
          data.reasons[cluster.reason] || cut(cluster.reason), el("br"),
          cluster.candidates.length ? ["resembles ", cluster.candidates.slice(0, 5).map((name, i) => [i ? ", " : "", word(name)]), el("br")] : "",
          el("code", { title: cluster.cluster_id }, cluster.cluster_id.slice(0, 8)),
          review && review.ofCluster(cluster).map((text) => [" ", badge(text)])),
        review && review.clusterForm(cluster, typed.get(cluster.cluster_id)));
    });
    const left = data.unresolved.length - cards.length;
    byId("unresolved").replaceChildren(el("div", { class: "figures" }, cards),
      left ? el("button", { type: "button", class: "button more", click: () => { clustersShown += 48; drawUnresolved(); } }, `Show ${Math.min(48, left)} more of ${left}`) : "");
  }

  // ---- corrections, where a service takes them

  const review = service && (() => {
    let events = [];
    let busy = false;
    const user = el("input", { id: "user", autocomplete: "name", maxlength: 80, value: remembered(), change: () => remember(user.value.trim()) });
    const names = el("datalist", { id: "brand-names" }, brands.map((brand) => el("option", { value: brand.brand })));
    const says = el("p", { class: "message", role: "status" });
    const apply = el("button", { type: "button", class: "button first", click: onApply });
    const drawer = el("button", { type: "button", class: "button", "aria-haspopup": "dialog", click: (event) => openDrawer(event.currentTarget) }, "Corrections");
    const dock = el("div", { id: "dock", role: "region", "aria-label": "Corrections" }, el("label", { class: "field" }, "Your name", user), drawer, apply, says);

    function remembered() {
      try { return localStorage.getItem("brand_detect.user") || ""; } catch { return ""; } // storage may be blocked
    }
    function remember(name) {
      try { localStorage.setItem("brand_detect.user", name); } catch { /* it is asked for again next time */ }
    }

    /** What an answer says went wrong: a sentence with a hint, or a list of fields that do not fit. */
    function sentenceOf(body) {
      if (!body) return "";
      const { detail, hint } = body;
      if (Array.isArray(detail)) return detail.map((one) => one && one.msg).filter(Boolean).join("; ");
      return typeof detail === "string" ? [detail, hint].filter(Boolean).join(" Hint: ") : "";
    }

    async function ask(path, options = {}) {
      let answer;
      try {
        answer = await fetch(path, { credentials: "same-origin", ...options, headers: { "X-Requested-With": "brand_detect", ...(options.body ? { "Content-Type": "application/json" } : {}) } });
      } catch {
        throw new Error("The service is out of reach. Is brand-detect serve still running?");
      }
      let body = null;
      try { body = await answer.json(); } catch { body = null; } // an error may have no JSON
      if (answer.ok && body !== null) return body;
      if (answer.status === 401) throw Object.assign(new Error("The service requires its key. Log in, then try again."), { login: true });
      throw new Error(sentenceOf(body) || `The service answered with status ${answer.status}.`);
    }

    function tell(text) {
      says.classList.remove("error");
      says.replaceChildren(cut(text, 400));
    }
    function fail(text, error) {
      says.classList.add("error");
      says.replaceChildren(cut(error ? `${text} ${error.message}` : text, 400), error && error.login ? el("a", { href: "/login", target: "_blank" }, " Log in") : "");
    }

    const undone = () => new Set(events.filter((r) => r.action === "undo").map((r) => r.undoes));
    const pending = () => { const gone = undone(); return events.filter((r) => r.state === "pending" && r.action !== "undo" && !gone.has(r.review_id)); };
    /** What applying would change: pending corrections, and undos of what shapes the report as it is. */
    function waiting() {
      const before = new Set(data.reviews.filter((r) => r.state !== "undone").map((r) => r.review_id));
      return [...pending(), ...events.filter((r) => r.state === "pending" && r.action === "undo" && before.has(r.undoes))];
    }

    const OF_CLUSTERS = ["name", "dismiss"];
    const about = (r) => ({ accept: "accepted", reject: "rejected", rename: `renamed ${plain(r.to)}`, merge: `merged into ${plain(r.to)}`, name: `named ${plain(r.to)}`, dismiss: "dismissed", exclude: `text ${plain(r.text)} excluded` })[r.action] || r.action;
    /** As the service keeps a text: without the characters that turn its direction. */
    const bare = (text) => text.replace(/[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/g, "").trim();
    const covers = (r, e) => {
      if (r.action === "exclude") return bare(r.text) === bare(e.proof === null ? e.text : proofs[e.proof].text);
      if (OF_CLUSTERS.includes(r.action) || r.brand_id !== brands[e.brand].brand_id) return false;
      return r.action === "merge" || r.start_s === null || r.start_s === undefined || (r.start_s < e.end_s && r.end_s > e.start_s);
    };
    const ofExposure = (e) => pending().filter((r) => covers(r, e)).map((r) => `${about(r)}${r.box ? " (one box)" : ""}, pending`);
    /** Whether the last word about all of an exposure is that it is none. */
    function isRejected(e) {
      const last = pending().filter((r) => !r.box && covers(r, e)).at(-1);
      return Boolean(last) && (last.action === "reject" || last.action === "exclude");
    }
    function ofBrand(number) {
      const own = pending().filter((r) => r.brand_id === brands[number].brand_id && !OF_CLUSTERS.includes(r.action));
      const all = own.filter((r) => r.start_s === null || r.start_s === undefined).map((r) => `${about(r)}, pending`);
      const parts = own.length - all.length;
      return parts ? [...all, `${counted(parts, "correction")} pending`] : all;
    }
    const lastOfCluster = (id) => pending().filter((r) => OF_CLUSTERS.includes(r.action) && r.cluster_id === id).at(-1);
    const ofCluster = (cluster) => [lastOfCluster(cluster.cluster_id)].filter(Boolean).map((r) => `${about(r)}, pending`);

    /** Whether all of ``sent`` were saved. */
    async function send(...sent) {
      const who = user.value.trim();
      if (!who) { fail("Enter your name first: it is stored with every correction."); user.focus(); return false; }
      const before = events.length;
      try {
        for (const event of sent) {
          const made = await ask(service.reviews, { method: "POST", body: JSON.stringify({ user: who, ...event }) });
          events.push({ ...made, state: "pending" });
        }
        tell("Saved. Apply it to change the report.");
      } catch (error) {
        if (events.length > before) refresh();
        fail(events.length > before ? "Not all were saved." : "It was not saved.", error);
        return false;
      }
      refresh();
      return true;
    }

    function refresh() {
      const n = waiting().length;
      apply.textContent = n ? `Apply ${counted(n, "correction")}` : "Nothing to apply";
      apply.disabled = !n || busy;
      drawer.textContent = `Corrections (${events.filter((r) => r.action !== "undo").length})`;
      if (brands.length) update();
      drawUnresolved();
      timeline.redraw();
      if (reopen) {
        const within = () => [...panel.querySelectorAll("button, input")];
        const [y, held] = [panel.scrollTop, within().indexOf(document.activeElement)];
        reopen();
        panel.scrollTop = y;
        const again = within()[held];
        if (again) again.focus({ preventScroll: true });
      }
    }

    async function onApply() {
      busy = true;
      apply.disabled = true;
      try {
        const seen = waiting().length;
        events = (await ask(service.reviews)).reviews;
        if (waiting().length !== seen) {
          busy = false;
          refresh();
          tell("Other people have corrected this report too. Review the corrections, then apply.");
          return;
        }
        const begun = Date.now();
        tell("Applying: launching the run…");
        const { run_id: run } = await ask(service.apply, { method: "POST", body: "{}" });
        let missed = 0;
        for (;;) {
          await new Promise((go) => { setTimeout(go, 400); });
          let now;
          try {
            now = await ask(`${service.apply}/${encodeURIComponent(run)}`);
            missed = 0;
          } catch (error) {
            missed += 1;
            if (missed > 5) throw error;
            continue;
          }
          if (now.error) throw new Error(String(now.error));
          if (now.done && /fail|cancel/i.test(now.status)) throw new Error(`The run ended as ${now.status}.`);
          if (now.done) break;
          tell(`Applying, ${Math.round((Date.now() - begun) / 1000)} s: ${now.says || String(now.status).toLowerCase()}…`);
        }
        tell("Applied. Loading the new report…");
        location.reload();
      } catch (error) {
        busy = false;
        refresh();
        fail("The corrections were not applied.", error);
      }
    }

    function form(label, button, send, value = "") {
      const input = el("input", { list: "brand-names", autocomplete: "off", required: true, maxlength: 100, value });
      return el("form", { submit: (event) => { event.preventDefault(); if (input.value.trim()) send(input.value.trim()); } },
        el("label", { class: "field" }, label, input), el("button", { class: "button" }, button));
    }
    /** A button that sends ``event`` about ``place()``, unless the last event already says so. */
    function act(label, event, place = () => ({})) {
      const subject = (r) => JSON.stringify([r.brand_id, r.start_s ?? null, r.box ?? null, bare(r.text || "")]);
      const isStated = () => {
        const rivals = ["accept", "reject"].includes(event.action) ? ["accept", "reject"] : [event.action];
        const last = pending().filter((r) => rivals.includes(r.action) && subject(r) === subject({ ...event, ...place() })).at(-1);
        return Boolean(last) && last.action === event.action;
      };
      return el("button", { type: "button", class: "button", "aria-disabled": isStated() ? "true" : null, click: (clicked) => {
        if (isStated() || clicked.detail > 1) return;
        send({ ...event, ...place() });
      } }, label);
    }

    /** Where a brand has several boxes on the frame: which of them is meant. The frame outlines the one that is chosen. */
    function boxesOf(e) {
      const size = pictures.size_px;
      const own = (data.boxes[e.frame] || []).filter(([brand]) => brand === e.brand).map(([, ...box]) => box);
      if (!size || e.t_s === null || own.length < 2) return { choice: null, place: () => ({}) };
      const choice = el("select", { change: () => {
        for (const box of panel.querySelectorAll(".box[data-own]")) box.classList.toggle("other", choice.value !== "" && box.dataset.own !== own[choice.value].join());
      } }, el("option", { value: "" }, `all ${own.length} boxes of the exposure`),
        own.map(([x, y, w, h], i) => el("option", { value: i }, `the one at ${x}, ${y} px, ${w} × ${h} px`)));
      const share = (from, side, whole) => { const at = Math.min(1, Math.max(0, from / whole)); return [at, Math.min(side / whole, 1 - at)]; };
      const place = () => {
        if (choice.value === "") return {};
        const [x, y, w, h] = own[choice.value];
        const [[left, wide], [top, high]] = [share(x, w, size[0]), share(y, h, size[1])];
        return { t_s: e.t_s, box: [left, top, wide, high] };
      };
      return { choice: el("label", { class: "field" }, "Which box", choice), place };
    }

    const subject = (number) => ({ brand_id: brands[number].brand_id, brand: brands[number].brand.slice(0, 200) });
    function actionsFor(e) {
      const { brand_id, brand } = subject(e.brand);
      const range = { brand_id, brand, start_s: e.start_s, end_s: e.end_s };
      const text = e.proof === null ? e.text : proofs[e.proof].text;
      const { choice, place } = boxesOf(e);
      return el("div", { class: "actions" }, choice,
        act("Accept", { action: "accept", ...range }, place), act("Reject", { action: "reject", ...range }, place),
        text && act(`“${plain(cut(text, 30))}” is no brand`, { action: "exclude", text, brand_id, brand }),
        form("It is another brand", "Rename", (to) => send({ action: "rename", ...range, ...place(), to })));
    }
    function actionsForBrand(number) {
      const { brand_id, brand } = subject(number);
      return el("div", { class: "actions" },
        act("Accept all", { action: "accept", brand_id, brand }), act("Reject all", { action: "reject", brand_id, brand }),
        form("Rename all to", "Rename", (to) => send({ action: "rename", brand_id, brand, to })),
        form("Merge into", "Merge", (to) => send({ action: "merge", brand_id, brand, to })));
    }
    function clusterForm(cluster, typed) {
      const input = el("input", { "data-cluster": cluster.cluster_id, value: typed, list: "brand-names", autocomplete: "off", maxlength: 100, "aria-label": `Brand of cluster ${cluster.rank}`, placeholder: "Name it" });
      const size = pictures.size_px;
      const within = (from, to, whole) => { const at = (v) => Math.min(1, Math.max(0, v / whole)); return [at(from), at(to) - at(from)]; };
      let box = null;
      if (size && cluster.x_px !== null) {
        const [x, w] = within(cluster.x_px, cluster.x_px + cluster.w_px, size[0]);
        const [y, h] = within(cluster.y_px, cluster.y_px + cluster.h_px, size[1]);
        if (w > 0 && h > 0) box = [x, y, w, h];
      }
      const what = { cluster_id: cluster.cluster_id, text: cluster.text.slice(0, 1000), t_s: cluster.t_s, box };
      const open = (id) => (lastOfCluster(id) || {}).action !== "dismiss";
      const alike = cluster.alike.filter(open);
      const dismiss = (...ids) => send(...ids.map((cluster_id) => ({ action: "dismiss", ...(cluster_id === cluster.cluster_id ? what : { cluster_id }) })));
      return el("form", { class: "name-cluster", submit: (event) => {
        event.preventDefault();
        const to = input.value.trim();
        input.value = "";
        if (to) send({ action: "name", ...what, to }).then((kept) => { if (!kept) input.value = to; });
      } }, input, el("button", { class: "button" }, "Name"),
        open(cluster.cluster_id) && el("button", { type: "button", class: "button", "aria-label": `Dismiss cluster ${cluster.rank}`, click: () => dismiss(cluster.cluster_id) }, "Dismiss"),
        open(cluster.cluster_id) && alike.length > 0 && el("button", { type: "button", class: "button", "aria-label": `Dismiss cluster ${cluster.rank} and the ${alike.length} alike`, click: () => dismiss(cluster.cluster_id, ...alike) }, `Dismiss all ${alike.length + 1} alike`));
    }

    function openDrawer(from) {
      chosen = null;
      reopen = () => openDrawer();
      const gone = undone();
      const listed = events.filter((r) => r.action !== "undo").reverse();
      openPanel("Corrections", from,
        el("p", { class: "soft small" }, "Pending corrections change the report when they are applied. Each can be undone."),
        listed.length ? listed.map((r) => {
          const out = gone.has(r.review_id) || r.state === "undone";
          return el("div", { class: "event" },
            el("div", {}, el("b", {}, word(r.brand || r.brand_id || r.text || (r.cluster_id || "").slice(0, 8) || "")), ` ${about(r)}`,
              typeof r.start_s === "number" && typeof r.end_s === "number" ? `, ${clock(r.start_s)} to ${clock(r.end_s)}` : "",
              el("div", { class: "soft small" }, word(r.user || ""), ` ${String(r.at || "").slice(0, 16).replace("T", " ")}`), " ",
              el("span", { class: `badge ${r.state === "pending" || out ? "pending" : "reviewed"}` }, out ? "undone" : r.state),
              r.state === "applied" && r.detections ? el("span", { class: "soft small" }, ` ${counted(r.detections, "detection")}, ${duration(r.seconds || 0)}`) : ""),
            !out && el("button", { type: "button", class: "button", "aria-label": `Undo: ${plain(r.brand || r.brand_id || r.text)} ${about(r)}`, click: () => send({ action: "undo", undoes: r.review_id }) }, "Undo"));
        }) : el("p", {}, "There are no corrections yet."));
    }

    async function load() {
      try {
        const { reviews, damaged = [] } = await ask(service.reviews);
        events = reviews;
        refresh();
        if (damaged.length) fail(damaged.join(" "));
      } catch (error) {
        fail("The corrections could not be read.", error);
      }
    }

    function build() {
      document.body.classList.add("served");
      document.body.append(names, dock);
      refresh();
      load();
    }
    return { build, ofExposure, ofBrand, ofCluster, isRejected, actionsFor, actionsForBrand, clusterForm };
  })();

  // ---- begin

  document.body.append(panel);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { hideTip(); if (!panel.hidden) closePanel(); }
  });
  if (brands.length) {
    buildFilters();
    buildTable();
    timeline.build();
    update();
  }
  drawUnresolved();
  if (service && service.documents) {
    for (const link of document.querySelectorAll("a[data-file]")) link.href = service.documents.replace("{name}", link.dataset.file);
    byId("served").hidden = false;
    if (service.annotated) {
      byId("annotated").href = service.annotated;
      byId("annotated").parentElement.hidden = false;
    }
  }
  if (review) review.build();
  matchMedia("print").addEventListener("change", () => {
    if (brands.length) { drawEvidence(inGallery); timeline.redraw(); }
    drawUnresolved();
  });
})();
