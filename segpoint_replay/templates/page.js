"use strict";
// Tables: a click on a column's head sorts by it, the largest first; one more click turns it round. No value stays last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0], column = head.cellIndex;
    const words = head.classList.contains("words");
    const was = head.getAttribute("aria-sort");
    const rising = was ? was === "descending" : words;
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const value = row => row.cells[column].dataset.value ?? (words ? row.cells[column].textContent : "");
    const order = (a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      return (rising ? 1 : -1) * (words ? x.localeCompare(y) : x - y);
    };
    body.append(...[...body.rows].sort(order));
  });
}
// Charts: what a step's <title> says, at once and where a finger is too.
const hint = document.body.appendChild(document.createElement("div"));
hint.id = "hint";
hint.hidden = true;
for (const title of document.querySelectorAll("svg title")) {
  title.parentElement.dataset.hint = title.textContent;
  title.remove();
}
document.addEventListener("pointermove", show);
document.addEventListener("pointerdown", show);
document.addEventListener("scroll", () => { hint.hidden = true; }, true);
function show(event) {
  const text = event.target instanceof Element && event.target.dataset.hint;
  hint.hidden = !text;
  if (!text) return;
  hint.textContent = text;
  const x = Math.max(8, Math.min(event.clientX + 14, innerWidth - hint.offsetWidth - 8));
  const below = event.clientY + 18, above = event.clientY - hint.offsetHeight - 14;
  hint.style.left = x + "px";
  hint.style.top = (below + hint.offsetHeight > innerHeight ? Math.max(8, above) : below) + "px";
}
// Pictures: a click makes one as wide as the page.
for (const button of document.querySelectorAll("figure button")) {
  button.addEventListener("click", () => button.closest("figure").classList.toggle("wide"));
}
