/** Cases: the list of them, opening files as new ones, and saving what was drawn. */

import { ask, byId, element, setText, showDialog, tell, untell } from "./dialogs.js";
import { downloadPath, getCases, getState, postSave, upload } from "./server.js";

export class Cases {
  /** @param {import("./case_state.js").CaseState} state */
  constructor(state) {
    this.state = state;
    this.cases = [];
    this.version = "";
    this.failures = new Map(); // sentences by case id
    byId("choose-files").addEventListener("change", (event) => this.chosen(event.target, groupsOf));
    byId("choose-folder").addEventListener("change", (event) => this.chosen(event.target, (files) => [files]));
    window.addEventListener("hashchange", () => this.open(idInAddress()));
    state.listen((changed) => {
      if (changed.has("drawn") || changed.has("info") || changed.has("loading")) this.render();
    });
    this.listenToDrops();
  }

  /** Gets the list and opens the case named in the address, or the first that can be read. */
  async start() {
    await this.refresh();
    const wanted =
      this.cases.find((one) => one.id === idInAddress()) ?? this.cases.find((one) => !one.error) ?? this.cases[0];
    if (wanted) await this.open(wanted.id);
  }

  async refresh() {
    try {
      ({ cases: this.cases, version: this.version } = await getCases());
    } catch (error) {
      tell(error.message, { kind: "error", key: "cases", action: { text: "Try again", run: () => this.start() } });
    }
    this.render();
  }

  async open(id) {
    if (!this.cases.some((one) => one.id === id) || this.state.info?.id === id || this.state.loading === id) return;
    this.failures.delete(id);
    try {
      await this.state.open(id);
      history.replaceState(null, "", `#case=${encodeURIComponent(id)}`);
      this.refresh();
    } catch (error) {
      this.failures.set(id, error.message);
      tell(error.message, { kind: "error", key: `case ${id}` });
      this.render();
    }
  }

  /** The next case, or the one before. */
  step(by) {
    const at = this.cases.findIndex((one) => one.id === this.state.info?.id),
      next = this.cases[at + by];
    if (next) this.open(next.id);
  }

  render() {
    const { state, cases } = this,
      many = cases.length > 1;
    document.body.classList.toggle("no-case", !state.info);
    byId("cases").hidden = !many;
    byId("cases-toggle").hidden = !many;
    setText(byId("cases-count"), `${cases.filter((one) => this.done(one)).length} of ${cases.length} saved`);
    const list = byId("cases-list"),
      focused = document.activeElement?.closest?.("[data-case-id]")?.dataset.caseId;
    list.replaceChildren(...cases.map((one) => this.row(one)));
    if (focused) [...list.querySelectorAll("button")].find((one) => one.dataset.caseId === focused)?.focus();
    const opening = cases.find((one) => one.id === state.loading);
    byId("loading").hidden = !opening;
    setText(byId("loading"), opening ? `Opening ${opening.name} …` : "");
    byId("nothing").hidden = Boolean(state.info || opening);
    const failed = cases.length > 0 && cases.every((one) => one.error ?? this.failures.get(one.id));
    if (failed) setText(byId("nothing-text"), cases[0].error ?? this.failures.get(cases[0].id));
    setText(byId("nothing-title"), failed ? `${cases[0].name} cannot be read` : "Open an image or a volume");
  }

  /** Whether what was drawn last is saved. */
  done(one) {
    const { state } = this;
    if (one.id !== state.info?.id) return one.saved;
    return Boolean(state.drawn.saved && state.drawn.saved.version === state.drawn.version);
  }

  row(one) {
    const { state } = this,
      shown = one.id === state.info?.id,
      error = one.error ?? this.failures.get(one.id);
    const count = shown ? state.objects.length : one.objects;
    const [sign, words] = error
      ? ["!", error]
      : this.done(one)
        ? ["✓", `${objectCount(count)}, saved`]
        : count
          ? ["●", `${objectCount(count)}, not saved`]
          : ["○", "nothing drawn"];
    const button = element(
      "button",
      {
        type: "button",
        class: error ? "case failed" : "case",
        data: { caseId: one.id },
        "aria-current": shown && "true",
        on: { click: () => this.open(one.id) },
      },
      element("span", { class: "sign", "aria-hidden": "true", text: sign }),
      element("span", { class: "name", text: one.name, title: one.name }),
      element("span", { class: "words", text: words }),
    );
    return element("li", {}, button);
  }

  async chosen(input, grouped) {
    const files = [...input.files];
    input.value = "";
    if (files.length) await this.openFiles(grouped(files));
  }

  /** Each group of files becomes a case; the first is opened. */
  async openFiles(groups) {
    let first = null;
    for (const files of groups) {
      const name = files.length > 1 ? `${files.length} files` : files[0].name;
      try {
        const id = await upload(files, (done, total) =>
          tell(`Opening ${name}: ${done} of ${total} read.`, { key: "upload" }),
        );
        first ??= id;
      } catch (error) {
        tell(`${name}: ${error.message}`, { kind: "error" });
      }
    }
    untell("upload");
    await this.refresh();
    if (first) await this.open(first);
  }

