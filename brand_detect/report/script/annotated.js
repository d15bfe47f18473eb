// ---- the video with boxes: a link once there is one, and drawn while the page waits for it

const annotated = (() => {
  const link = byId("annotated");
  const place = byId("drawing");
  const bar = el("progress", { max: 1, "aria-label": "Progress of the video with boxes" });
  const says = el("span", { role: "status" });
  const cancel = el("button", { type: "button", class: "button" }, "Cancel");
  const make = el("button", { type: "button", class: "button", click: onMake }, "Make the video with boxes");

  function show(address) {
    link.href = address;
    link.parentElement.hidden = false;
    place.hidden = true;
  }

  /** Follows the lines that the service writes about what it does; the address of the video. */
  async function drawn(signal) {
    const answer = await reached(service.draw, { method: "POST", headers: HEADERS, signal });
    if (!answer.ok) throw new Error(sentenceOf(answer.status, await answer.json().catch(() => ({}))));
    let left = "";
    for await (const part of chunks(answer.body.pipeThrough(new TextDecoderStream()))) {
      const lines = (left + part).split("\n");
      left = lines.pop();
      for (const told of lines.map((line) => JSON.parse(line))) {
        if (told.address) return told.address;
        if (told.detail) throw new Error(sentenceOf(0, told));
        const begun = told.done_s !== undefined;
        if (told.total_s) bar.value = told.done_s / told.total_s; // a picture alone lasts 0.0 s
        says.textContent = begun ? `Drawn: ${duration(told.done_s)} of ${duration(told.total_s)}` : "Waiting for its turn…";
      }
    }
    throw new Error("The service ended before the video was drawn.");
  }
  async function* chunks(stream) {
    const reader = stream.getReader();
    for (;;) {
      const { done, value } = await reader.read().catch(() => ({ done: true })); // the connection broke
      if (done) return;
      yield value;
    }
  }

  async function onMake() {
    const stop = new AbortController();
    bar.removeAttribute("value");
    says.textContent = "";
    cancel.onclick = () => stop.abort();
    place.replaceChildren(bar, cancel, says);
    cancel.focus();
    try {
      show(await drawn(stop.signal));
      link.focus();
    } catch (error) {
      says.textContent = stop.signal.aborted ? "Cancelled." : `It was not drawn. ${error.message}`;
      place.replaceChildren(make, says);
      make.focus();
    }
  }

  function build() {
    if (service.annotated) show(service.annotated);
    else if (service.draw) {
      const limits = `for videos of up to ${service.draw_min} minutes; it takes about as long as the video plays, with this page open`;
      place.replaceChildren(make, el("span", { class: "soft" }, limits));
      place.hidden = false;
    }
  }
  return { build };
})();
