"use strict";

// On paper nothing folds: open every <details> while the page prints, then close those that were closed.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => opened.forEach((details) => (details.open = false)));

// The theme's folds in the navigation have a chevron for a name; a screen reader needs words.
for (const summary of document.querySelectorAll("nav summary")) {
  const link = summary.closest("li")?.querySelector("a");
  summary.setAttribute("aria-label", `Pages of ${link?.textContent.trim() ?? "this part"}`);
}

// Search shows excerpts by fetching the pages, which a browser refuses to a page opened as a file.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
