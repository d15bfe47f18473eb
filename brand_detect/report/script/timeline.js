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
  const head = el("i", { class: "playhead", "aria-hidden": "true", hidden: true });
  let at = null; // where the player is, in seconds
  const strip = el("div", { class: "window", "aria-hidden": "true" }, pane);
  const chart = el("div", { class: "chart", tabindex: 0, role: "group", "aria-label": "Timeline", "aria-describedby": "timeline-keys" }, list, head, strip);
  const range = el("span", { class: "soft small", role: "status" });

  function build() {
    const button = (label, title, click) => el("button", { type: "button", class: "button", "aria-label": title, title, click }, label);
    const sample = (how, letter) => el("span", { class: `bar ${how}`, "aria-hidden": "true" }, letter && el("span", {}, letter));
    const present = [...new Set(exposures.map(sourceOf))];
    byId("timeline").append(
      el("div", { class: "controls" },
        button("+", "Zoom in", () => zoom(0.5)), button("−", "Zoom out", () => zoom(2)),
        button("←", "Earlier", () => pan(-0.25)), button("→", "Later", () => pan(0.25)),
        button("Whole", "The whole range", () => show(START, END)), range),
      el("ul", { class: "legend", "aria-label": "Legend" },
        Object.keys(SOURCES).filter((s) => present.includes(s)).map((s) => el("li", {}, sample("sure", s), `identified by ${SOURCES[s]}`)),
        el("li", {}, sample("sure"), `sure (${data.sure_confidence.toFixed(2)} or more)`),
        el("li", {}, sample("likely"), `likely (${WEAK.toFixed(2)} or more)`),
        el("li", {}, sample("weak"), "weak")),
      chart,
      el("p", { class: "soft small", id: "timeline-keys" },
        "The letter on a bar shows how the brand was identified. Click a bar for its evidence, and beside it to go there in the video. Drag to move, Ctrl and wheel or pinch to zoom. Keys: + and − zoom, ← and → move, 0 shows all, Enter goes to the bars; there the arrows go from bar to bar, Enter opens, Esc leaves."),
    );
    list.addEventListener("scroll", drawSoon, { passive: true });
    new ResizeObserver(drawSoon).observe(axis);
    chart.addEventListener("keydown", onKey);
    chart.addEventListener("wheel", onWheel, { passive: false });
    chart.addEventListener("focusin", (event) => { if (event.target.shown) current = event.target.shown[0]; });
    list.addEventListener("click", onClick, true);
    watchPointers();
    document.addEventListener("playhead", ({ detail }) => { at = detail; drawHead(); });
  }

  function setLanes(found) {
    lanes = found.map(({ number, own, total }) => {
      const track = el("div", { class: "track", role: "group", "aria-label": `${plain(total.brand)}: ${counted(own.length, "exposure")}` });
      const name = el("button", { type: "button", class: "link name", tabindex: -1, title: plain(total.brand), click: () => openBrand(number, name) }, swatch(number), word(total.brand));
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
    drawSoon();
  }
  const pan = (share) => { const by = share * (view.to - view.from); show(view.from + by, view.to + by); };
  function zoom(factor, at = (view.from + view.to) / 2) {
    const span = Math.min(whole, Math.max(leastSpan, (view.to - view.from) * factor));
    const from = at - ((at - view.from) / (view.to - view.from)) * span;
    show(from, from + span);
  }
  const timeAt = (x) => { const box = axis.getBoundingClientRect(); return view.from + ((x - box.left) / box.width) * (view.to - view.from); };

  function drawSoon() {
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
    strip.style.marginLeft = `${axis.offsetLeft}px`;
    pane.style.left = `${(100 * (view.from - START)) / whole}%`;
    pane.style.width = `${(100 * span) / whole}%`;
    drawHead();
    range.textContent = `${clock(view.from)} to ${clock(view.to)}, ${counted(lanes.length, "brand")}`;
  }

  /** The line at the time that the player shows. */
  function drawHead() {
    const inView = at !== null && at >= view.from && at <= view.to;
    head.hidden = !inView;
    if (inView) head.style.left = `${axis.offsetLeft + ((at - view.from) / (view.to - view.from)) * width}px`;
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
        style: { ...paint(lane.number), left: place(from), width: extent(to - from) },
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
    if (!bar) {
      if (event.target.closest(".track")) document.dispatchEvent(new CustomEvent("seek", { detail: timeAt(event.clientX) }));
      return;
    }
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
