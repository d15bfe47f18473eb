// ---- the gallery

const [FIRST, EACH] = [12, 3]; // brands before "show more", and pictures of each
let everything = false;

function figureOf(e) {
  const brand = brands[e.brand].brand;
  return el("figure", {},
    closeUp(pictures.exposures[e.exposure_id], plain(brand), "button", { type: "button", style: paint(e.brand), "aria-label": `Evidence of ${plain(brand)} at ${clock(e.start_s)}`, click: (event) => openExposure(e, event.currentTarget) }),
    el("figcaption", {}, el("b", {}, word(brand)), ` ${clock(e.start_s)} to ${clock(e.end_s)}`, el("br"),
      e.text && e.rule !== "logo_match" ? ["“", word(e.text), "”, "] : "", `identified by ${SOURCES[sourceOf(e)]}, confidence ${score(e.confidence)}`,
      review && review.ofExposure(e).map((text) => [" ", badge(text)])));
}

let inGallery = [];
function drawEvidence(found) {
  inGallery = found;
  const listed = everything ? found : found.slice(0, FIRST);
  const best = listed.map(({ own }) => own.filter((e) => pictures.exposures[e.exposure_id])
    .sort((a, b) => b.confidence - a.confidence || b.seconds - a.seconds).slice(0, EACH).sort((a, b) => a.start_s - b.start_s));
  const left = found.length - listed.length;
  byId("evidence").replaceChildren(
    el("div", { class: "figures" }, best.flat().map(figureOf)),
    left ? el("button", { type: "button", class: "button more", click: () => { everything = true; drawEvidence(inGallery); } }, `Show ${counted(left, "more brand")}`) : "");
}
