const MOST_BYTES = 600e3, LONGEST_PX = 800, NIGHT_HOUR = 1;

function tell(text) {
  byId("message").textContent = text;
  if (text) byId("message").scrollIntoView({ block: "nearest" });
}
function say(text) {
  byId("said").textContent = text;
  byId("said").hidden = !text;
}
/** Runs `work` while `button` is disabled; a failure is told. */
async function during(button, work) {
  button.disabled = true;
  tell("");
  try { await work(); } catch (error) { tell(error.message); }
  button.disabled = false;
}
/** Shows the brand after a change of the list, with what was done and the reports that it would touch. */
function changed(brand, text) {
  sessionStorage.setItem("said", text);
  location.assign(`/brand-list?q=${encodeURIComponent(brand.name)}`);
}
const logosOf = (brand) => `${brand.logos.length} logo${brand.logos.length === 1 ? "" : "s"}`;
const also = (alike) => (alike.length ? ` Hard to tell apart: ${alike.join("; ")}.` : "");
const listOf = (text, mark) => text.split(mark).map((part) => part.trim()).filter(Boolean);

// --- the package's list, copied

byId("make-own")?.addEventListener("click", (event) => during(event.target, async () => {
  event.target.textContent = "Copying…"; // and reading it: some seconds
  const { folder } = await ask("POST", "/brands/own").finally(() => { event.target.textContent = "Make it my own list"; });
  sessionStorage.setItem("said", `The list is your own now, in ${folder}.`);
  location.reload();
}));

// --- proposals

byId("proposals")?.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (!button) return;
  const card = button.closest("[data-proposal]"), name = card.querySelector("input")?.value ?? "", verdict = button.dataset.do;
  if (verdict === "accepted" && card.querySelector("input") && !name.trim()) {
    tell("A brand needs a name.");
    return card.querySelector("input").focus();
  }
  during(button, async () => {
    const done = await ask("POST", `/proposals/${card.dataset.proposal}`, { verdict, name });
    say(verdict === "rejected" ? "Rejected: no report proposes it again." : `${done.brand} is on the list.${done.note ? ` Without a logo: ${done.note}` : ""}${also(done.alike)}`);
    const next = card.nextElementSibling ?? card.previousElementSibling;
    card.remove();
    byId("waiting").textContent = byId("proposals").children.length;
    next?.querySelector("input, button")?.focus();
  });
});

// --- new brands and logos

let logos = [];
function choose(files) {
  const suffixes = byId("add").dataset.suffixes.split(" ");
  for (const file of files) {
    if (suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix))) logos.push(file);
    else tell(`${file.name} is no logo file: use ${suffixes.join(", ")}.`);
  }
  byId("chosen").replaceChildren(...logos.map((file) => Object.assign(document.createElement("li"), { textContent: file.name })));
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
  const url = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(data);
  });
  return { name, data: url.slice(url.indexOf(",") + 1) };
}
const form = byId("add");
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  during(form.querySelector("button.primary"), async () => {
    const value = (name) => form.elements[name].value.trim();
    const asked = { name: value("name"), kind: value("kind"), country: value("country").toUpperCase(), owner: value("owner"), logos: [] };
    for (const name of ["aliases", "excluded_texts"]) asked[name] = listOf(value(name), "\n");
    for (const name of ["categories", "sports"]) asked[name] = listOf(value(name), ",");
    for (const file of logos) asked.logos.push(await sent(file));
    form.querySelector("button.primary").textContent = "Adding…"; // a list of 30,000 brands takes seconds
    const done = await ask("POST", "/brands", asked).finally(() => { form.querySelector("button.primary").textContent = "Add"; });
    changed(done.brand, `${done.brand.name} is on the list, with ${logosOf(done.brand)}.${also(done.alike)}`);
  });
});
byId("logos")?.addEventListener("change", (event) => { choose(event.target.files); event.target.value = ""; });
for (const kind of ["dragover", "dragleave", "drop"])
  byId("drop")?.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") choose(event.dataTransfer.files);
  });
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
  const button = event.target.closest("button[data-exclude], button[data-include]");
  if (!button) return;
  const { exclude, include } = button.dataset;
  during(button, async () => {
    const brand = await ask("POST", `/brands/${encodeURIComponent(exclude ?? include)}/${exclude ? "exclude" : "include"}`);
    changed(brand, exclude ? `Reports leave ${brand.name} out from now on. It stays on the list.` : `Reports count ${brand.name} again.`);
  });
});

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
  try {
    const brand = await ask("POST", `/brands/${encodeURIComponent(gone)}/merge`, { into });
    return changed(brand, `One brand now: ${[brand.name, ...brand.aliases].join(", ")}, with ${logosOf(brand)}.${brand.notes.map((note) => ` ${note}`).join("")}`);
  } catch (error) { byId("merge-message").textContent = error.message; }
  button.disabled = false;
});

