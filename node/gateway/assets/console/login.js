// Asks for a password or a token, once however many requests wait for it.

import { element } from "./element.js";
import { keepLogin } from "./node.js";

let waiting = null;

/** Shows the dialog; whether somebody logged in. */
export function askForLogin(dialog, said) {
  waiting ??= new Promise(resolve => {
    const name = element("input", { name: "name", autocomplete: "username" });
    const secret = element("input", { name: "secret", type: "password", autocomplete: "current-password", required: true });
    let done = false;
    const form = element("form", {
      method: "dialog",
      onsubmit: () => { keepLogin(name.value.trim(), secret.value); done = true; },
    },
      element("h2", { id: "login-title" }, "Log in"),
      element("p", { class: "soft small" }, "This node wants the name and password of a role. A token stands alone: leave the name empty."),
      said ? element("p", { class: "bad small", role: "alert" }, said) : null,
      element("label", {}, "Name", name),
      element("label", {}, "Password or token", secret),
      element("button", { class: "main", type: "submit" }, "Log in"),
      element("p", { class: "soft small" }, "Kept until this tab is closed."));
    dialog.replaceChildren(form);
    dialog.addEventListener("close", () => { waiting = null; resolve(done); }, { once: true });
    dialog.showModal();
  });
  return waiting;
}
