const form = document.getElementById("replay"), message = document.getElementById("message");
const stages = [...form.querySelectorAll(".stage")];
const initial = new Map([...form.querySelectorAll("[data-param]")].map((field) => [field, control(field).value]));

function control(field) { return field.querySelector("input, select, textarea"); }
/** Shows the values of a replay from the chosen step, where they depend on it; what was changed stays. */
function fill() {
  for (const field of form.querySelectorAll("[data-values]")) {
    const value = JSON.parse(field.dataset.values)[start()];
    if (value === undefined) continue; // its stage does not run
    if (control(field).value === initial.get(field)) control(field).value = value;
    initial.set(field, value);
    field.classList.toggle("changed", control(field).value !== value);
  }
}
const start = () => form.elements.start.value;
/** The stages that run: the chosen one and those below. */
const running = () => stages.slice(stages.findIndex((stage) => stage.dataset.stage === start()));

function show() {
  const run = running();
  for (const stage of stages) stage.hidden = !run.includes(stage);
  const changes = run.flatMap((stage) => changed(stage));
  document.getElementById("what").textContent = `${run.length} of ${stages.length} steps run${changes.length ? `, with ${changes.length} changed ${changes.length === 1 ? "setting" : "settings"}` : ""}.`;
}
const changed = (stage) => [...stage.querySelectorAll("[data-param]")].filter((field) => control(field).value !== initial.get(field));

/** A field's value in the type of its param. */
function typed(field) {
  const { value } = control(field), { kind, param } = field.dataset;
  if (kind === "boolean") return value === "true";
  if (kind === "integer" || kind === "number") {
    if (value === "" || (kind === "integer" && !Number.isInteger(Number(value)))) throw new Error(`${label(field)} needs ${kind === "integer" ? "a whole number" : "a number"}.`);
    return Number(value);
  }
  if (kind === "lines") return value.split("\n").map((line) => line.trim()).filter(Boolean);
  if (kind !== "json") return value;
  try { return JSON.parse(value); } catch { throw new Error(`${label(field)} (${param}) is not JSON.`); }
}
const label = (field) => field.querySelector("label").textContent.trim();

form.addEventListener("input", (event) => {
  if (event.target.name === "start") fill();
  const field = event.target.closest("[data-param]");
  field?.classList.toggle("changed", control(field).value !== initial.get(field));
  show();
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  message.textContent = "";
  const button = form.querySelector("button.primary");
  button.disabled = true;
  for (const mended of form.querySelectorAll("[aria-invalid]")) mended.removeAttribute("aria-invalid");
  try {
    const overrides = {};
    for (const stage of running())
      for (const field of changed(stage)) {
        control(field).setAttribute("aria-invalid", "true");
        (overrides[stage.dataset.stage] ??= {})[field.dataset.param] = typed(field);
        control(field).removeAttribute("aria-invalid");
      }
    await ask("POST", `/jobs/${form.dataset.job}/replay`, { start_stage: start(), config_overrides: overrides });
    return location.assign("/");
  } catch (error) {
    message.textContent = error.message;
    const wrong = form.querySelector("[aria-invalid]") ?? document.getElementById(error.message.split(":")[0]); // stage.param: …
    if (wrong) { wrong.closest("details").open = true; wrong.focus(); }
  }
  button.disabled = false;
});
show();
