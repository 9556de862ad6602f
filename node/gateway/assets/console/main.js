// The page: its parts, by the address behind #, and whether the node answers.

import { askForLogin } from "./login.js";
import { forgetLogin, json, login, onLogin } from "./node.js";
import { useTheme } from "./theme.js";
import { overview } from "./overview.js";
import { sqlEditor } from "./sql.js";
import { live } from "./live.js";
import { edges } from "./edges.js";
import { plugins } from "./plugins.js";

const PARTS = { overview: ["Overview", overview], sql: ["SQL", sqlEditor], live: ["Live", live], edges: ["Edges", edges], plugins: ["Plugins", plugins] };
const STATUS_MS = 5000;
const at = id => document.getElementById(id);
const shown = new Map();
let current = null;

/** A part is made once, and told when it is seen and when no more. */
function show() {
  const name = location.hash.slice(1);
  const key = Object.hasOwn(PARTS, name) ? name : "overview";
  const [title, make] = PARTS[key];
  if (!shown.has(key)) {
    const box = document.createElement("main");
    box.className = key;
    shown.set(key, { box, part: make(box) });
  }
  const next = shown.get(key);
  if (current !== next) {
    current?.part.left?.();
    at("main").replaceWith(next.box);
    next.box.id = "main";
    if (current) current.box.removeAttribute("id");
    current = next;
  }
  at("title").textContent = title;
  document.title = `${title} · activestore`;
  for (const link of document.querySelectorAll("nav a[data-part]")) {
    if (link.dataset.part === key) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  next.part.seen?.();
}

function state(words, kind) {
  at("state").textContent = words;
  at("state").className = `state ${kind}`;
}

async function status() {
  try {
    const { name, role, version } = await json("/v1/status");
    at("who").textContent = [name, role, version].filter(Boolean).join(" · ");
    const ready = await fetch("/health/ready", { credentials: "omit" });
    state(ready.ok ? "ready" : "going down", ready.ok ? "" : "wait");
  } catch (error) {
    state(error.status === 401 ? "not logged in" : error.status ? error.message : "not reachable", "down");
  }
  at("leave").hidden = !login();
}

onLogin(said => askForLogin(at("login"), said));
at("leave").addEventListener("click", () => { forgetLogin(); location.reload(); });
useTheme(at("theme"));
addEventListener("hashchange", show);
show();
status();
setInterval(() => { if (!document.hidden && !at("login").open) status(); }, STATUS_MS);
