// Paper is white and cannot be unfolded: a page is printed in its light colours with code and proofs unfolded; solutions stay folded.
(() => {
  let before = null;
  window.addEventListener("beforeprint", () => {
    const folds = [...document.querySelectorAll("article details:not([open])")].filter((d) => !d.classList.contains("eb-solution") && !d.classList.contains("eb-group"));
    before = { theme: document.documentElement.dataset.theme, folds };
    document.documentElement.dataset.theme = "light";
    folds.forEach((d) => { d.open = true; });
  });
  window.addEventListener("afterprint", () => {
    if (!before) return;
    document.documentElement.dataset.theme = before.theme;
    before.folds.forEach((d) => { d.open = false; });
    before = null;
  });
  // What scrolls in its own box can be reached with the keyboard, and only then.
  const boxes = "article :is(.eb-scroll, .eb-diagram, .output, pre, .math, mjx-container)";
  const reach = () => document.querySelectorAll(boxes).forEach((box) => {
    const scrolls = box.scrollWidth > box.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(box).overflowX);
    if (scrolls && !box.hasAttribute("tabindex")) { box.tabIndex = 0; box.dataset.reach = ""; }
    if (!scrolls && "reach" in box.dataset) { box.removeAttribute("tabindex"); delete box.dataset.reach; }
  });
  window.addEventListener("load", () => {
    reach();
    window.MathJax?.startup?.promise?.then(reach);
  });
  window.addEventListener("resize", reach);
})();
