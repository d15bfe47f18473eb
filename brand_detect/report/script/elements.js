const LETTERS = 120;

// ---- elements and words

function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "style") for (const [name, v] of Object.entries(value)) node.style.setProperty(name, v);
    else if (typeof value === "function") node.addEventListener(key, value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function cut(text, letters = LETTERS) {
  const start = Array.from(text.slice(0, 2 * letters + 2));
  return start.length > letters ? start.slice(0, letters).join("") + "…" : text;
}
const word = (text) => el("bdi", {}, cut(String(text)));
const plain = (text) => `\u2068${cut(String(text))}\u2069`; // for attributes, isolated from the surrounding text direction
const showMore = (most, left) => (left > most ? `Show ${most} more of ${left}` : `Show ${left} more`);
const counted = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const [minutes, rest] = [Math.floor(tenths / 600), tenths % 600];
  const tail = `${String(Math.floor(rest / 10)).padStart(2, "0")}.${rest % 10}`;
  return minutes < 60 ? `${minutes}:${tail}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
}
function duration(seconds) {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.005) return "< 0.01 %";
  return `${value.toFixed(value >= 10 ? 0 : value >= 1 ? 1 : 2)} %`;
}
const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
function written(value, kind) {
  if (value === null || value === undefined) return "–";
  if (kind === "seconds") return duration(value);
  if (kind === "share") return percent(value);
  if (kind === "score" || kind === "zones") return score(value);
  if (kind === "money") return Math.round(value).toLocaleString("en");
  if (kind === "placement") return placementWords(value);
  return cut(Array.isArray(value) ? value.join(", ") : String(value));
}

function placementWords(placement) {
  return placement === "led" ? "LED" : placement.replace("_", " ");
}
