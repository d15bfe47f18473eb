const POLL_MS = 2000, IDLE_MS = 15000, AIM_MS = 3000, FIRST_PART = 2 ** 20, MOST_FAULTS = 5;
let unanswered = { body: "" };
/** Queues a job. If the answer is lost and the same is asked for again, it is the same request. */
async function submit(asked) {
  const body = JSON.stringify(asked);
  if (unanswered.body !== body) unanswered = { body, key: [...crypto.getRandomValues(new Uint32Array(4))].join("-") };
  try {
    const job = await ask("POST", "/jobs", asked, { "Idempotency-Key": unanswered.key });
    unanswered = { body: "" };
    return job;
  } catch (error) {
    if (error.status && error.status < 500) unanswered = { body: "" };
    throw error;
  }
}
const tell = (text) => { byId("message").textContent = text; };
const refuse = (text) => { byId("wrong").textContent = text; };
const say = (text) => { byId("said").textContent = text; };

// --- the list, kept up to date

const shown = new Map(); // what the service last sent for each job, before times were made local

function localTimes(within) {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const time of within.querySelectorAll("time")) time.textContent = format.format(new Date(time.dateTime));
}

/** Replaces what has changed, row by row, and keeps the focus where it was. */
function show(html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const focused = document.activeElement?.id;
  for (const id of ["states", "note", "none", "pages"]) {
    const [mine, theirs] = [byId(id), fresh.content.getElementById(id)];
    if (mine.outerHTML !== theirs.outerHTML) mine.replaceWith(theirs);
  }
  const list = byId("list"), rows = [...fresh.content.getElementById("list").children];
  const wanted = new Set(rows.map((row) => row.id));
  for (const row of [...list.children]) if (!wanted.has(row.id)) row.remove();
  rows.forEach((row, at) => {
    const mine = byId(row.id), sent = row.outerHTML;
    let here = mine;
    if (!mine || shown.get(row.id) !== sent) {
      here = row;
      if (mine) mine.replaceWith(row);
      localTimes(row);
      shown.set(row.id, sent);
    }
    if (list.children[at] !== here) list.insertBefore(here, list.children[at] ?? null);
  });
  if (rows.length) byId("find").hidden = false;
  showPicked();
  byId("fragment").dataset.live = fresh.content.getElementById("fragment").dataset.live;
  if (focused && document.activeElement?.id !== focused) (byId(focused) ?? byId(focused.replace(/^\w+-/, "open-")))?.focus();
}

let timer = 0, asking = 0;
async function refresh() {
  clearTimeout(timer);
  const turn = ++asking;
  if (!document.hidden) {
    const query = new URLSearchParams(location.search);
    query.set("part", "jobs");
    try {
      const answer = await fetch(`/?${query}`, { headers: { Accept: "text/html" } });
      if (answer.redirected) location.reload(); // the login has expired
      if (answer.ok && turn === asking) show(await answer.text());
      byId("away").hidden = answer.status < 500; // a proxy answers in its place
    } catch { byId("away").hidden = false; }
  }
  if (turn === asking) timer = setTimeout(refresh, byId("fragment").dataset.live === "true" ? POLL_MS : IDLE_MS);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });

function search() {
  const query = new URLSearchParams(new FormData(byId("find")));
  for (const [name, value] of [...query]) if (!value || value === "newest") query.delete(name);
  history.replaceState(null, "", query.size ? `/?${query}` : "/");
  refresh();
}
let typing = 0;
byId("q").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 250); });
byId("sort").addEventListener("change", search);
byId("find").addEventListener("submit", (event) => { event.preventDefault(); search(); });

// --- cancel and retry

