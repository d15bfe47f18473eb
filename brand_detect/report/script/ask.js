"use strict";
const byId = (id) => document.getElementById(id);
const HEADERS = { "X-Requested-With": "brand_detect", "Content-Type": "application/json" };

/** A request whose failure is an Error with the service's sentence; `status` 0 = no connection. */
async function ask(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, headers: { ...HEADERS, ...headers }, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw Object.assign(new Error("The service cannot be reached."), { status: 0 });
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const detail = typeof said.detail === "string" ? said.detail : `The service answered ${answer.status}.`;
  const hint = said.hint ? ` ${said.hint[0].toUpperCase()}${said.hint.slice(1)}.` : "";
  throw Object.assign(new Error(detail + hint), { status: answer.status });
}
