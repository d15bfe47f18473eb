const MOST_BYTES = 600e3, LONGEST_PX = 800, NIGHT_HOUR = 1;
const LOGO_BYTES = 5 * 2 ** 20, REQUEST_LENGTH = 7e6, REQUEST_LOGOS = 50; // what the service takes: of base64, and logos

let note = null; // one at a time: what was said before goes
/** Says beside the button `at` what became of its press. */
function tell(at, role, ...said) {
  const place = at.closest(".actions, .do, #drop") ?? at;
  byId("said").hidden = true;
  if (note?.parentNode !== place) {
    note?.remove();
    note = place.appendChild(document.createElement("span"));
  }
  note.className = role === "alert" ? "note why" : "note";
  note.setAttribute("role", role);
  note.replaceChildren(...said);
}
/** Runs `work` while `button` is disabled, and says beside it what is going on, then what `work` answers or why it failed. */
async function during(button, doing, work) {
  const place = button.parentNode; // the button may go
  button.disabled = true;
  tell(place, "status", doing);
  try { tell(place, "status", ...[(await work()) ?? ""].flat()); } catch (error) { tell(place, "alert", error.message); }
  button.disabled = false;
}
const linkTo = (address, text) => Object.assign(document.createElement("a"), { href: address, textContent: text });
/** Shows the brand after a change of the list, with what was done and the reports that it would touch. */
function changed(brand, text) {
  sessionStorage.setItem("said", text);
  history.scrollRestoration = "manual"; // it is said at the top, and the address may be the same
  location.assign(`/brand-list?q=${encodeURIComponent(brand.name)}`);
}
const logosOf = (brand) => `${brand.logos.length} logo${brand.logos.length === 1 ? "" : "s"}`;
const also = (alike) => (alike.length ? ` Hard to tell apart: ${alike.join("; ")}.` : "");
/** That the brand is on the list; what was typed may be another of its names. */
const listedAs = (name, typed) => (!typed || typed.toLowerCase() === name.toLowerCase() ? `${name} is on the list` : `${typed} is one of the names of ${name}, which is on the list`);
const SLOW = "A long list takes some seconds.";
const listOf = (text, mark) => text.split(mark).map((part) => part.trim()).filter(Boolean);

// --- the packaged list, copied

byId("make-own")?.addEventListener("click", (event) => during(event.target, "Copying and reading it… This takes some seconds.", async () => {
  const { folder } = await ask("POST", "/brands/own");
  sessionStorage.setItem("said", `The list is your own now, in ${folder}.`);
  location.reload();
}));

// --- proposals

byId("proposals")?.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (!button) return;
  const card = button.closest("[data-proposal]"), input = card.querySelector("input"), name = input?.value.trim() ?? "", verdict = button.dataset.do;
  if (verdict === "accepted" && input && !name) {
    tell(button, "alert", "A brand needs a name.");
    return input.focus();
  }
  during(button, verdict === "accepted" ? `Adding… ${SLOW}` : "Rejecting…", async () => {
    const done = await ask("POST", `/proposals/${card.dataset.proposal}`, { verdict, name });
    card.querySelector(".field")?.remove();
    for (const one of card.querySelectorAll("button")) one.remove();
    delete card.dataset.proposal;
    const open = [...byId("proposals").querySelectorAll("[data-proposal]")];
    byId("waiting").textContent = open.length;
    showProposals(1);
    (open.find((one) => card.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING) ?? open.at(-1))?.querySelector("input, button")?.focus({ preventScroll: true });
    tell(card.querySelector(".actions"), "status", verdict === "rejected" ? "Rejected: no report proposes it again." : `${listedAs(done.brand, name)}.${done.note ? ` Without a logo: ${done.note}` : ""}${also(done.alike)}`);
    note = null; // it stays in the card
  });
});
/** Shows the next `count` proposals. */
function showProposals(count) {
  for (const card of [...byId("proposals").querySelectorAll("[hidden]")].slice(0, count)) card.hidden = false;
  byId("more").hidden = !byId("proposals").querySelector("[hidden]");
}
byId("more")?.addEventListener("click", () => {
  const first = byId("proposals").querySelector("[hidden]");
  showProposals(Infinity);
  first.querySelector("input, button")?.focus();
});

