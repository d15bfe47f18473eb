// ---- corrections, where a service takes them

const review = service && (() => {
  let events = [];
  let busy = false;
  let isOld = false; // a newer report was made since the page was loaded
  const user = el("input", { id: "user", autocomplete: "name", maxlength: 80, value: remembered(), change: onName });
  const names = el("datalist", { id: "brand-names" });
  /** Offers the report's brands, then others. */
  function suggest(others) {
    names.replaceChildren(...[...new Set([...brands.map((brand) => brand.brand), ...others])].map((value) => el("option", { value })));
  }
  let typing = 0;
  /** Offers names of the whole catalogue for what is typed. */
  function onType({ target }) {
    if (!target.matches('[list="brand-names"]') || !target.value.trim()) return;
    clearTimeout(typing);
    typing = setTimeout(() => {
      ask("GET", `${service.brands}?part=${encodeURIComponent(target.value.trim())}`).then((found) => suggest(found.brands), () => {}); // any name may be typed
    }, 150);
  }
  const says = el("p", { class: "message", role: "status" });
  const apply = el("button", { type: "button", class: "button first", click: onApply });
  const drawer = el("button", { type: "button", class: "button", "aria-haspopup": "dialog", click: (event) => openDrawer(event.currentTarget) }, "Corrections");
  const dock = el("div", { id: "dock", role: "region", "aria-label": "Corrections" }, el("label", { class: "field" }, "Your name", user), drawer, apply, says);

  function remembered() {
    try { return localStorage.getItem("brand_detect.user") || ""; } catch { return ""; } // storage may be blocked
  }
  function remember(name) {
    try { localStorage.setItem("brand_detect.user", name); } catch { /* it is asked for again next time */ }
  }

  function tell(text) {
    says.classList.remove("error");
    says.replaceChildren(cut(text, 400));
  }
  function fail(text, error) {
    says.classList.add("error");
    says.replaceChildren(cut(error ? `${text} ${error.message}` : text, 400), error && error.status === 401 ? el("a", { href: "/login", target: "_blank" }, " Log in") : "");
  }

  const undone = () => new Set(events.filter((r) => r.action === "undo").map((r) => r.undoes));
  const isOut = (r) => r.state === "undone" || undone().has(r.review_id);
  const pending = () => { const gone = undone(); return events.filter((r) => r.state === "pending" && r.action !== "undo" && !gone.has(r.review_id)); };
  /** What applying would change: pending corrections, and undos of what shapes the report as it is. */
  function waiting() {
    const before = new Set(data.reviews.filter((r) => r.state !== "undone").map((r) => r.review_id));
    return [...pending(), ...events.filter((r) => r.state === "pending" && r.action === "undo" && before.has(r.undoes))];
  }

  const LONGEST_NAME = 100; // that the service takes
  const OF_CLUSTERS = ["name", "dismiss"];
  const about = (r) => ({ accept: "accepted", reject: "rejected", rename: `renamed ${plain(r.to)}`, merge: `merged into ${plain(r.to)}`, name: `named ${plain(r.to)}`, dismiss: "dismissed", exclude: `text ${plain(r.text)} excluded` })[r.action] || r.action;
  /** As the service keeps a text: without the characters that turn its direction. */
  const bare = (text) => text.replace(/[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/g, "").trim();
  const covers = (r, e) => {
    if (r.action === "exclude") return bare(r.text) === bare(e.proof === null ? e.text : proofs[e.proof].text);
    if (OF_CLUSTERS.includes(r.action) || r.brand_id !== brands[e.brand].brand_id) return false;
    return r.action === "merge" || r.start_s === null || r.start_s === undefined || (r.start_s < e.end_s && r.end_s > e.start_s);
  };
  const ofExposure = (e) => pending().filter((r) => covers(r, e)).map((r) => `${about(r)}${r.box ? " (one box)" : ""}, pending`);
  /** Whether the last word about all of an exposure is that it is none. */
  function isRejected(e) {
    const last = pending().filter((r) => !r.box && covers(r, e)).at(-1);
    return Boolean(last) && (last.action === "reject" || last.action === "exclude");
  }
  function ofBrand(number) {
    const own = pending().filter((r) => r.brand_id === brands[number].brand_id && !OF_CLUSTERS.includes(r.action));
    const all = own.filter((r) => r.start_s === null || r.start_s === undefined).map((r) => `${about(r)}, pending`);
    const parts = own.length - all.length;
    return parts ? [...all, `${counted(parts, "correction")} pending`] : all;
  }
  const lastOfCluster = (id) => pending().filter((r) => OF_CLUSTERS.includes(r.action) && r.cluster_id === id).at(-1);
  /** The last word about a cluster, and how to take it back. */
  function historyOfCluster(cluster) {
    const last = lastOfCluster(cluster.cluster_id);
    return last && el("div", { class: "event" }, badge(`${about(last)}, pending`), undoOf(last));
  }

  let named = () => {}; // tells the correction that waits for a name whether it goes on
  function onName() {
    remember(user.value.trim());
    if (user.value.trim()) named(true);
  }
  /** Waits for the name; whether it came before another correction was asked for. */
  async function nameGiven() {
    const from = document.activeElement;
    fail("Enter your name first: it is stored with every correction. This one is saved then.");
    user.focus();
    named(false);
    const goesOn = await new Promise((go) => { named = go; });
    if (goesOn && document.activeElement === user) from.focus();
    return goesOn;
  }

  let lastSent = Promise.resolve(); // settles once nothing is being sent
  const sending = new Map(); // what is being sent, so that a second click sends no more
  /** Whether all of ``sent`` were saved. */
  async function send(...sent) {
    if (!user.value.trim() && !(await nameGiven())) return false;
    const key = JSON.stringify(sent);
    if (!sending.has(key)) {
      sending.set(key, save(sent).finally(() => sending.delete(key)));
      lastSent = Promise.allSettled([lastSent, sending.get(key)]);
    }
    return sending.get(key);
  }

  async function save(sent) {
    const who = user.value.trim();
    const [before, waited] = [events.length, waiting().length];
    try {
      for (const event of sent) {
        const made = await ask("POST", service.reviews, { user: who, ...event });
        events.push({ ...made, state: "pending" });
      }
      tell(waiting().length <= waited ? "Undone." : isOld ? "Saved. It can be applied to the new report." : "Saved. Apply it to change the report.");
    } catch (error) {
      if (events.length > before) refresh();
      fail(events.length > before ? "Not all were saved." : "It was not saved.", error);
      return false;
    }
    refresh();
    return true;
  }

  const isTyping = () => [...panel.querySelectorAll("input:not([type=checkbox])")].some((input) => input.value);
  function refresh(keepsPanel = false) {
    const n = waiting().length;
    apply.textContent = isOld ? "Show the new report" : n ? `Apply ${counted(n, "correction")}` : "Nothing to apply";
    apply.disabled = busy || !(n || isOld);
    drawer.textContent = `Corrections (${events.filter((r) => r.action !== "undo" && !isOut(r)).length})`;
    if (brands.length) update();
    drawUnresolved();
    timeline.redraw();
    if (reopen && !keepsPanel) {
      const within = () => [...panel.querySelectorAll("button, input")];
      const [y, held] = [panel.scrollTop, within().indexOf(document.activeElement)];
      reopen();
      panel.scrollTop = y;
      const again = within()[held];
      if (again) again.focus({ preventScroll: true });
    }
  }

  async function onApply() {
    if (isOld) { location.reload(); return; }
    busy = true;
    apply.disabled = true;
    try {
      const seen = waiting().length;
      take(await ask("GET", service.reviews));
      if (isOld || waiting().length !== seen) {
        busy = false;
        refresh();
        if (!isOld) tell("Other people have corrected this report too. Review the corrections, then apply.");
        return;
      }
      const begun = Date.now();
      tell("Applying: launching the run…");
      const { run_id: run } = await ask("POST", service.apply, {});
      let missed = 0;
      for (;;) {
        await new Promise((go) => { setTimeout(go, 400); });
        let now;
        try {
          now = await ask("GET", `${service.apply}/${encodeURIComponent(run)}`);
          missed = 0;
        } catch (error) {
          missed += 1;
          if (missed > 5) throw error;
          continue;
        }
        if (now.error) throw new Error(String(now.error));
        if (now.done && /fail|cancel/i.test(now.status)) throw new Error(`The run ended as ${now.status}.`);
        if (now.done) break;
        tell(`Applying, ${Math.round((Date.now() - begun) / 1000)} s: ${now.says || String(now.status).toLowerCase()}…`);
      }
      tell("Applied. Loading the new report…");
      keepBefore(seen);
      location.reload();
    } catch (error) {
      busy = false;
      refresh();
      fail("The corrections were not applied.", error);
    }
  }

  const BEFORE = `brand_detect.before.${service.job_id}`;
  function keepBefore(applied) {
    try { sessionStorage.setItem(BEFORE, JSON.stringify({ applied, seconds: brands.map((b) => [b.brand, b.seconds]) })); } catch { /* then it is not told what has changed */ }
  }
  /** Tells how many corrections were applied, and what they changed, in seconds by brand. */
  function tellChanges() {
    let kept = null;
    try {
      kept = JSON.parse(sessionStorage.getItem(BEFORE));
      sessionStorage.removeItem(BEFORE);
    } catch { return; }
    if (!kept) return;
    const before = new Map(kept.seconds);
    const after = new Map(brands.map((b) => [b.brand, b.seconds]));
    const changed = [...new Set([...before.keys(), ...after.keys()])].filter((name) => Math.abs((before.get(name) || 0) - (after.get(name) || 0)) >= 0.05);
    const told = changed.slice(0, 5).map((name) => `${plain(name)} ${duration(before.get(name) || 0)} → ${duration(after.get(name) || 0)}`);
    const rest = changed.length > told.length ? `and ${counted(changed.length - told.length, "more brand")}` : "nothing else changed in seconds";
    tell(`${counted(kept.applied, "correction")} applied. ${told.length ? `${[...told, rest].join("; ")}.` : "No brand's time has changed."}`);
  }

  /** The brand's name in a field; if the service would not take it, the page says why and goes back to the field. */
  function nameIn(input) {
    const name = input.value.trim();
    const letters = Array.from(name).length;
    if (letters && letters <= LONGEST_NAME) return name;
    fail(letters ? `A brand's name has at most ${LONGEST_NAME} characters; this one has ${letters}.` : "Enter the brand's name first.");
    input.focus();
    return "";
  }
  function form(label, button, send, key = "") {
    const input = el("input", { list: "brand-names", autocomplete: "off", "aria-keyshortcuts": key || null });
    return el("form", { submit: (event) => { event.preventDefault(); const to = nameIn(input); if (to) send(to); } },
      el("label", { class: "field" }, el("span", {}, label), input), el("button", { class: "button" }, button));
  }
  const placeOf = (r) => JSON.stringify([r.brand_id, r.start_s ?? null, r.box ?? null, bare(r.text || "")]);
  /** Whether the last pending word about the same says so already. */
  function isStated(event) {
    const rivals = ["accept", "reject"].includes(event.action) ? ["accept", "reject"] : [event.action];
    const last = pending().filter((r) => rivals.includes(r.action) && placeOf(r) === placeOf(event)).at(-1);
    return Boolean(last) && last.action === event.action;
  }
  const hint = (key) => el("kbd", { "aria-hidden": "true" }, key.toUpperCase());
  /** A button that sends ``events()``, as far as they are not stated already. The panel presses it at ``key``. */
  function act(label, key, events) {
    const left = () => events().filter((event) => !isStated(event));
    return el("button", { type: "button", class: "button", "aria-keyshortcuts": key || null, "aria-disabled": left().length ? null : "true", click: (clicked) => {
      const sent = clicked.detail > 1 ? [] : left();
      if (sent.length) send(...sent);
    } }, label, key && hint(key));
  }

  /** Where a brand has several boxes on the frame: which of them is meant. The frame outlines the one that is chosen. */
  function boxesOf(e) {
    const size = pictures.size_px;
    const own = (data.boxes[e.frame] || []).filter(([brand]) => brand === e.brand).map(([, ...box]) => box);
    if (!size || e.t_s === null || own.length < 2) return { choice: null, place: () => ({}) };
    const choice = el("select", { change: () => {
      for (const box of panel.querySelectorAll(".box[data-own]")) box.classList.toggle("other", choice.value !== "" && box.dataset.own !== own[choice.value].join());
    } }, el("option", { value: "" }, `all ${own.length} boxes of the exposure`),
      own.map(([x, y, w, h], i) => el("option", { value: i }, `the one at ${x}, ${y} px, ${w} × ${h} px`)));
    const share = (from, side, whole) => { const at = Math.min(1, Math.max(0, from / whole)); return [at, Math.min(side / whole, 1 - at)]; };
    const place = () => {
      if (choice.value === "") return {};
      const [x, y, w, h] = own[choice.value];
      const [[left, wide], [top, high]] = [share(x, w, size[0]), share(y, h, size[1])];
      return { t_s: e.t_s, box: [left, top, wide, high] };
    };
    return { choice: el("label", { class: "field" }, "Which box", choice), place };
  }

  const subject = (number) => ({ brand_id: brands[number].brand_id, brand: brands[number].brand.slice(0, 200) });
  const textOf = (e) => (e.proof === null ? e.text : proofs[e.proof].text);
  /** The exposures of its brand with the same text, or recognised by the same logo. */
  function alikeOf(e) {
    const seen = (o) => textOf(o) || (o.proof !== null && proofs[o.proof].matched);
    return seen(e) ? exposures.filter((o) => o.brand === e.brand && seen(o) === seen(e)) : [e];
  }
  let together = null; // the exposure whose corrections are about all that are alike

  function actionsFor(e) {
    const { brand_id, brand } = subject(e.brand);
    const [text, alike] = [textOf(e), alikeOf(e)];
    const { choice, place } = boxesOf(e);
    const all = el("input", { type: "checkbox", checked: together === e, "aria-keyshortcuts": "a", change: () => { together = all.checked ? e : null; refresh(); } });
    const range = (o) => ({ brand_id, brand, start_s: o.start_s, end_s: o.end_s });
    const about = (said) => (together === e ? alike.map((o) => ({ ...said, ...range(o) })) : [{ ...said, ...range(e), ...place() }]);
    return el("div", { class: "actions" },
      together !== e && choice,
      alike.length > 1 && el("label", {}, all, ` All ${alike.length} alike`, text && [", read as “", word(cut(text, 30)), "”"], hint("a")),
      act("Right", "r", () => about({ action: "accept" })), act("Wrong", "w", () => about({ action: "reject" })),
      text && act(["“", word(cut(text, 30)), "” is not a mark"], "n", () => [{ action: "exclude", text, brand_id, brand }]),
      form(["Other brand", hint("b")], "Rename", (to) => send(...about({ action: "rename", to })), "b"),
      historyOf((r) => covers(r, e)));
  }
  function actionsForBrand(number) {
    const { brand_id, brand } = subject(number);
    return el("div", { class: "actions" },
      act("All right", "", () => [{ action: "accept", brand_id, brand }]), act("All wrong", "", () => [{ action: "reject", brand_id, brand }]),
      form("Rename all to", "Rename", (to) => send({ action: "rename", brand_id, brand, to })),
      form("Merge into", "Merge", (to) => send({ action: "merge", brand_id, brand, to })),
      historyOf((r) => r.brand_id === brand_id));
  }
  /** Who said what about an exposure or a brand, and when; the last is taken back by a key. */
  function historyOf(isAbout) {
    const gone = undone();
    const own = events.filter((r) => r.action !== "undo" && r.state !== "undone" && !gone.has(r.review_id) && isAbout(r)).reverse();
    return own.length ? el("div", { class: "history" }, own.map((r, i) => eventRow(r, i ? "" : "u", r.state !== "pending"))) : null;
  }
  function clusterForm(cluster, typed) {
    const input = el("input", { "data-cluster": cluster.cluster_id, value: typed, list: "brand-names", autocomplete: "off", "aria-label": `Brand of cluster ${cluster.rank}`, placeholder: "Name it" });
    const what = { cluster_id: cluster.cluster_id, text: cluster.text.slice(0, 1000), t_s: cluster.t_s, box: sharesOf(cluster) };
    const open = (id) => (lastOfCluster(id) || {}).action !== "dismiss";
    const alike = cluster.alike.filter(open);
    const dismiss = (...ids) => send(...ids.map((cluster_id) => ({ action: "dismiss", ...(cluster_id === cluster.cluster_id ? what : { cluster_id }) })));
    return el("form", { class: "name-cluster", submit: (event) => {
      event.preventDefault();
      const to = nameIn(input);
      if (!to) return;
      const more = event.submitter && event.submitter.value === "alike" ? alike : [];
      input.value = "";
      send({ action: "name", ...what, to }, ...more.map((cluster_id) => ({ action: "name", cluster_id, to }))).then((kept) => { if (!kept) input.value = to; });
    } }, input, el("button", { class: "button" }, "Name"),
      alike.length > 0 && el("button", { class: "button", value: "alike", "aria-label": `Name cluster ${cluster.rank} and the ${alike.length} alike` }, `Name all ${alike.length + 1} alike`),
      open(cluster.cluster_id) && el("button", { type: "button", class: "button", "aria-label": `Dismiss cluster ${cluster.rank}`, click: () => dismiss(cluster.cluster_id) }, "Dismiss"),
      open(cluster.cluster_id) && alike.length > 0 && el("button", { type: "button", class: "button", "aria-label": `Dismiss cluster ${cluster.rank} and the ${alike.length} alike`, click: () => dismiss(cluster.cluster_id, ...alike) }, `Dismiss all ${alike.length + 1} alike`));
  }

  /** What a correction is about, in words. */
  function subjectOf(r) {
    const cluster = data.unresolved.find((one) => one.cluster_id === r.cluster_id);
    return r.brand || r.brand_id || r.text || (cluster ? `cluster ${cluster.rank}` : "a logo without text");
  }
  const localTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  /** A correction: what, who, when, its state, and how to take it back. */
  function eventRow(r, key = "", stated = true) {
    const out = isOut(r);
    const state = !out ? r.state : r.state === "applied" ? "undo pending" : "undone";
    return el("div", { class: "event" },
      el("div", {}, el("b", {}, word(subjectOf(r))), ` ${about(r)}`,
        typeof r.start_s === "number" && typeof r.end_s === "number" ? `, ${clock(r.start_s)} to ${clock(r.end_s)}` : "",
        el("div", { class: "soft small" }, word(r.user || ""), " ", r.at && el("time", { datetime: r.at }, localTime.format(new Date(r.at)))), " ",
        stated && el("span", { class: `badge ${r.state === "pending" || out ? "pending" : "reviewed"}` }, state),
        r.state === "applied" && r.detections ? el("span", { class: "soft small" }, ` ${counted(r.detections, "detection")}, ${duration(r.seconds || 0)}`) : ""),
      !out && undoOf(r, key));
  }
  const undoOf = (r, key = "") => el("button", { type: "button", class: "button", "aria-keyshortcuts": key || null, "aria-label": `Undo: ${plain(subjectOf(r))} ${about(r)}`, click: () => send({ action: "undo", undoes: r.review_id }) }, "Undo", key && hint(key));

  function openDrawer(from) {
    chosen = null;
    reopen = () => openDrawer();
    const listed = events.filter((r) => r.action !== "undo").reverse();
    openPanel("Corrections", from,
      el("p", { class: "soft small" }, "Pending corrections change the report when they are applied. Each can be undone."),
      listed.length ? listed.map((r) => eventRow(r)) : el("p", {}, "There are no corrections yet."));
  }

  /** Takes the corrections that the service keeps, and whether the page shows the newest report still; sentences about what is damaged. */
  function take({ attempt, reviews, damaged = [] }) {
    events = reviews;
    isOld = attempt !== service.report;
    if (isOld) tell("A newer report was made since this page was loaded.");
    return damaged;
  }

  /** Reads and shows what is new; a panel with something typed in it stays as it is. */
  async function load() {
    try {
      let sent;
      let found;
      do {
        sent = lastSent;
        await sent;
        found = await ask("GET", service.reviews);
      } while (sent !== lastSent); // what was sent meanwhile may be missing in it
      if (busy) return; // applying reads for itself
      const known = () => [isOld, ...events.map((r) => r.review_id)].join();
      const before = known();
      const damaged = take(found);
      if (known() !== before) refresh(isTyping());
      if (damaged.length) fail(damaged.join(" "));
    } catch (error) {
      fail("The corrections could not be read.", error);
    }
  }

  function build() {
    document.body.classList.add("served");
    document.body.append(names, dock);
    suggest([]);
    document.addEventListener("input", onType);
    refresh();
    tellChanges();
    load();
    document.addEventListener("visibilitychange", () => { if (!document.hidden && !busy) load(); });
  }
  return { build, ofExposure, ofBrand, isRejected, actionsFor, actionsForBrand, clusterForm, historyOfCluster };
})();