  listenToDrops() {
    let depth = 0;
    const show = (by) => {
      depth = Math.max(0, depth + by);
      byId("drop").hidden = depth === 0;
    };
    const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    window.addEventListener("dragenter", (event) => hasFiles(event) && show(1));
    window.addEventListener("dragleave", (event) => hasFiles(event) && show(-1));
    window.addEventListener("dragover", (event) => event.preventDefault());
    window.addEventListener("drop", async (event) => {
      event.preventDefault();
      depth = 0;
      show(0);
      const groups = await droppedGroups(event.dataTransfer);
      if (groups.length) this.openFiles(groups);
    });
  }

  /** Saves the label map beside the input, or shows the formats where that is not possible. */
  async save(format = null, replace = false) {
    const { info, drawn } = this.state;
    if (!info) return;
    if (!info.beside) {
      this.showFormats();
      return;
    }
    const chosen = format ?? info.own_format,
      own = chosen === info.own_format;
    try {
      const saved = await postSave(info.id, chosen, replace || (own && drawn.saved?.name === info.beside));
      const names = saved.boxes ? `${saved.name} and ${saved.boxes} are` : `${saved.name} is`;
      const text = `${names} written beside ${info.name}.${saved.note ? ` ${saved.note}` : ""}`;
      tell(text, { kind: "done", key: "save" });
      if (this.state.info.id === info.id) this.state.take(await getState(info.id));
      this.refresh();
    } catch (error) {
      if (error.status !== 409) {
        tell(`Not saved: ${error.message}`, {
          kind: "error",
          key: "save",
          action: { text: "Other formats", run: () => this.showFormats() },
        });
        return;
      }
      ask("Replace the file?", error.message, [
        { text: "Replace", main: true, run: () => this.save(chosen, true) },
        { text: "Save as download instead", run: () => this.showFormats() },
        { text: "Cancel" },
      ]);
    }
  }

  /** The dialog of formats, downloads, and the command that does the same. */
  showFormats() {
    const { info } = this.state;
    if (!info) return;
    const select = element(
      "select",
      { id: "save-format" },
      ...info.formats.map((format) =>
        element("option", { value: format, text: format, selected: format === info.own_format }),
      ),
    );
    const labels = element("a", {
      class: "button",
      id: "download-labels",
      download: "",
      href: "#",
      text: "Download label map",
    });
    const boxes = element("a", {
      class: "button",
      id: "download-boxes",
      download: "",
      href: downloadPath(info.id, "boxes"),
      text: "Download boxes (JSON)",
    });
    const beside = element("button", {
      type: "button",
      class: "main",
      id: "save-beside",
      autofocus: true,
      text: `Save beside ${info.name}`,
      on: { click: () => (close(), this.save(select.value)) },
    });
    const where = element("p", { class: "hint" }),
      command = element("pre", { tabindex: "0" });
    const choose = () => {
      const inFormat = (text) => text.replaceAll(`_labels${info.own_format}`, `_labels${select.value}`);
      labels.setAttribute("href", downloadPath(info.id, "labels", select.value));
      setText(command, inFormat(info.command));
      const names = info.beside && `The label map (${inFormat(info.beside)}) and the boxes are written beside the input.`;
      setText(where, names ?? "This case was opened in the browser: it can be downloaded, not written beside the input.");
    };
    select.addEventListener("change", choose);
    choose();
    const close = showDialog(
      "Save",
      element("p", {}, element("label", { text: "Format " }, select)),
      where,
      element("p", { class: "answers" }, ...(info.beside ? [beside] : []), labels, boxes),
      element("h3", { text: "The same from the command line" }),
      command,
    );
  }
}

const objectCount = (count) => (count === 1 ? "1 object" : `${count} objects`);

function idInAddress() {
  return new URLSearchParams(location.hash.slice(1)).get("case");
}

/** Files chosen together: slices of a DICOM series, and headers with their data, are one case; others one each. */
export function groupsOf(files) {
  const slices = files.filter(({ name }) => /\.dcm$/i.test(name) || !name.includes("."));
  const stem = (name) => name.replace(/\.(mhd|z?raw|hdr|img|nhdr)(\.gz)?$/i, "");
  const paired = new Map();
  for (const file of files)
    if (!slices.includes(file)) paired.set(stem(file.name), [...(paired.get(stem(file.name)) ?? []), file]);
  return [...(slices.length ? [slices] : []), ...paired.values()];
}

/** Groups of dropped files; a folder is one case. */
async function droppedGroups(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const loose = [...transfer.files],
    folders = [];
  for (const entry of entries) if (entry.isDirectory) folders.push(await filesIn(entry));
  const names = new Set(entries.filter((entry) => entry.isDirectory).map((entry) => entry.name));
  return [...groupsOf(loose.filter((file) => !names.has(file.name))), ...folders.filter((files) => files.length)];
}

async function filesIn(folder) {
  const reader = folder.createReader(),
    found = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found;
    for (const entry of entries) {
      if (entry.isDirectory) found.push(...(await filesIn(entry)));
      else if (!entry.name.startsWith("."))
        found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    }
  }
}