// --- new brands and logos

let logos = []; // files, each with its address as data for the picture
const dataOf = (file) => new Promise((done) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result);
  reader.readAsDataURL(file);
});
/** Adds files to the chosen logos, unless they are there, and says beside `at` which are none; gives how many are new. */
async function choose(files, at) {
  const suffixes = byId("add").dataset.suffixes.split(" "), before = logos.length;
  const isLogo = (file) => suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix));
  for (const file of [...files].filter(isLogo))
    if (!logos.some((logo) => logo.file.name === file.name && logo.file.size === file.size)) logos.push({ file, url: await dataOf(file) });
  showLogos();
  const others = [...files].filter((file) => !isLogo(file)).map((file) => file.name);
  if (others.length) tell(at, "alert", `${others.join(", ")} is no logo file: use ${suffixes.join(", ")}.`);
  return logos.length - before;
}
function showLogos() {
  byId("chosen").replaceChildren(...logos.map((logo) => {
    const item = document.createElement("li"), remove = document.createElement("button");
    Object.assign(remove, { type: "button", textContent: "Remove" });
    remove.setAttribute("aria-label", `Remove ${logo.file.name}`);
    remove.addEventListener("click", () => {
      logos = logos.filter((other) => other !== logo);
      showLogos();
      byId("logos").focus();
    });
    item.append(Object.assign(new Image(), { src: logo.url, alt: "" }), Object.assign(document.createElement("span"), { textContent: logo.file.name }), remove);
    return item;
  }));
}
/** A logo as the service takes it. Large photographs are made smaller: no logo on screen is as large. */
async function sent(file) {
  let data = file, name = file.name;
  if (file.size > MOST_BYTES && !/\.svg$/i.test(name)) {
    const picture = await createImageBitmap(file), scale = Math.min(1, LONGEST_PX / Math.max(picture.width, picture.height));
    const canvas = new OffscreenCanvas(Math.round(picture.width * scale), Math.round(picture.height * scale));
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    data = await canvas.convertToBlob({ type: "image/png" });
    name = name.replace(/\.\w+$/, ".png");
  }
  if (data.size > LOGO_BYTES) throw new Error(`${file.name} has ${(data.size / 2 ** 20).toFixed(1)} MiB. Use a file of at most ${LOGO_BYTES / 2 ** 20} MiB.`);
  const url = await dataOf(data);
  return { name, data: url.slice(url.indexOf(",") + 1) };
}
/** Logos in groups that one request can carry; one empty group if there are none. */
function groupsOf(pictures) {
  const groups = [[]];
  let length = 0;
  for (const picture of pictures) {
    length += picture.data.length;
    if (length > REQUEST_LENGTH || groups.at(-1).length === REQUEST_LOGOS) {
      groups.push([]);
      length = picture.data.length;
    }
    groups.at(-1).push(picture);
  }
  return groups;
}
const form = byId("add");
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  during(form.querySelector("button.primary"), `Adding… ${SLOW}`, async () => {
    const value = (name) => form.elements[name].value.trim();
    const asked = { name: value("name"), kind: value("kind"), country: value("country"), owner: value("owner") };
    for (const name of ["aliases", "excluded_texts"]) asked[name] = listOf(value(name), "\n");
    for (const name of ["categories", "sports"]) asked[name] = listOf(value(name), ",");
    const pictures = [];
    for (const { file } of logos) pictures.push(await sent(file));
    let done;
    for (const group of groupsOf(pictures)) { // each adds what is not there yet
      try { done = await ask("POST", "/brands", { ...asked, logos: group }); } catch (error) {
        throw done ? new Error(`${done.brand.name} is on the list, with ${logosOf(done.brand)}. Others were not added: ${error.message}`) : error;
      }
    }
    changed(done.brand, `${listedAs(done.brand.name, asked.name)}, with ${logosOf(done.brand)}.${also(done.alike)}`);
  });
});
byId("logos")?.addEventListener("change", async (event) => { await choose(event.target.files, byId("drop")); event.target.value = ""; });
for (const kind of ["dragover", "dragleave", "drop"])
  byId("drop")?.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") choose(event.dataTransfer.files, byId("drop"));
  });