const dialog = byId("confirm");
let settle = () => {};
// the event of a dialog that was closed may come when it is open again
dialog.addEventListener("close", () => { if (!dialog.open) settle(dialog.returnValue === "cancel"); });
function confirmed(title) {
  settle(false);
  byId("confirm-title").textContent = `Cancel ${title}?`;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => { settle = done; });
}
byId("list").addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-do]");
  if (!button) return;
  const { do: what, job, title } = button.dataset;
  if (what === "cancel" && !(await confirmed(title))) return;
  button.disabled = true;
  tell("");
  try {
    await ask("POST", `/jobs/${job}/${what}`);
    say(what === "cancel" ? `${title} is cancelled.` : `${title} is queued again.`);
  } catch (error) { tell(error.message); }
  await refresh();
  button.disabled = false;
});

// --- reports to compare or sum up

const picked = new Map(); // the chosen jobs, with the address of the comparison with the report before, or ""
/** The boxes that are checked: a browser that goes back to the page restores them. */
function restorePicked() {
  for (const box of byId("list").querySelectorAll("[data-choose]:checked")) picked.set(box.dataset.choose, "");
  showPicked();
}
function showPicked() {
  for (const box of byId("list").querySelectorAll("[data-choose]")) {
    box.checked = picked.has(box.dataset.choose);
    if (box.checked) picked.set(box.dataset.choose, box.dataset.compare);
  }
  const [last, first] = [...picked.keys()].slice(-2).reverse();
  const address = picked.size === 2 ? `/compare?${new URLSearchParams({ job: last, with_job: first })}` : picked.size === 1 ? picked.get(last) : "";
  byId("chosen-reports").hidden = !picked.size;
  byId("chosen-reports").firstElementChild.textContent = picked.size === 1 ? `1 report is chosen.${address ? "" : " Choose another to compare them."}` : `${picked.size} reports are chosen.`;
  const compare = byId("compare");
  compare.hidden = picked.size === 1 && !address;
  compare.textContent = picked.size === 1 ? "Compare with the one before" : picked.size > 2 ? "Compare (choose two)" : "Compare";
  compare.setAttribute("aria-disabled", !address);
  if (address) compare.href = address; else compare.removeAttribute("href");
  byId("sum").hidden = picked.size < 2;
  byId("sum").href = `/portfolio?${new URLSearchParams([...picked.keys()].map((job) => ["job", job]))}`;
}
byId("list").addEventListener("change", (event) => {
  const job = event.target.dataset.choose;
  if (!job) return;
  if (event.target.checked) picked.set(job, ""); else picked.delete(job);
  showPicked();
});
byId("choose-none").addEventListener("click", () => { picked.clear(); showPicked(); });
addEventListener("pageshow", restorePicked);

// --- new jobs

const form = byId("submit"), file = byId("file"), uri = byId("uri"), jobId = byId("job-id");
const suffixes = form.dataset.suffixes.split(" "), mostBytes = Number(form.dataset.maxBytes);
let chosen = [], sending = 0;

const size = (bytes) => (bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} KB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB` : `${(bytes / 1e9).toFixed(2)} GB`);
const time = (s) => (s < 90 ? `${Math.ceil(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);
const slug = (name) => name.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9._-]+/g, "_").replace(/^[._-]+|[._-]+$/g, "").slice(0, 128);
const remote = () => uri.value.includes("://") && !uri.value.startsWith("file://");

