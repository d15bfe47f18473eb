// ---- unresolved clusters

let clustersShown = 24;
function drawUnresolved() {
  if (!byId("unresolved")) return;
  const typed = new Map([...document.querySelectorAll("#unresolved input")].map((input) => [input.dataset.cluster, input.value]));
  const cards = together().slice(0, clustersShown).map((cluster) => {
    const picture = pictures.clusters[cluster.cluster_id];
    return el("figure", {},
      picture ? closeUp(picture, cluster.text ? plain(cluster.text) : "a logo region without text") : null,
      el("figcaption", {}, el("b", {}, `${cluster.rank}. `, cluster.text ? word(cluster.text) : "(no text)"), el("br"),
        `${duration(cluster.seconds)}, ${percent(cluster.area_frac)} of the picture`, cluster.t_s === null ? "" : [`, seen at ${clock(cluster.t_s)} `, el("button", { type: "button", class: "link small play", "aria-label": `Show cluster ${cluster.rank} in the video`, click: () => bigPicture.seek(cluster.t_s) }, "▶")], el("br"),
        cluster.text && alikeOf(cluster).length ? ["reads much like ", alikeOf(cluster).slice(0, 4).map((one, i) => [i ? ", " : "", word(one.text)]), el("br")] : "",
        data.reasons[cluster.reason] || cut(cluster.reason), el("br"),
        cluster.candidates.length ? ["resembles ", cluster.candidates.slice(0, 5).map((name, i) => [i ? ", " : "", word(name)]), el("br")] : "",
        service && service.frames && cluster.frame !== null ? cutOf(cluster) : ""),
      review && review.historyOfCluster(cluster), review && review.clusterForm(cluster, typed.get(cluster.cluster_id)));
  });
  const held = heldControl();
  const left = data.unresolved.length - cards.length;
  byId("unresolved").replaceChildren(el("div", { class: "figures" }, cards),
    left ? el("button", { type: "button", class: "button more", click: () => { clustersShown += 48; drawUnresolved(); } }, showMore(48, left)) : "");
  if (held) held();
}
/** The clusters by rank, each followed by those that may show the same. */
function together() {
  const placed = new Set();
  for (const cluster of data.unresolved) for (const one of [cluster, ...alikeOf(cluster)]) placed.add(one);
  return [...placed];
}
const alikeOf = (cluster) => data.unresolved.filter((one) => cluster.alike.includes(one.cluster_id));
/** Goes back to the control of a card that has the focus, or to the card's field if it is gone, once the cards are drawn again. */
function heldControl() {
  const card = document.activeElement.closest("#unresolved figure");
  if (!card) return null;
  const held = nameOf(document.activeElement);
  const at = [...card.parentNode.children].indexOf(card);
  return () => {
    const again = [...byId("unresolved").querySelectorAll("figure")[at].querySelectorAll("input, button")];
    (again.find((control) => nameOf(control) === held) || again.find((control) => control.matches("input"))).focus({ preventScroll: true });
  };
}
const nameOf = (control) => control.getAttribute("aria-label") || control.textContent;
