// Dark or light: as the system has it until the reader chooses. Not a module, so that it runs before the first paint.
"use strict";

(() => {
  const KEY = "market-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");

  // Storage can be switched off: then the choice lasts as long as the page.
  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  };
  let chosen = stored();

  const apply = () => {
    const isDark = chosen ? chosen === "dark" : system.matches;
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    document.getElementById("theme")?.setAttribute("aria-pressed", String(isDark));
    dispatchEvent(new Event("themechange"));
  };

  const choose = () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // Not kept, as above.
    }
    apply();
  };

  apply();
  system.addEventListener("change", apply);
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme")?.addEventListener("click", choose);
    apply();
  });
})();