if (form) { // countries by name, for the code of one may be the beginning of another's name: Germany, Georgia
  const names = new Intl.DisplayNames(["en"], { type: "region" }), country = form.elements.country;
  const listed = [...country.options].slice(1);
  for (const option of listed) option.text = names.of(option.value);
  country.append(...listed.sort((one, other) => one.text.localeCompare(other.text)));
}
byId("brands").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-extend]");
  if (!button) return;
  byId("new").open = true;
  form.elements.name.value = button.dataset.extend;
  form.elements.kind.value = button.dataset.kind;
  form.elements.aliases.focus();
});

// --- brands that reports leave out

byId("brands").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-change]");
  if (!button) return;
  const { brand: brand_id, change } = button.dataset;
  during(button, `${change === "exclude" ? "Excluding" : "Including"}… ${SLOW}`, async () => {
    const brand = await ask("POST", `/brands/${encodeURIComponent(brand_id)}/${change}`);
    button.dataset.change = brand.excluded ? "include" : "exclude";
    button.firstChild.data = brand.excluded ? "Include" : "Exclude";
    button.closest("li").querySelector(".out").hidden = !brand.excluded;
    look();
    recount().catch(() => {}); // the page has the count when it is loaded again
    return [brand.excluded ? `Reports leave ${brand.name} out from now on. It stays on the list. ` : `Reports count ${brand.name} again. `, linkTo("#changes", "Reports that would change")];
  });
});

/** Shows how many brands the list has now, and its version. */
async function recount() {
  const page = await fetch(location.href);
  if (!page.ok) return;
  const now = new DOMParser().parseFromString(await page.text(), "text/html");
  for (const id of ["count", "version"]) byId(id).replaceWith(now.getElementById(id));
}

// --- two brands that are one

const merging = byId("merge");
let gone = null; // the id of the brand that goes
byId("brands").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-merge]");
  if (!button) return;
  gone = button.dataset.merge;
  merging.querySelector("bdi").textContent = button.dataset.name;
  merging.querySelector("form").reset();
  byId("merge-message").textContent = "";
  merging.showModal();
});
let typing = 0;
byId("into")?.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(async () => {
    const found = await ask("GET", `/brands?q=${encodeURIComponent(byId("into").value.trim())}`).catch(() => ({ brands: [] })); // any name may be typed
    const others = found.brands.filter((brand) => brand.brand_id !== gone);
    byId("into-names").replaceChildren(...others.map((brand) => Object.assign(document.createElement("option"), { value: brand.name })));
  }, 150);
});
merging?.addEventListener("submit", async (event) => {
  if (event.submitter?.value === "keep") return;
  event.preventDefault();
  const button = merging.querySelector("button.primary"), into = byId("into").value.trim();
  if (!into) { byId("merge-message").textContent = "Which brand stays?"; return byId("into").focus(); }
  button.disabled = true;
  byId("merge-message").textContent = `Merging… ${SLOW}`;
  try {
    const brand = await ask("POST", `/brands/${encodeURIComponent(gone)}/merge`, { into });
    return changed(brand, `One brand now: ${[brand.name, ...brand.aliases].join(", ")}, with ${logosOf(brand)}.${brand.notes.map((note) => ` ${note}`).join("")}`);
  } catch (error) { byId("merge-message").textContent = error.message; }
  button.disabled = false;
});

