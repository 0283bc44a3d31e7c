/** The list of objects and what can be done with the selected one. */

import { boxToFollow } from "./box_tool.js";
import { byId, element, setText } from "./dialogs.js";
import { boxRange } from "./geometry.js";
import { colourOf } from "./masks.js";
import { shortNumber } from "./windowing.js";

export class ObjectsList {
  /**
   * @param {import("./case_state.js").CaseState} state
   * @param {import("./box_tool.js").BoxTool} boxTool
   * @param {() => void} focusImage puts the keyboard back on the image
   */
  constructor(state, boxTool, focusImage) {
    Object.assign(this, { state, boxTool, focusImage });
    this.rows = new Map(); // by object id
    this.details = null; // of the selected object
    state.listen((changed) => {
      if (["drawn", "selected", "hidden", "info", "boxSign"].some((name) => changed.has(name))) this.render();
      if (changed.has("naming") && state.naming !== null) this.beginNaming();
    });
  }

  render() {
    const { state } = this,
      list = byId("objects-list");
    byId("objects").hidden = !state.info;
    byId("objects-none").hidden = state.objects.length > 0;
    setText(byId("objects-count"), state.objects.length ? String(state.objects.length) : "");
    const ids = new Set(state.objects.map((one) => one.id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.item.remove();
      this.rows.delete(id);
    }
    state.objects.forEach((one, i) => {
      if (!this.rows.has(one.id)) this.rows.set(one.id, this.makeRow(one.id));
      const row = this.rows.get(one.id);
      if (list.children[i] !== row.item) list.insertBefore(row.item, list.children[i] ?? null);
      this.updateRow(row, one);
    });
    this.renderDetails();
  }

  makeRow(id) {
    const { state } = this;
    const number = element("span", { class: "number", "aria-hidden": "true" }),
      name = element("span", { class: "name" });
    const size = element("span", { class: "size" }),
      doubt = element("span", { class: "doubt" });
    const note = element("span", { class: "note" }),
      bar = element("progress", { max: "1", hidden: true });
    const choose = element(
      "button",
      { type: "button", class: "choose", on: { click: () => state.select(id, true) } },
      number,
      name,
      size,
      doubt,
      note,
      bar,
    );
    const eye = element("button", { type: "button", class: "quiet eye", on: { click: () => state.toggleVisible(id) } });
    const remove = element("button", {
      type: "button",
      class: "quiet remove",
      text: "×",
      title: "Delete (Delete)",
      on: { click: () => state.edit({ do: "remove_object", object: id }) },
    });
    const item = element("li", { data: { objectId: id } }, choose, eye, remove);
    choose.addEventListener("keydown", (event) => this.moveFocus(event, id));
    return { item, number, name, size, doubt, note, bar, choose, eye, remove };
  }

  updateRow(row, one) {
    const { state } = this,
      hidden = state.hidden.has(one.id),
      selected = one.id === state.selected;
    row.item.classList.toggle("selected", selected);
    row.item.classList.toggle("hidden-object", hidden);
    row.choose.setAttribute("aria-pressed", String(selected));
    row.number.style.setProperty("--colour", colourOf(one.label));
    setText(row.number, String(one.label));
    setText(row.name, one.name);
    row.name.title = one.name;
    setText(row.size, sizeText(one));
    setText(row.doubt, confidenceText(one));
    row.doubt.title = one.doubtful ? reasonOf(one) : "Estimated overlap (DSC) of the mask with the object, 0 to 1";
    row.doubt.classList.toggle("doubtful", one.doubtful);
    row.choose.title = one.doubtful ? reasonOf(one) : "";
    const note = statusText(one);
    setText(row.note, note);
    row.note.hidden = !note;
    row.note.classList.toggle("failed", one.status === "failed");
    row.bar.hidden = one.status !== "working" && one.status !== "waiting";
    if (one.progress?.[1]) row.bar.value = one.progress[0] / one.progress[1];
    else row.bar.removeAttribute("value");
    row.bar.setAttribute("aria-label", `Progress of ${one.name}`);
    setText(row.eye, hidden ? "Show" : "Hide");
    row.eye.setAttribute("aria-label", `${hidden ? "Show" : "Hide"} ${one.name}`);
    row.eye.title = hidden ? "Show (V)" : "Hide (V)";
    row.remove.setAttribute("aria-label", `Delete ${one.name}`);
  }

  /** Arrow keys go through the list. */
  moveFocus(event, id) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key],
      { objects } = this.state;
    const next = by && objects[objects.findIndex((one) => one.id === id) + by];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    if (!next) return;
    this.state.select(next.id, true);
    this.rows.get(next.id).choose.focus();
  }

  renderDetails() {
    const { state } = this,
      one = state.selectedObject,
      place = byId("object-details");
    place.hidden = !one;
    if (!one) {
      this.details = null;
      place.replaceChildren();
      return;
    }
    if (this.details?.id !== one.id) {
      this.details = this.makeDetails(one.id);
      place.replaceChildren(...this.details.parts);
    }
    this.updateDetails(one);
  }

  makeDetails(id) {
    const { state, boxTool } = this;
    const name = element("input", {
      id: "object-name",
      type: "text",
      maxlength: "200",
      autocomplete: "off",
      spellcheck: "false",
    });
    const button = (text, data, title, click) =>
      element("button", { type: "button", text, title, data: { action: data }, on: { click } });
    const extend = button("Extend", "extend", "Follow it from this slice through the volume (E)", () =>
      boxTool.follow(),
    );
    const stop = button("Stop", "stop", "Give up what is being worked out", () =>
      state.edit({ do: "stop", object: id }),
    );
    const sign = (which) => () => {
      state.chooseSign(which);
      this.focusImage();
    };
    const plus = button("+ box", "plus", "The next box is added to this object (+)", sign("+"));
    const minus = button("− box", "minus", "The next box is subtracted from this object (−)", sign("-"));
    const remove = button("Delete", "delete", "Delete this object (Delete)", () =>
      state.edit({ do: "remove_object", object: id }),
    );
    const facts = element("p", { class: "facts" }),
      doubt = element("p", { class: "reason" }),
      marks = element("ul", { class: "marks", "aria-label": "Boxes and strokes" });
    this.listenToName(name, id);
    return {
      id,
      name,
      extend,
      stop,
      plus,
      minus,
      facts,
      doubt,
      marks,
      parts: [
        element("label", {}, element("span", { text: "Name" }), name),
        facts,
        doubt,
        marks,
        element("div", { class: "actions" }, extend, stop, plus, minus, remove),
      ],
    };
  }

  listenToName(name, id) {
    const saved = () => this.state.objects.find((one) => one.id === id)?.name ?? "";
    const keep = () => {
      const text = name.value.trim();
      if (text && text !== saved() && this.state.objects.some((one) => one.id === id))
        this.state.edit({ do: "rename", object: id, name: text });
      else name.value = saved();
    };
    name.addEventListener("change", keep);
    name.addEventListener("keydown", (event) => {
      const unchanged = name.value === saved(),
        undo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
      if (event.key === "Escape") name.value = saved();
      if (event.key === "Enter" || event.key === "Escape") this.focusImage();
      else if (undo && unchanged) this.state.edit({ do: event.shiftKey ? "redo" : "undo" });
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** Puts the keyboard on the name of the selected object. */
  beginNaming() {
    this.renderDetails();
    this.details?.name.focus();
    this.details?.name.select();
    this.state.naming = null;
  }

  updateDetails(one) {
    const { details, state } = this,
      { volume } = state.info;
    if (document.activeElement !== details.name || details.saved !== one.name) {
      details.name.value = one.name;
      details.saved = one.name;
    }
    setText(
      details.facts,
      [isMeasured(one) && sizeText(one), `${one.pixels.toLocaleString("en")} ${volume ? "voxels" : "pixels"}`]
        .filter(Boolean)
        .join(" · "),
    );
    setText(details.doubt, one.doubtful ? reasonOf(one) : "");
    details.doubt.hidden = !one.doubtful;
    const following = one.status === "waiting" || one.status === "working";
    details.stop.hidden = !following;
    details.extend.hidden = !volume || following;
    details.extend.disabled = !boxToFollow(one);
    details.plus.setAttribute("aria-pressed", String(state.boxSign === "+"));
    details.minus.setAttribute("aria-pressed", String(state.boxSign === "-"));
    const key = JSON.stringify(one.marks);
    if (key === details.marksKey) return;
    details.marksKey = key;
    details.marks.replaceChildren(...one.marks.map((mark) => this.markRow(one, mark, volume)));
  }

  markRow(one, mark, volume) {
    const text = markText(mark, volume),
      remove = () => this.state.edit({ do: "remove_mark", object: one.id, mark: mark.id });
    const button = element("button", {
      type: "button",
      class: "quiet",
      text: "×",
      "aria-label": `Remove ${text}`,
      title: "Remove",
      on: { click: remove },
    });
    return element(
      "li",
      { data: { markId: mark.id } },
      element("span", { text }),
      ...(one.marks.length > 1 ? [button] : []),
    );
  }
}

function markText(mark, volume) {
  const sign = mark.sign === "-" ? "− " : "+ ";
  if (mark.kind === "stroke")
    return `${sign}${mark.sign === "-" ? "erased" : "brushed"}${volume ? `, ${mark.axis} ${mark.index}` : ""}`;
  const span = (axis, box) =>
    boxRange(box, axis)
      .filter((end, i, ends) => !i || end !== ends[0])
      .join("–");
  const found =
    mark.found && volume ? `, followed over z ${span("z", mark.found)}` : mark.follow ? ", being followed" : "";
  const through = volume ? `, z ${span("z", mark.box)}` : "";
  return `${sign}box x ${span("x", mark.box)}, y ${span("y", mark.box)}${through}${found}`;
}

const isMeasured = (one) => one.volume_ml != null || one.area_mm2 != null;

/** Volume or area with its unit. */
function sizeText(one) {
  if (one.volume_ml != null) return `${shortNumber(one.volume_ml)} ml`;
  if (one.area_mm2 != null)
    return one.area_mm2 >= 1e4 ? `${shortNumber(one.area_mm2 / 100)} cm²` : `${shortNumber(one.area_mm2)} mm²`;
  return `${one.pixels.toLocaleString("en")} px`;
}

function confidenceText(one) {
  if (one.confidence == null) return one.doubtful ? "⚠ doubtful" : "";
  return `${one.doubtful ? "⚠ " : ""}confidence ${one.confidence.toFixed(2)}`;
}

const reasonOf = (one) => one.reason || "Low confidence: check this mask.";

function statusText(one) {
  const [done, total] = one.progress ?? [];
  if (one.status === "failed") return one.message || "No mask could be made.";
  if (one.status === "working") return total ? `slice ${done} of ${total}` : done ? `${done} slices so far` : "working";
  if (one.status === "waiting") return "waiting";
  return one.message ?? "";
}
