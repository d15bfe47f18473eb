// ---- requests to the service, from all pages

const byId = (id) => document.getElementById(id);
const HEADERS = { "X-Requested-With": "brand_detect", "Content-Type": "application/json" };

/** A request whose failure is an Error with the service's sentence; `status` 0 = no connection. */
async function ask(method, path, body, headers = {}) {
  const answer = await reached(path, { method, headers: { ...HEADERS, ...headers }, body: body === undefined ? undefined : JSON.stringify(body) });
  const said = await answer.json().catch(() => null); // an error may have no JSON
  if (answer.ok && (said || answer.status === 204)) return said ?? {};
  throw Object.assign(new Error(sentenceOf(answer.status, said ?? {})), { status: answer.status });
}

/** As `fetch`; without a connection, an Error with a sentence. */
async function reached(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw Object.assign(new Error("The service cannot be reached. Is brand-detect serve still running?"), { status: 0 });
  }
}

/** What went wrong: a sentence with a hint, or a list of fields that do not fit. */
function sentenceOf(status, { detail, hint }) {
  if (status === 401) return "The service requires its key. Log in, then try again.";
  const said = Array.isArray(detail) ? detail.map((one) => one?.msg).filter(Boolean).join("; ") : detail;
  if (!said || typeof said !== "string") return `The service answered with status ${status}.`;
  return hint ? `${said} ${hint[0].toUpperCase()}${hint.slice(1)}.` : said;
}