// --- a logo cut out of a frame: /brand-list?cut=/reports/JOB/frames/12.jpg&part=0.1,0.2,0.3,0.25

const query = new URLSearchParams(location.search), cut = query.get("cut");
if (form && /^\/reports\/[\w.-]+\/frames\/\d+\.jpg(\?report=[\w-]+)?$/.test(cut ?? "")) {
  const picture = byId("frame").querySelector("img"), marked = byId("frame").querySelector("i");
  const sides = ["left", "top", "width", "height"].map((side) => byId(`cut-${side}`));
  /** The chosen part, in pixels of the frame and inside it. */
  function part() {
    const [left, top, width, height] = sides.map((side) => Math.max(0, Math.round(side.valueAsNumber) || 0));
    const [x, y] = [Math.min(left, picture.naturalWidth), Math.min(top, picture.naturalHeight)];
    return [x, y, Math.min(width, picture.naturalWidth - x), Math.min(height, picture.naturalHeight - y)];
  }
  function mark() {
    const scale = [picture.naturalWidth, picture.naturalHeight];
    part().forEach((px, i) => { marked.style[["left", "top", "width", "height"][i]] = `${(100 * px) / scale[i % 2]}%`; });
  }
  const at = (event) => {
    const shown = picture.getBoundingClientRect(), scale = picture.naturalWidth / shown.width;
    return [(event.clientX - shown.left) * scale, (event.clientY - shown.top) * scale].map((px, i) => Math.min(Math.max(0, px), i ? picture.naturalHeight : picture.naturalWidth));
  };
  let from = null;
  byId("frame").addEventListener("pointerdown", (event) => { from = at(event); byId("frame").setPointerCapture(event.pointerId); });
  byId("frame").addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = at(event);
    const corner = [0, 1].map((i) => Math.min(from[i], to[i])), size = [0, 1].map((i) => Math.abs(from[i] - to[i]));
    [...corner, ...size].forEach((px, i) => { sides[i].value = Math.round(px); });
    mark();
  });
  for (const kind of ["pointerup", "pointercancel"]) byId("frame").addEventListener(kind, () => { from = null; });
  for (const side of sides) side.addEventListener("input", mark);
  byId("take").addEventListener("click", () => during(byId("take"), "", async () => {
    const [left, top, width, height] = part();
    if (Math.max(width, height) < 16) throw new Error("The part is too small: drag over the logo, at least 16 pixels.");
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").drawImage(picture, left, top, width, height, 0, 0, width, height);
    const file = new File([await canvas.convertToBlob({ type: "image/png" })], `frame-${left}-${top}-${width}-${height}.png`);
    return (await choose([file], byId("take"))) ? "The part is among the chosen logos below." : "This part is chosen already: see the logos below.";
  }));
  picture.addEventListener("error", () => tell(byId("take"), "alert", "The frame cannot be shown: retention may have removed it."));
  picture.src = cut;
  byId("new").open = true;
  byId("cut").hidden = false;
  byId("cut").after(byId("drop")); // the chosen logos beside the part
  picture.addEventListener("load", () => {
    const shares = (query.get("part") ?? "").split(",").map(Number); // where the report saw it
    if (shares.length === 4 && shares.every((share) => share >= 0 && share <= 1)) {
      sides.forEach((side, i) => { side.value = Math.round(shares[i] * [picture.naturalWidth, picture.naturalHeight][i % 2]); });
      mark();
    }
    byId("cut").scrollIntoView();
  });
  byId("cut-help").hidden = true;
  sides[0].focus();
} else if (form && cut !== null) { // without a frame
  byId("new").open = true;
  byId("cut-help").focus();
} else if (cut) tell(byId("make-own") ?? document.querySelector(".notice"), "status", byId("own") ? "Then the frame opens here to cut a logo out." : "No logo can be cut out until then.");

