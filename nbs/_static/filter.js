// Filters of the ledger and the glossary: a row shows if it matches every chosen value and holds the text.
document.querySelectorAll(".eb-filters").forEach((bar) => {
  const rows = [...document.querySelectorAll(`#${bar.dataset.table} tbody tr`)];
  const fields = [...bar.querySelectorAll("select")];
  const text = bar.querySelector("input");
  const count = bar.querySelector("output");
  const apply = () => {
    const words = text.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = fields.every((f) => !f.value || row.dataset[f.id.slice(2)] === f.value) && row.textContent.toLowerCase().includes(words);
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length}`;
  };
  bar.addEventListener("input", apply);
  apply();
});
