// Statements that were run in this browser, the newest first.

const KEY = "activestore.history";
const KEPT_MAX = 100;
const LENGTH_MAX = 20_000;

export function statements() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter(text => typeof text === "string" && !isSecret(text)) : [];
  } catch {
    return [];
  }
}

/** Whether a statement holds what should not lie in a browser. The command line goes by the same words. */
const isSecret = text => /password|encryption_key|\btoken\b|\bheader_/i.test(text)
  || (/\bsink\b/i.test(text) && /\b(create|alter)\b|:\/\//i.test(text));

export function remember(text) {
  if (text.length > LENGTH_MAX || isSecret(text)) return;
  const all = [text, ...statements().filter(other => other !== text)].slice(0, KEPT_MAX);
  try {
    localStorage.setItem(KEY, JSON.stringify(all));
  } catch {
    // A browser that keeps nothing runs statements all the same.
  }
}

export const forget = () => localStorage.removeItem(KEY);
