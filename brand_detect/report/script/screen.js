// ---- the picture on top: a frame of the report, until the service's player takes its place

const colorOf = (number) => data.colors[number];
const swatch = (number) => el("span", { class: "swatch", style: paint(number), "aria-hidden": "true" });
const paint = (number) => ({ "--c": colorOf(number)[0], "--on": colorOf(number)[1] });

const bigPicture = (() => {
  const holder = byId("screen");

  /** Shows the frame of an exposure with the boxes of all brands on it. */
  function show(e) {
    const [width, height] = pictures.size_px || [16, 9];
    const here = pictures.frames[e.frame];
    const src = here ? jpeg(here) : service && service.frames.replace("{frame}", e.frame);
    if (!src) return;
    const boxes = data.boxes[e.frame] || [];
    const named = [...new Set(boxes.map(([brand]) => brand))];
    const still = el("figure", { class: "still" },
      el("div", { class: "shot" },
        el("img", { src, width, height, alt: `The frame at ${clock(e.t_s ?? e.start_s)}: ${named.map((b) => plain(brands[b].brand)).join(", ")}` }),
        pictures.size_px && boxes.map(([brand, x, y, w, h]) => el("span", { class: "box", style: { ...paint(brand), ...percents((100 * x) / width, (100 * y) / height, (100 * w) / width, (100 * h) / height) } }))),
      el("figcaption", {}, `${clock(e.t_s ?? e.start_s)} `, el("span", { class: "keys" }, named.map((brand) => el("span", { class: "key", style: paint(brand) }, word(brands[brand].brand))))));
    const before = holder.querySelector(".still");
    if (before) before.replaceWith(still);
    else holder.prepend(still);
  }

  /** The frame with most brands, of those in this file. */
  function build() {
    const many = (e) => new Set((data.boxes[e.frame] || []).map(([brand]) => brand)).size;
    const there = exposures.filter((e) => pictures.frames[e.frame]);
    if (there.length) show(there.reduce((best, e) => (many(e) > many(best) ? e : best)));
  }

  const go = (e, play = false) => {
    show(e);
    document.dispatchEvent(new CustomEvent("exposure", { detail: { brand: e.brand, start_s: e.start_s, end_s: e.end_s, play } }));
  };
  const seek = (t) => {
    document.dispatchEvent(new CustomEvent("seek", { detail: t }));
    holder.scrollIntoView({ block: "nearest" });
  };
  return { build, go, seek };
})();

// ---- the top brands, each with its best crop

const TOP = 6;
function drawTop(found) {
  const top = [...found].sort((a, b) => b.total.seconds - a.total.seconds).slice(0, TOP);
  byId("top").replaceChildren(...top.map(({ number, own, total }) => {
    const best = own.filter((e) => pictures.exposures[e.exposure_id]).sort((a, b) => b.confidence - a.confidence || b.area_frac_max - a.area_frac_max)[0];
    return el("li", {}, el("button", { type: "button", class: "card", style: paint(number), "data-brand": number, "aria-haspopup": "dialog", click: (event) => openBrand(number, event.currentTarget) },
      best ? closeUp(pictures.exposures[best.exposure_id], "", "span") : el("span", { class: "shot" }),
      el("b", {}, word(total.brand)),
      el("span", { class: "figure" }, duration(total.seconds)),
      el("span", { class: "soft small" }, `${percent(total.share_of_voice)} share of voice`)));
  }));
}