// --- a logo cut out of a frame: /brand-list?cut=/reports/JOB/frames/12.jpg

const cut = new URLSearchParams(location.search).get("cut") ?? "";
if (form && /^\/reports\/[\w.-]+\/frames\/\d+\.jpg(\?report=[\w-]+)?$/.test(cut)) {
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
  byId("take").addEventListener("click", () => during(byId("take"), async () => {
    const [left, top, width, height] = part();
    if (Math.max(width, height) < 16) throw new Error("The part is too small: choose at least 16 pixels.");
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").drawImage(picture, left, top, width, height, 0, 0, width, height);
    choose([new File([await canvas.convertToBlob({ type: "image/png" })], `frame-${left}-${top}-${width}-${height}.png`)]);
  }));
  picture.addEventListener("error", () => tell("The frame cannot be shown: retention may have removed it."));
  picture.src = cut;
  byId("new").open = true;
  byId("cut").hidden = false;
  picture.addEventListener("load", () => byId("cut").scrollIntoView());
  sides[0].focus();
} else if (cut && !form) tell(byId("own") ? "Once the list is your own, the frame opens here to cut a logo out." : "No logo can be cut out: this list cannot be changed.");

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
function look() {
  during(byId("look"), async () => {
    const { reports, not_looked_at: left } = await ask("GET", "/brands/reports");
    older.querySelector("ul").replaceChildren(...reports.map(row));
    older.hidden = !reports.length;
    byId("looked").textContent = reports.length ? (left ? `${left} more jobs were not looked at.` : "") : "Every report was made with this list.";
  });
}
byId("look").addEventListener("click", look);
/** Seconds until the next night, by this computer's clock. */
function untilNight() {
  const now = new Date(), night = new Date(now);
  night.setHours(NIGHT_HOUR, 0, 0, 0);
  if (night <= now) night.setDate(night.getDate() + 1);
  return (night - now) / 1000;
}
older.addEventListener("submit", (event) => {
  event.preventDefault();
  const boxes = [...older.querySelectorAll("input:checked")], at_night = event.submitter.value === "night";
  if (!boxes.length) return tell("No report is chosen.");
  during(event.submitter, async () => {
    const { queued, refused } = await ask("POST", "/jobs/replay", { job_ids: boxes.map((box) => box.value), start_stage: "match_brands", hold_s: at_night ? untilNight() : 0 });
    const taken = new Set(queued.map((run) => run.job_id));
    for (const box of boxes) if (taken.has(box.value)) box.closest("li").remove();
    tell(refused.map((one) => `${one.job_id}: ${sentenceOf(0, one)}`).join(" "));
    say(`${taken.size} replay${taken.size === 1 ? " is" : "s are"} ${at_night ? "held until the night" : "queued"}: see the jobs.`);
    older.hidden = !older.querySelector("li");
  });
});

const done = sessionStorage.getItem("said");
if (done) {
  sessionStorage.removeItem("said");
  say(done);
  look();
}
