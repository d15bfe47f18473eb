// ---- the data as rows

const brands = data.brands;
const figures = data.figures;
const isText = (figure) => figure.kind === "text" || figure.kind === "placement";
const placementsTold = figures.some((figure) => figure.key === "placement");
const exposures = rowsOf(data.exposures, data.exposures.brand.length);
const proofs = rowsOf(data.evidence, data.evidence.score.length);
const ofBrand = brands.map(() => []);
exposures.forEach((exposure, i) => {
  exposure.i = i;
  ofBrand[exposure.brand].push(exposure);
});
const pictures = data.pictures;

function rowsOf(columns, length) {
  const names = Object.keys(columns);
  return Array.from({ length }, (_, i) => {
    const row = {};
    for (const name of names) {
      const column = columns[name];
      row[name] = Array.isArray(column) ? column[i] : column.of[column.at[i]];
    }
    return row;
  });
}

const SOURCES = { T: "a rule on text", L: "its looks", M: "a local model", C: "a cloud model", P: "a person" };
function sourceOf(e) {
  if (e.rule === "review" || e.reviewed === "renamed" || e.reviewed === "named") return "P";
  if (e.decided_by === "escalate_cloud") return "C";
  if (e.decided_by === "escalate_vlm") return "M";
  return ["logo_match", "reidentified"].includes(e.rule) ? "L" : "T";
}
const ruleWords = (rule) => data.rules[rule] || cut(rule, 40);
const stageWords = (stage) => data.stages[stage] || cut(stage, 40);
const WEAK = 0.7;
const certainty = (e) => (e.confidence >= data.sure_confidence || e.reviewed ? "sure" : e.confidence >= WEAK ? "likely" : "weak");
