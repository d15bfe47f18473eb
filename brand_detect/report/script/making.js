// ---- videos that the service makes while the page waits

/** Offers in `place` to have the video at `address` made, by a button that says `words`; `made` is told where it is, and what it lacks. */
function offerVideo(place, address, words, about, made) {
  const bar = el("progress", { max: 1, "aria-label": "Progress of the video" });
  const says = el("span", { role: "status" });
  const cancel = el("button", { type: "button", class: "button" }, "Cancel");
  const make = el("button", { type: "button", class: "button", click: onMake }, words);

  /** Follows the lines that the service writes about what it does; the last one has the address of the video. */
  async function ready(signal) {
    const answer = await reached(address, { method: "POST", headers: HEADERS, signal });
    if (!answer.ok) throw new Error(sentenceOf(answer.status, await answer.json().catch(() => ({}))));
    let left = "";
    for await (const part of chunks(answer.body.pipeThrough(new TextDecoderStream()))) {
      const lines = (left + part).split("\n");
      left = lines.pop();
      for (const told of lines.map((line) => JSON.parse(line))) {
        if (told.address) return told;
        if (told.detail) throw new Error(sentenceOf(0, told));
        const begun = told.done_s !== undefined;
        if (told.total_s) bar.value = told.done_s / told.total_s; // a picture alone lasts 0.0 s
        says.textContent = begun ? `Made: ${duration(told.done_s)} of ${duration(told.total_s)}` : "Waiting for its turn…";
      }
    }
    throw new Error("The service ended before the video was made.");
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
      const { address: where, notes } = await ready(stop.signal);
      made(where, notes);
    } catch (error) {
      says.textContent = stop.signal.aborted ? "Cancelled." : `It was not made. ${error.message}`;
      place.replaceChildren(make, says);
      make.focus();
    }
  }

  place.replaceChildren(make, el("span", { class: "soft" }, about));
  place.hidden = false;
}
