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
  drawTop(found);
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
  for (const tile of document.querySelectorAll("[data-tile]")) {
    const [count, label] = [tiles[tile.dataset.tile], tile.nextElementSibling];
    tile.textContent = count;
    if (label.dataset.noun) label.textContent = `${label.dataset.noun}${count === 1 ? "" : "s"}`;
  }
  state.classList.toggle("on", filtered());
  state.textContent = filtered()
    ? `Filter on: ${shown.length} of ${counted(exposures.length, "exposure")}, ${rows.length} of ${counted(brands.length, "brand")}. ` +
      "All totals, shares and tiles are those of the filter, each instant counted once per brand; low and high are known only for the whole report. " +
      "An exposure counts by its best detection."
    : "Every instant counts once per brand, however many boxes show it.";
  reset.disabled = !filtered() && !query;
}
