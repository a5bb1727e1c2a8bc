// Filters of the ledger, the records and the glossary: a row shows if it matches every chosen value and holds the text.
// While something is chosen, folds with a match are open and folds without one are gone.
document.querySelectorAll(".eb-filters").forEach((bar) => {
  const rows = [...document.querySelectorAll(`#${bar.dataset.table} tbody tr`)];
  const folds = [...document.querySelectorAll(`#${bar.dataset.table} details.eb-group`)];
  const fields = [...bar.querySelectorAll("select")];
  const text = bar.querySelector("input");
  const count = bar.querySelector("output");
  const opened = folds.map((fold) => fold.open);
  const apply = () => {
    const words = text.value.trim().toLowerCase();
    const chosen = Boolean(words) || fields.some((f) => f.value);
    let shown = 0;
    for (const row of rows) {
      const fits = fields.every((f) => !f.value || row.dataset[f.id.slice(2)] === f.value) && row.textContent.toLowerCase().includes(words);
      row.hidden = !fits;
      shown += fits;
    }
    folds.forEach((fold, i) => {
      fold.hidden = !fold.querySelector("tbody tr:not([hidden])");
      fold.open = chosen ? !fold.hidden : opened[i];
    });
    count.textContent = `${shown} of ${rows.length}`;
  };
  bar.addEventListener("input", apply);
  apply();
});
// An address that names a row opens its fold.
const openTarget = () => {
  const fold = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details");
  if (fold && !fold.open) {
    fold.open = true;
    document.getElementById(decodeURIComponent(location.hash.slice(1))).scrollIntoView();
  }
};
window.addEventListener("hashchange", openTarget);
openTarget();
