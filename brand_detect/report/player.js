// Plays the video of a report with the brands' boxes over it. The service adds this script to the page, which itself shows
// stills: if the video cannot be played, they stay. The two talk by events: "exposure" and "seek" say where to go to,
// "playhead" says where the video is, in seconds.
(() => {
  const PART_S = 60; // boxes are fetched by the minute
  const MOST_PARTS = 10;
  const AGAIN_MS = 10_000;
  const NARROW_PX = 500; // a narrower player names the chosen brand alone
  const CONTROLS_PX = 64; // height of the video's controls, which labels leave free
  const LABEL_PX = 16;
  const COPY = 'video/mp4; codecs="avc1.640028, mp4a.40.2"';
  const HIDDEN = 0.1; // largest share that a label may hide of a box around it
  const { service, brands, colors, first_picture_s = 0 } = globalThis.brandDetect; // pages made before have no offset
  const place = document.getElementById("screen");
  if (!service || !service.video || !place) return;

  const video = el("video", {
    controls: true, controlslist: "nofullscreen", // the boxes would stay behind
    preload: "metadata", playsinline: true, "aria-label": "The video", src: service.playable ?? service.video,
  });
  const canvas = el("canvas", { "aria-hidden": "true" });
  const frame = el("div", { class: "player", hidden: true }, video, canvas);
  const shown = el("input", { type: "checkbox", checked: true });
  const full = el("button", { type: "button", class: "button" }, "Full screen");
  const controls = el("div", { class: "controls", hidden: true }, el("label", {}, shown, " Boxes"), full);
  const says = el("p", { class: "says", role: "status", hidden: true });
  const offer = el("p", { class: "controls", hidden: true });
  place.append(frame, controls, says, offer);

  // ---- boxes

  const parts = new Map();
  function partAt(number) {
    if (!parts.has(number)) {
      parts.set(number, []);
      if (parts.size > MOST_PARTS) parts.delete(parts.keys().next().value);
      fetch(`${service.boxes}&from_s=${number * PART_S}&to_s=${(number + 1) * PART_S}`)
        .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
        .then(({ tracks }) => { parts.set(number, tracks); draw(); })
        .catch(() => setTimeout(() => parts.delete(number), AGAIN_MS));
    }
    return parts.get(number);
  }

  /** A track's box at a time: left, top, right and bottom as shares of the picture. */
  function boxAt(track, t) {
    const after = track.t_s.findIndex((at) => at > t);
    if (after < 1) return track.boxes.at(after);
    const [from, to] = [track.t_s[after - 1], track.t_s[after]];
    return track.boxes[after].map((side, i) => track.boxes[after - 1][i] + ((side - track.boxes[after - 1][i]) * (t - from)) / (to - from));
  }

  const shared = (one, other) => Math.max(0, Math.min(one[2], other[2]) - Math.max(one[0], other[0])) * Math.max(0, Math.min(one[3], other[3]) - Math.max(one[1], other[1]));
  const areaOf = ([left, top, right, bottom]) => (right - left) * (bottom - top);
  /** Where the label of the box `own`, `wide` px, covers no other label nor box, and little of those that `own` lies in: above, below or beside. */
  function placeOf(own, wide, bounds, taken, boxes) {
    const [left, top, right, bottom] = own;
    const middle = (top + bottom - LABEL_PX) / 2;
    const places = [[left, top - LABEL_PX], [left, bottom], [right - wide, top - LABEL_PX], [right - wide, bottom], [right, middle], [left - wide, middle]]
      .map(([x, y]) => [Math.max(bounds[0], Math.min(x, bounds[2] - wide)), Math.max(bounds[1], Math.min(y, bounds[3] - LABEL_PX))])
      .map(([x, y]) => [x, y, x + wide, y + LABEL_PX])
      .filter((plate) => !taken.some((other) => shared(plate, other)) && boxes.every((box) => shared(plate, box) <= (shared(own, box) === areaOf(own) ? HIDDEN * areaOf(box) : 0)));
    const hidden = (plate) => boxes.reduce((sum, box) => sum + shared(plate, box), 0);
    return places.sort((one, other) => hidden(one) - hidden(other))[0];
  }

  let now = 0;
  let chosen = null; // the brand whose exposure was last gone to
  function draw() {
    const ratio = devicePixelRatio || 1;
    const [width, height] = [frame.clientWidth, frame.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const tracks = partAt(Math.floor(now / PART_S));
    if (now % PART_S > PART_S - 5) partAt(Math.floor(now / PART_S) + 1);
    if (!shown.checked || !video.videoWidth) return;
    const scale = Math.min(width / video.videoWidth, height / video.videoHeight);
    const [wide, high] = [video.videoWidth * scale, video.videoHeight * scale];
    const [left, top] = [(width - wide) / 2, (height - high) / 2];
    pen.font = "600 12px system-ui, sans-serif";
    pen.textBaseline = "top";
    const there = tracks.filter((track) => track.spans_s.some(([from, to]) => from <= now && now < to));
    const boxes = there.map((track) => boxAt(track, now).map((side, i) => (i % 2 ? top + side * high : left + side * wide)));
    const colorsOf = (track) => colors[track.brand % colors.length]; // pages made before have fewer than brands
    boxes.forEach(([x, y, right, bottom], i) => {
      for (const [color, line] of [["rgb(0 0 0 / 0.6)", 4], [colorsOf(there[i])[0], 2]]) {
        pen.strokeStyle = color;
        pen.lineWidth = line;
        pen.strokeRect(x, y, right - x, bottom - y);
      }
    });
    const outlined = boxes.map(([x, y, right, bottom]) => [x - 2, y - 2, right + 2, bottom + 2]);
    const taken = [[0, height - CONTROLS_PX, width, height]];
    for (let i = there.length - 1; i >= 0; i -= 1) { // those longest on screen choose first
      if (width < NARROW_PX && there[i].brand !== chosen) continue;
      const name = brands[there[i].brand];
      const length = Math.min(pen.measureText(name).width + 8, wide / 3);
      const plate = placeOf(outlined[i], length, [left, top, left + wide, top + high], taken, outlined);
      if (!plate) continue;
      taken.push(plate);
      const [fill, ink] = colorsOf(there[i]);
      pen.fillStyle = fill;
      pen.fillRect(plate[0], plate[1], length, LABEL_PX);
      pen.fillStyle = ink;
      pen.fillText(name, plate[0] + 4, plate[1] + 2, length - 8);
    }
  }

  // ---- time: the report's counts from the first picture, the video's from where its sound may begin

  let until = null; // where an exposure that is played ends
  function arrive(t) {
    now = Math.max(0, t); // the picture that stands before the first one is the first
    if (until !== null && now >= until) {
      until = null;
      video.pause();
    }
    draw();
  }
  function follow() {
    video.requestVideoFrameCallback((_, { mediaTime }) => { arrive(mediaTime - first_picture_s); follow(); });
  }
  if (video.requestVideoFrameCallback) follow();
  else for (const name of ["timeupdate", "seeked"]) video.addEventListener(name, () => arrive(video.currentTime - first_picture_s));
  for (const name of ["timeupdate", "seeking"]) {
    video.addEventListener(name, () => document.dispatchEvent(new CustomEvent("playhead", { detail: video.currentTime - first_picture_s })));
  }

  function go(t, end = null) {
    if (frame.hidden) return;
    until = end;
    video.currentTime = t + first_picture_s;
    if (end === null) return;
    place.scrollIntoView({ block: "nearest" });
    video.play().catch(() => {}); // a newer request to pause or to load
  }
  document.addEventListener("exposure", ({ detail }) => {
    chosen = detail.brand;
    if (!detail.play) video.pause();
    go(detail.start_s, detail.play ? detail.end_s : null);
  });
  document.addEventListener("seek", ({ detail }) => go(detail));

  // ---- what it looks like, and what it says

  shown.addEventListener("change", draw);
  full.addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : frame.requestFullscreen()));
  new ResizeObserver(draw).observe(frame);
  new ResizeObserver(() => document.body.style.setProperty("--docked", `${place.offsetHeight}px`)).observe(place, { box: "border-box" });

  const isCopy = () => video.getAttribute("src") !== service.video;
  let copy = service.copy; // where to have one made
  function offerCopy() {
    const about = `about ${counted(Math.ceil(service.copy_s / 60) || 1, "minute")}, with this page open`;
    offerVideo(offer, copy, copy === service.copy ? "Make a copy that it plays" : "Make the copy again", about, onCopy);
  }
  function failed() {
    if (!isCopy()) { explain(); return; }
    copy = `${video.getAttribute("src")}&again=true`;
    says.textContent = "The copy for browsers cannot be played, so the video itself is shown.";
    says.hidden = false;
    offerCopy();
    video.src = service.video;
  }
  async function explain() {
    frame.hidden = controls.hidden = true;
    document.body.classList.remove("plays");
    let why = `This browser does not play ${service.encoding}.`;
    let copies = copy && video.canPlayType(COPY);
    try {
      const answer = await fetch(video.src, { headers: { Range: "bytes=0-0" } });
      if (!answer.ok) [why, copies] = [(await answer.json()).detail, false];
    } catch {
      [why, copies] = ["The video could not be loaded.", false];
    }
    offer.hidden = true;
    if (copies && service.duration_s > 60 * service.copy_min) {
      why += ` It is longer than the ${service.copy_min} minutes of which a copy is made here.`;
    } else if (copies) {
      offerCopy();
    }
    says.textContent = `${why} A still picture of each exposure is shown instead.`;
    says.hidden = false;
  }
  function onCopy(address, notes) {
    offer.hidden = true;
    says.textContent = ["The copy is there.", ...notes].join(" ");
    says.hidden = !notes.length;
    video.addEventListener("loadeddata", () => video.focus(), { once: true });
    video.src = copy === service.copy ? address : `${address}&made=${Date.now()}`; // a page keeps what it had from an address
  }
  video.addEventListener("error", failed);
  video.addEventListener("loadedmetadata", () => {
    if (!video.videoWidth) { failed(); return; } // it plays the sound alone
    frame.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
    frame.hidden = controls.hidden = false;
    document.body.classList.add("plays");
    go(globalThis.brandDetect.start_s);
  });
})();