function wrong(one) {
  if (!suffixes.some((suffix) => one.name.toLowerCase().endsWith(suffix))) return `${one.name} is not a video: choose ${suffixes.join(", ")}.`;
  if (one.size > mostBytes) return `${one.name} is too large: ${size(one.size)}; the limit is ${size(mostBytes)}.`;
  return one.size ? "" : `${one.name} is empty.`;
}
function choose(files) {
  const problems = files.map(wrong).filter(Boolean);
  chosen = files.filter((one) => !wrong(one));
  refuse(problems.join(" "));
  const named = chosen.map((one) => Object.assign(document.createElement("li"), { textContent: `${one.name}, ${size(one.size)}` }));
  byId("chosen").replaceChildren(...named);
  if (chosen.length) uri.value = "";
  propose();
}
/** The id proposed for the job: at a remote address it cannot be made from the content. */
function propose() {
  jobId.disabled = chosen.length > 1;
  if (jobId.dataset.proposed === jobId.value) jobId.value = "";
  if (remote() && !jobId.value) jobId.value = slug(uri.value.split("/").pop());
  jobId.dataset.proposed = jobId.value || "\0";
  jobId.placeholder = chosen.length === 1 ? `${slug(chosen[0].name) || "video"}-…` : "";
}
byId("profile").addEventListener("change", (event) => { byId("profile-help").textContent = event.target.selectedOptions[0].dataset.help; });
uri.addEventListener("input", propose);
if (file) {
  file.addEventListener("change", () => { choose([...file.files]); file.value = ""; });
  const drop = byId("drop");
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => { if (carriesFiles(event)) { event.preventDefault(); byId("new").open = true; drop.classList.add("over"); } });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    drop.classList.remove("over");
    choose([...event.dataTransfer.files]);
  });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  refuse("");
  const asked = { profile: byId("profile").value, job_id: jobId.value.trim() };
  if (chosen.length) {
    const files = chosen;
    choose([]);
    const names = [];
    for (const one of files) if (await send(one, { ...asked, job_id: files.length > 1 ? "" : asked.job_id })) names.push(one.name);
    return queued(names);
  }
  if (!uri.value.trim()) return refuse(file ? "Choose a video, or name its address." : "Name the video's address.");
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  say("The video is being checked.");
  try {
    const job = await submit({ ...asked, video_uri: uri.value.trim() });
    uri.value = "";
    queued([job.job_id]);
  } catch (error) { say(""); refuse(error.message); }
  button.disabled = false;
  refresh();
});
/** Says which are queued, and closes the form where nothing in it is left to do. */
function queued(names) {
  if (names.length) say(`${names.join(", ")} ${names.length === 1 ? "is" : "are"} queued.`);
  if (!names.length || chosen.length || byId("uploads").children.length) return;
  jobId.value = "";
  propose();
  const summary = byId("new").querySelector("summary");
  if (form.contains(document.activeElement)) summary.focus();
  byId("new").open = false;
}

