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
  document.body.classList.remove("with-panel", "docked");
  timeline.redraw();
  if (opener && opener.shown) timeline.focus(opener.shown[0]);
  else {
    const drawnAgain = opener && opener.dataset.brand && document.querySelector(`#table [data-brand="${opener.dataset.brand}"]`);
    (opener && opener.isConnected ? opener : drawnAgain || search).focus();
  }
}

panel.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { event.stopPropagation(); closePanel(); return; }
  if (!chosen || event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input:not([type=checkbox]), select, textarea")) return;
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by) { event.preventDefault(); step(by); return; }
  const pressed = panel.querySelector(`[aria-keyshortcuts="${CSS.escape(event.key.toLowerCase())}"]`);
  if (!pressed || !pressed.checkVisibility()) return;
  event.preventDefault();
  if (pressed.matches("input:not([type=checkbox])")) pressed.focus();
  else pressed.click();
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

function play(e) {
  if (panel.offsetWidth === document.documentElement.clientWidth) document.body.classList.add("docked"); // the panel covers the player
  bigPicture.go(e, true);
}

function openExposure(e, from) {
  if (chosen !== e) bigPicture.go(e);
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
        el("button", { type: "button", class: "button play", "aria-keyshortcuts": "p", click: () => play(e) }, "▶ Play"),
      el("button", { type: "button", class: "link", click: () => openBrand(e.brand) }, "All of this brand")),
    el("p", {}, el("b", {}, `${clock(e.start_s)} to ${clock(e.end_s)}`), `, ${duration(e.seconds)}`, " ",
      e.reviewed && el("span", { class: "badge reviewed" }, `${e.reviewed} by a person`),
      review && review.ofExposure(e).map(badge)),
    frameOf(e),
    service && el("p", { class: "small" },
      service.clips && el("a", { href: service.clips.replace("{exposure}", e.exposure_id) }, "Clip (MP4)"),
      service.frames && [service.clips && " · ", cutOf(e)]),
    review ? [el("h3", {}, "Correct"), review.actionsFor(e)] : null,
    el("h3", {}, "Evidence"),
    chain(e),
    review ? null : unserved());
}

function matchedTo(e, proof) {
  if (e.rule === "reidentified") return proof.read_s === null ? "" : `, the one from ${clock(proof.read_s)} on`;
  return proof.matched && [", ", e.rule === "logo_match" ? "exemplar " : "to ", word(proof.matched)];
}

function chain(e) {
  const proof = e.proof === null ? null : proofs[e.proof];
  const text = proof ? proof.text : e.text;
  const item = (title, ...content) => el("li", {}, el("b", {}, title), ...content);
  const size = pictures.size_px && `${Math.round(e.w_px)} × ${Math.round(e.h_px)} px at ${Math.round(e.x_px)}, ${Math.round(e.y_px)}`;
  return [
    el("ol", { class: "chain" },
      item("Seen", `frame ${e.frame}${e.t_s === null ? "" : ` at ${clock(e.t_s)}`}${size ? `, box ${size}` : ""}; ${percent(e.area_frac_max)} of the picture at most, ${e.zone}; ${counted(e.n_detections, "detection")} in this exposure`),
      text ? item("Read", el("q", {}, word(text))) : item("Read", "no text: recognised by its looks"),
      item("Matched", ruleWords(e.rule),
        proof && [matchedTo(e, proof), `, score ${score(proof.score)}`]),
      proof && proof.model && item("Model answered", word(proof.matched || "none"), proof.reasoning && [": ", el("q", {}, el("bdi", {}, cut(proof.reasoning, 600)))],
        el("div", { class: "soft" }, word(proof.provider), " ", word(proof.model), proof.prompt_version && [", prompt ", word(proof.prompt_version)],
          `, ${proof.cost_usd ? `${proof.cost_usd.toFixed(4)} USD` : "no cost"}`, placementsTold && proof.placement && [", on ", word(placementWords(proof.placement))])),
      item("Decided", `in the step “${stageWords(e.decided_by)}”, confidence ${score(e.confidence)} (${certainty(e)})`, proof && `; this verdict covers ${counted(proof.n_tracks, "track")}`),
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
    !settings && el("p", {}, "The settings of all stages are under “Method”."),
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
    more.textContent = showMore(100, left);
  }
  add();
  return [el("table", { class: "list" }, el("thead", {}, el("tr", {}, ["Time", "Length", "Identified by", "Confidence"].map((head, i) => el("th", { scope: "col", class: i % 2 ? "num" : null }, head)))), body), more];
}

const unserved = () => el("p", { class: "says" }, "To correct this report, serve it: ", el("code", {}, "brand-detect serve"), ", then open it there under /reports.");
