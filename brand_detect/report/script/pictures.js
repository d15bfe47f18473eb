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
    pictures.size_px && others.map(([brand, ...box]) => el("span", { class: "box other", "data-own": own([brand, ...box]), title: plain(brands[brand].brand), style: { ...paint(brand), ...at(...box) } })),
    pictures.size_px && el("span", { class: "box", "data-own": own(all.find(isBest) || []), style: { ...paint(e.brand), ...at(e.x_px, e.y_px, e.w_px, e.h_px) } }));
}

/** The same picture enlarged around the box, for a frame that comes whole from the service. */
function enlarged(e, src) {
  const [width, height] = pictures.size_px;
  const across = Math.min(width, Math.max(1.5 * e.w_px, (1.8 * e.h_px * 16) / 9, 0.1 * width));
  const down = Math.min(height, (across * 9) / 16);
  const corner = (at, side, view, whole) => Math.min(Math.max(at + side / 2 - view / 2, 0), whole - view);
  const [x, y] = [corner(e.x_px, e.w_px, across, width), corner(e.y_px, e.h_px, down, height)];
  return el("div", { class: "shot close", style: { ...paint(e.brand), "aspect-ratio": `${across} / ${down}` } },
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
      ...(pictures.exposures[near.exposure_id] ? [closeUp(pictures.exposures[near.exposure_id], `Close-up of ${plain(brands[e.brand].brand)}`, "div", { class: "close", style: paint(e.brand) })] : []));
  };
  if (service && !pictures.frames[e.frame]) {
    const src = service.frames.replace("{frame}", e.frame);
    const shown = wholeFrame(e, src);
    shown.querySelector("img").addEventListener("error", fallBack);
    holder.append(shown, beside(e), pictures.size_px ? enlarged(e, src) : "");
  } else fallBack();
  return holder;
}

/** A box as shares of the picture: left, top, width and height; null if it is not known. */
function sharesOf({ x_px, y_px, w_px, h_px }) {
  const size = pictures.size_px;
  if (!size || x_px === null) return null;
  const within = (from, side, whole) => { const at = (v) => Math.min(1, Math.max(0, v / whole)); return [at(from), at(from + side) - at(from)]; };
  const [x, w] = within(x_px, w_px, size[0]);
  const [y, h] = within(y_px, h_px, size[1]);
  return w > 0 && h > 0 ? [x, y, w, h] : null;
}
/** The link to where a logo is cut out of the frame of an exposure or a cluster, whose box is marked there. */
function cutOf(seen) {
  const [frame, part] = [service.frames.replace("{frame}", seen.frame), sharesOf(seen)];
  const asked = new URLSearchParams({ cut: frame, ...(part && { part: part.map((share) => share.toFixed(4)).join() }) });
  return el("a", { href: `/brand-list?${asked}` }, "Cut a logo out");
}