/** Uploads a video in parts, checks it and queues its job, and whether it did; goes on where an earlier upload of the file broke off. */
async function send(one, asked) {
  const row = document.createElement("li"), text = document.createElement("span"), stop = document.createElement("button"), bar = document.createElement("progress");
  Object.assign(bar, { max: one.size, value: 0 });
  bar.setAttribute("aria-label", `Upload of ${one.name}`);
  Object.assign(stop, { type: "button", textContent: "Cancel upload" });
  row.append(text, stop, bar);
  byId("uploads").append(row);
  const label = (said) => { text.textContent = `${one.name}: ${said}`; };
  const key = `upload ${one.name} ${one.size} ${one.lastModified}`;
  const stopped = new AbortController();
  stop.addEventListener("click", () => stopped.abort());
  sending++;
  let checked = null;
  try {
    const upload = await resumed(key) ?? await ask("POST", "/uploads", { name: one.name, size_bytes: one.size });
    localStorage.setItem(key, upload.upload_id);
    await parts(one, upload, stopped.signal, bar, label);
    label("is being checked…");
    stop.hidden = true;
    bar.removeAttribute("value");
    checked = await ask("POST", `/uploads/${upload.upload_id}/finish`);
    if (checked.jobs.length) return twice(row, one, checked, asked, key);
    await submit({ ...asked, job_id: asked.job_id || checked.job_id, video_uri: checked.video_uri });
    localStorage.removeItem(key);
    row.remove();
    return true;
  } catch (error) {
    const id = localStorage.getItem(key);
    if (stopped.signal.aborted && id) await ask("DELETE", `/uploads/${id}`).catch(() => {});
    const refused = !checked && [400, 404, 413].includes(error.status); // else it can go on: see resumed
    if (stopped.signal.aborted || refused) localStorage.removeItem(key);
    if (stopped.signal.aborted) return row.remove();
    text.className = "error";
    text.textContent = error.message;
    text.setAttribute("role", "alert");
    bar.remove();
    Object.assign(stop, { textContent: "Close", hidden: false, onclick: () => row.remove() });
  } finally {
    sending--;
    refresh();
  }
}
async function resumed(key) {
  const id = localStorage.getItem(key);
  return id ? ask("GET", `/uploads/${id}`).catch((error) => { if (error.status === 404) return null; throw error; }) : null;
}
async function parts(one, upload, signal, bar, label) {
  const { upload_id: id, part_min_bytes: least, part_max_bytes: most } = upload;
  let { offset } = upload, part = Math.max(least, FIRST_PART), faults = 0;
  const began = performance.now(), from = offset;
  while (offset < one.size) {
    const at = performance.now();
    bar.value = offset;
    const rate = (offset - from) / ((at - began) / 1000);
    label(`${size(offset)} of ${size(one.size)}${rate ? `, ${size(rate)} a second, ${time((one.size - offset) / rate)} left` : ""}`);
    let answer = null;
    try {
      const headers = { "Content-Type": "application/octet-stream", "Upload-Offset": offset };
      answer = await fetch(`/uploads/${id}`, { method: "PATCH", headers, body: one.slice(offset, offset + part), signal });
    } catch (error) {
      if (signal.aborted) throw error;
    }
    if (answer?.ok) {
      offset = (await answer.json()).offset;
      part = Math.round(Math.min(most, Math.max(least, 2 ** 18, (part * AIM_MS) / (performance.now() - at))));
      faults = 0;
    } else if (answer?.status === 409) {
      offset = Number(answer.headers.get("Upload-Offset"));
      if (++faults > MOST_FAULTS) throw Object.assign(new Error(`${one.name} is being uploaded in another window.`), { status: 409 });
    } else if (!answer || answer.status === 429 || answer.status >= 500) {
      part = Math.max(least, Math.min(part, FIRST_PART) / 2); // a slow line: a part must arrive within 20 seconds
      const pause = Math.min(30, 2 ** faults++);
      const why = faults > MOST_FAULTS ? `no part arrived in ${faults} tries: the line is too slow, or the service away` : `the connection broke off at ${size(offset)}`;
      label(`${why}; going on in ${pause} s`);
      await new Promise((done, fail) => { setTimeout(done, pause * 1000); signal.addEventListener("abort", fail, { once: true }); });
      offset = (await ask("GET", `/uploads/${id}`).catch((error) => { if (error.status === 404) throw error; return { offset }; })).offset;
    } else {
      const said = await answer.json().catch(() => ({}));
      throw Object.assign(new Error(said.detail ?? `The service answered ${answer.status}.`), { status: answer.status });
    }
  }
}
/** Says that a video is here already, and offers to run it again. */
function twice(row, one, checked, asked, key) {
  const [job] = checked.jobs, text = document.createElement("p"), again = document.createElement("button"), close = document.createElement("button");
  const link = Object.assign(document.createElement("a"), { href: `/reports/${job}`, textContent: job });
  text.append(`${one.name} is here already, as the job `, link, ". Nothing was queued.");
  text.setAttribute("role", "alert");
  Object.assign(again, { type: "button", textContent: "Analyse it again" });
  Object.assign(close, { type: "button", textContent: "Close" });
  const actions = document.createElement("p");
  actions.className = "actions";
  actions.append(again, close);
  row.replaceChildren(text, actions);
  close.addEventListener("click", () => row.remove());
  again.addEventListener("click", async () => {
    again.disabled = true;
    try {
      await submit({ ...asked, job_id: asked.job_id || job, video_uri: checked.video_uri });
      localStorage.removeItem(key);
      row.remove();
      queued([one.name]);
    } catch (error) { refuse(error.message); again.disabled = false; }
    refresh();
  });
}
window.addEventListener("beforeunload", (event) => { if (sending) event.preventDefault(); });

for (const row of byId("list").children) shown.set(row.id, row.outerHTML);
localTimes(document);
timer = setTimeout(refresh, byId("fragment").dataset.live === "true" ? POLL_MS : IDLE_MS);
