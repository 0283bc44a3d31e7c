/** Messages, dialogs, and the keyboard with its sheet of keys. Texts of files and users are only ever set as text. */

/**
 * Makes an element. Fields: class, text, data (dataset), on (listeners); others are attributes, false leaves one out.
 * @returns {HTMLElement}
 */
export function element(tag, fields = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(fields)) {
    if (name === "class") made.className = value;
    else if (name === "text") made.textContent = value;
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "on")
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Sets a text where it is another one: what is read aloud or selected stays. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The element with an id. */
export const byId = (id) => document.getElementById(id);

const SIGNS = { error: "Error", warning: "Note", done: "Done", info: "" };
const told = new Set();

/**
 * Shows a message over the image; it stops nothing.
 * @param {string} text a sentence
 * @param {object} options
 *   kind: "info", "done", "warning" or "error";  action: {text, run} of a button
 *   key: takes the place of the message of the same key;  once: only the first time in this page
 */
export function tell(text, { kind = "info", action = null, key = text, once = false } = {}) {
  const area = byId("messages");
  if (once && told.has(key)) return;
  told.add(key);
  for (const old of [...area.children]) if (old.dataset.key === key || old.dataset.text === text) old.remove();
  const message = element("div", { class: `message ${kind}`, data: { key, kind, text } });
  const close = () => message.remove();
  if (SIGNS[kind]) message.append(element("b", { text: SIGNS[kind] }));
  message.append(element("span", { text }));
  if (action) {
    const run = () => {
      close();
      action.run();
    };
    message.append(element("button", { type: "button", text: action.text, on: { click: run } }));
  }
  message.append(
    element("button", {
      type: "button",
      class: "quiet",
      "aria-label": "Close message",
      text: "×",
      on: { click: close },
    }),
  );
  area.append(message);
  while (area.children.length > 4) area.firstChild.remove();
  if (kind !== "error" && !action) setTimeout(close, kind === "info" ? 6000 : 8000);
}

/** Takes a message away. */
export function untell(key) {
  for (const old of [...byId("messages").children]) if (old.dataset.key === key) old.remove();
}

/** Opens the dialog with a title and contents; Escape or "Close" closes it. @returns {Function} that closes it */
export function showDialog(title, ...contents) {
  const dialog = byId("dialog"),
    close = () => dialog.close();
  const top = element(
    "header",
    {},
    element("h2", { id: "dialog-title", text: title, tabindex: "-1" }),
    element("button", { type: "button", class: "quiet", "aria-label": "Close", text: "×", on: { click: close } }),
  );
  dialog.replaceChildren(top, ...contents);
  if (!dialog.open) dialog.showModal();
  (dialog.querySelector("[autofocus]") ?? byId("dialog-title")).focus();
  dialog.onclick = (event) => {
    if (event.target === dialog) close(); // beside the contents; nothing is returned: false would stop links
  };
  return close;
}

/** Asks a question with a button for each answer. @param {{text: string, run: Function, main?: boolean}[]} answers */
export function ask(title, text, answers) {
  const buttons = answers.map(({ text: words, run, main }) =>
    element("button", {
      type: "button",
      class: main ? "main" : "",
      text: words,
      autofocus: main,
      on: { click: () => (close(), run?.()) },
    }),
  );
  const close = showDialog(title, element("p", { text }), element("p", { class: "answers" }, ...buttons));
}

/** True where keys are typed into, so that letters are text and not commands. */
function isTextField(target) {
  return target.matches?.("input:not([type=range]):not([type=checkbox]), textarea, select");
}

/** Keys that a focused control uses itself. */
function usesKey(target, key) {
  if (target.matches?.("button, summary, a, [role=option]")) return key === "Enter" || key === "Space";
  if (target.matches?.("input[type=range]")) return /^(Arrow|Page|Home|End)/.test(key);
  return false;
}

/** The key, or what lies there on a keyboard with Latin letters. */
function latinKey({ key, code, shiftKey }) {
  if (key.length > 1 || /[ -~]/.test(key)) return key;
  if (code.startsWith("Key")) return code[3];
  return { BracketLeft: "[{", BracketRight: "]}" }[code]?.[shiftKey ? 1 : 0] ?? key;
}

/** Name of a key press: "Shift+Z", "ArrowUp", "Mod+Z" (ctrl or command), "?". Shift is named with letters only. */
function keyName(event) {
  const key = latinKey(event),
    name = key === " " ? "Space" : key.length === 1 ? key.toUpperCase() : key;
  const shift = event.shiftKey && (name.length > 1 || /[A-Z]/.test(name)) ? "Shift+" : "";
  const alt = event.altKey && name.length > 1 ? "Alt+" : "";
  return `${event.ctrlKey || event.metaKey ? "Mod+" : ""}${alt}${shift}${name}`;
}

/**
 * Listens to the keyboard.
 * @typedef {Object<string, [string, string, string, Function?, Function?][]>} Keys
 *   by group: what the sheet shows, the keys with spaces between, what they do in words, what is called
 *   with the key's name (false: the key is left to the browser), and what is called when the key is released
 * @param {Keys} groups
 * @param {(name: string) => boolean} works whether a key does anything now
 */
export function listenToKeys(groups, works) {
  const byKey = new Map();
  for (const [, keys, , down, up] of Object.values(groups).flat()) {
    for (const key of keys.split(" ").filter(Boolean)) byKey.set(key, { down, up });
  }
  const held = new Map();
  const release = (code) => {
    held.get(code)?.up();
    held.delete(code);
  };
  window.addEventListener("keydown", (event) => {
    if (byId("dialog").open || event.isComposing || isTextField(event.target)) return;
    const name = keyName(event),
      one = byKey.get(name);
    if (!one || !works(name) || usesKey(event.target, name)) return;
    if (held.has(event.code)) event.preventDefault();
    else if (one.down(name) !== false) {
      event.preventDefault();
      if (one.up) held.set(event.code, one);
    }
  });
  window.addEventListener("keyup", (event) => release(event.code));
  window.addEventListener("blur", () => [...held.keys()].forEach(release));
}

/** Opens the sheet of keys and gestures. @param {Keys} groups */
export function showKeys(groups, version) {
  const entry = ([shown, , text]) => [
    element("dt", {}, ...shown.split(" | ").map((key) => element("kbd", { text: key }))),
    element("dd", { text }),
  ];
  const sheet = Object.entries(groups).map(([group, keys]) =>
    element("section", {}, element("h3", { text: group }), element("dl", {}, ...keys.flatMap(entry))),
  );
  const about = `RepMedSAM ${version ?? ""}. Everything stays on this machine. Not a medical device.`;
  showDialog(
    "Keys and gestures",
    element("div", { class: "sheet" }, ...sheet),
    element("p", { class: "hint", text: about }),
  );
}
