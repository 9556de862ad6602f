// Light and dark: the system's, until somebody chooses.

const KEY = "activestore.theme";
const NEXT = { system: "light", light: "dark", dark: "system" };

function chosen() {
  const kept = localStorage.getItem(KEY);
  return Object.hasOwn(NEXT, kept ?? "") ? kept : "system";
}

export function useTheme(button) {
  const apply = () => {
    const theme = chosen();
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = { system: "◐ System", light: "○ Light", dark: "● Dark" }[theme];
    button.title = `Colours: ${theme}. Click for ${NEXT[theme]}.`;
    dispatchEvent(new Event("themechange"));
  };
  button.addEventListener("click", () => { localStorage.setItem(KEY, NEXT[chosen()]); apply(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
}

/** A colour of the theme in force. */
export function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
