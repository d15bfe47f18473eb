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
    el("optgroup", { label: "Decided in the step" }, distinct((e) => e.decided_by).map((s) => option(`stage:${s}`, stageWords(s)))),
    el("optgroup", { label: "Because" }, distinct((e) => e.rule).map((s) => option(`rule:${s}`, ruleWords(s)))),
  );
  placement.append(option("", "Any placement"), ...distinct((e) => e.placement).map((s) => option(s, placementWords(s))));
  const field = (label, input, more) => el("label", { class: "field" }, el("span", {}, label, more), input);
  byId("filters").append(
    el("div", { class: "filters", role: "search", "aria-label": "Filter the report" },
      field("Search", search), field("Source", source), placementsTold && field("Placement", placement),
      field("Confidence from ", confidence, least), reset, state),
  );
}
