// ---- begin

document.body.append(panel);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { hideTip(); if (!panel.hidden) closePanel(); }
});
globalThis.brandDetect = { service, first_picture_s: data.first_picture_s, start_s: START, brands: brands.map((brand) => cut(brand.brand, 40)), colors: data.colors }; // for the player
if (brands.length) {
  bigPicture.build();
  buildFilters();
  buildTable();
  timeline.build();
  update();
}
drawUnresolved();
if (service && service.documents) {
  for (const name of document.querySelectorAll("[data-file]")) {
    name.replaceChildren(el("a", { href: service.documents.replace("{name}", name.dataset.file), download: true }, name.dataset.file));
  }
  byId("served").hidden = false;
  byId("unserved").hidden = true;
  annotated.build();
}
byId("places").hidden = byId("ways").hidden = !service;
if (service && service.compare) {
  byId("compare").href = service.compare;
  byId("compare").hidden = false;
  byId("compare").nextElementSibling.hidden = true;
}
if (review) review.build();
matchMedia("print").addEventListener("change", () => { if (brands.length) timeline.redraw(); });
