// What every page needs: obedience to the content security policy, which forbids styles in the page itself, the names
// of columns on phones, and the shortcuts of the search field.
"use strict";

htmx.config.includeIndicatorStyles = false;

// The theme binds a style as text; Alpine sets the properties of an object one by one, which is allowed.
document.addEventListener("alpine:init", () => {
  document.getElementById("changelist-actions")?.setAttribute("x-bind:style", "{ width: `${changeListWidth}px` }");
});

// The admin's lists for choosing have help in a span, which may only have a name if it has a role.
addEventListener("load", () =>
  setTimeout(() => {
    document.querySelectorAll(".help-tooltip[aria-label]").forEach((help) => help.setAttribute("role", "img"));
  }),
);

// On a phone each row of a table is a card, so each cell has to name its column. Rows that come later do too.
const nameColumns = () => {
  document.querySelectorAll(".office-table").forEach((table) => {
    const names = [...table.querySelectorAll("thead th")].map((name) => name.textContent.trim());
    if (!names.length) return;
    table.querySelectorAll("tbody tr").forEach((row) => {
      let column = 0;
      [...row.cells].forEach((cell) => {
        if (cell.dataset.label === undefined) cell.dataset.label = cell.colSpan > 1 ? "" : names[column] ?? "";
        column += cell.colSpan;
      });
    });
  });
};
document.addEventListener("DOMContentLoaded", () => {
  nameColumns();
  const office = document.querySelector(".office");
  if (office) new MutationObserver(nameColumns).observe(office, { childList: true, subtree: true });
});

document.addEventListener("keydown", (event) => {
  const isSlash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey;
  const isControlK = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
  const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
  const field = document.querySelector(".office-jump input");
  if (!field || (!isControlK && !(isSlash && !isTyping))) return;
  event.preventDefault();
  event.stopImmediatePropagation(); // the theme has a search of its own behind Ctrl+K
  field.focus();
  field.select();
}, true);
