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
const NARROW = 4; // columns that a phone has room for
const shownFirst = data.leading.slice(0, matchMedia("(max-width: 640px)").matches ? NARROW : undefined);
const hiddenColumns = new Set(figures.map((figure) => figure.key).filter((key) => !shownFirst.includes(key)));

function buildTable() {
  document.body.append(tip);
  byId("filters").append(el("details", { class: "columns" }, el("summary", {}, "Columns"),
    el("div", { role: "group", "aria-label": "Columns" }, figures.slice(1).map((figure) => {
      const box = el("input", { type: "checkbox", checked: !hiddenColumns.has(figure.key), change: () => {
        if (box.checked) hiddenColumns.delete(figure.key);
        else hiddenColumns.add(figure.key);
        update();
      } });
      return el("label", {}, box, " ", figure.head);
    }))));
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
    head.hidden = hiddenColumns.has(key);
    if (key === order.key) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  const most = Math.max(1e-9, ...found.map((row) => row.total.high_s ?? row.total.seconds));
  const lines = found.map((row) => el("tr", {}, figures.map((figure) => {
    const cell = cellOf(figure, row, most);
    cell.hidden = hiddenColumns.has(figure.key);
    return cell;
  })));
  if (!lines.length) lines.push(el("tr", {}, el("td", { colspan: figures.length }, "No brand matches. Widen the filter or the search.")));
  document.querySelector("#table tbody").replaceChildren(...lines);
}

function cellOf(figure, { number, own, total }, most) {
  const value = total[figure.key];
  if (figure.key === "brand") {
    return el("th", { scope: "row" },
      el("button", { type: "button", class: "link", "data-brand": number, "aria-haspopup": "dialog", click: (event) => openBrand(number, event.currentTarget) }, swatch(number), word(total.brand)),
      review && [" ", ...review.ofBrand(number).map(badge), el("button", {
        type: "button", class: "link small soft", "data-brand": number, "aria-haspopup": "dialog", "aria-label": `Correct ${plain(total.brand)}`,
        click: (event) => openBrand(number, event.currentTarget, "actions"),
      }, "Correct…")]);
  }
  if (figure.kind === "zones") return el("td", { class: "zoned" }, score(value), zoneMap(own));
  if (figure.key === "seconds") {
    const at = (s) => `${(100 * s) / most}%`;
    const known = total.low_s !== null && total.high_s !== null && duration(total.low_s) !== duration(total.high_s);
    return el("td", { class: "num" }, duration(value),
      known && el("span", { class: "bounds" }, `${duration(total.low_s)} to ${duration(total.high_s)}`),
      el("span", { class: "range", style: paint(number), "aria-hidden": "true" },
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
