// ---- the video with boxes: a link once there is one

const annotated = (() => {
  const link = byId("annotated");

  function show(address) {
    link.href = address;
    link.parentElement.hidden = false;
  }

  function build() {
    if (service.annotated) show(service.annotated);
    else if (service.draw) {
      const limits = `for videos of up to ${service.draw_min} minutes; it takes about as long as the video plays, with this page open`;
      offerVideo(byId("drawing"), service.draw, "Make the video with boxes", limits, (address) => { show(address); link.focus(); });
    }
  }
  return { build };
})();
