// ---- the video with boxes: where to download it, once there is one

const annotated = (() => {
  const place = byId("drawing");

  function show(address, notes) {
    const link = el("a", { href: address, download: true }, "Download the video with boxes");
    place.replaceChildren(link, el("span", { role: "status" }, ["It is ready.", ...notes].join(" ")));
    place.hidden = false;
    return link;
  }

  function build() {
    if (service.annotated) show(service.annotated, []);
    else if (service.draw) {
      const limits = `for videos of up to ${service.draw_min} minutes; it takes about as long as the video plays, with this page open`;
      offerVideo(place, service.draw, "Make the video with boxes", limits, (address, notes) => show(address, notes).focus());
    }
  }
  return { build };
})();