// --- reports made with another list

const older = byId("older");
function row(report) {
  const item = document.createElement("li"), label = document.createElement("label"), box = document.createElement("input");
  const part = (tag, text, kind = "") => Object.assign(document.createElement(tag), { textContent: text, className: kind });
  Object.assign(box, { type: "checkbox", name: "job", value: report.job_id, checked: report.gains.length + report.loses.length > 0 });
  const says = [report.gains.length ? `would gain ${report.gains.join(", ")}` : "", report.loses.length ? `would lose ${report.loses.join(", ")}` : ""].filter(Boolean).join("; ");
  label.append(box, " ", part("b", report.video || report.job_id), " ", ...(report.video ? [part("code", report.job_id, "soft small"), " "] : []), part("span", says || "no text of it names another brand; its logos may", "soft"));
  item.append(label);
  return item;
}
async function look() {
  const buttons = [byId("look"), ...older.querySelectorAll("button")]; // what is listed is about to change
  for (const button of buttons) button.disabled = true;
  byId("looked").textContent = "Looking…";
  try {
    const { reports, not_looked_at: left } = await ask("GET", "/brands/reports");
    older.querySelector("ul").replaceChildren(...reports.map(row));
    older.hidden = !reports.length;
    byId("looked").textContent = left ? `${left} more ${left === 1 ? "job was" : "jobs were"} not looked at.` : reports.length ? "" : "Every report was made with this list.";
  } catch (error) { byId("looked").textContent = error.message; }
  for (const button of buttons) button.disabled = false;
}
byId("look").addEventListener("click", look);
/** Seconds until the next night, by this computer's clock. */
function untilNight() {
  const now = new Date(), night = new Date(now);
  night.setHours(NIGHT_HOUR, 0, 0, 0);
  if (night <= now) night.setDate(night.getDate() + 1);
  return (night - now) / 1000;
}
let unanswered = null;
/** Queues replays. If the answer is lost and the same is asked for again, it is the same request, its time included. */
async function replay(job_ids, at_night) {
  const what = JSON.stringify([job_ids, at_night]);
  if (unanswered?.what !== what) {
    const body = { job_ids, start_stage: "match_brands", hold_s: at_night ? untilNight() : 0 };
    unanswered = { what, body, key: [...crypto.getRandomValues(new Uint32Array(4))].join("-") };
  }
  try {
    const answer = await ask("POST", "/jobs/replay", unanswered.body, { "Idempotency-Key": unanswered.key });
    unanswered = null;
    return answer;
  } catch (error) {
    if (error.status && error.status < 500) unanswered = null;
    throw error;
  }
}
older.addEventListener("submit", (event) => {
  event.preventDefault();
  const boxes = [...older.querySelectorAll("input:checked")], at_night = event.submitter.value === "night";
  if (!boxes.length) return tell(event.submitter, "alert", "No report is chosen.");
  const replays = (count) => `${count} replay${count === 1 ? "" : "s"}`;
  during(event.submitter, `Queueing ${replays(boxes.length)}… The service goes on if you leave this page.`, async () => {
    const { queued, refused } = await replay(boxes.map((box) => box.value), at_night);
    const taken = new Set(queued.map((run) => run.job_id));
    for (const box of boxes) if (taken.has(box.value)) box.closest("li").remove();
    const said = `${replays(taken.size)} ${taken.size === 1 ? "is" : "are"} ${at_night ? "held until the night" : "queued"}.`;
    const why = refused.map((one) => ` ${one.job_id}: ${sentenceOf(0, one)}`).join("");
    return [said, why, " ", linkTo("/", "See the jobs")];
  });
});

const done = sessionStorage.getItem("said");
if (done) {
  sessionStorage.removeItem("said");
  byId("said").textContent = done;
  byId("said").hidden = false;
  look();
}
