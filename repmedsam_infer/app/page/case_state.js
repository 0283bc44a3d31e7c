/** The state of the page: the open case as the server has it, and what is shown of it. Edits go to the server. */

import { clamp, frameOf } from "./geometry.js";
import * as server from "./server.js";
import { AS_STORED, soundWindow } from "./windowing.js";

const OTHER_TAB =
  "This case was changed in another tab or window. It is shown as it is now; what you did last was not applied.";

/**
 * Fields, to be read by everyone and changed with `change` only:
 *   info         the case as the server describes it; null before one is open
 *   frames       its planes, by axis (geometry.js)
 *   drawn        objects, versions, undo, work, as the server has them ("state" of the contract)
 *   selected     id of the selected object, or null
 *   index        the slice shown on each plane, which is where the cross-hair lies: {x, y, z} in voxels
 *   window       shown: {name, level, width}
 *   tool         "box", "brush" or "window"
 *   boxSign      null: the next box is a new object; "+" or "-": it is added to or subtracted from the selected object
 *   armed        a new box was asked for with a key
 *   brush        {sign: "+" | "-", radius: CSS pixels on the screen}
 *   draft        a box being drawn or changed: {box, kind: "new" | "add" | "set", sign, object, mark, byKeys}; or null
 *   stroke       a stroke being drawn: {axis, index, sign, points, radius}; or null
 *   preview      mask of the draft on a slice: {index, x, y, width, height, mask, object, sign, settled}; or null
 *   previewing   whether a preview is being worked out
 *   hidden       ids of objects that are not shown;  masksHidden: none is shown while a key is held
 *   active       the plane that keys act on;  large: the plane that is shown alone, or null
 *   naming       id of the object whose name is to be typed, or null
 *   pointer      under the pointer: {axis, at: {x, y, z}, value: string}; or null
 *   connected    whether events come from the server;  pending: edits on their way
 */
export class CaseState {
  /** @param {(text: string, options?: object) => void} tell shows a message (dialogs.js) */
  constructor(tell) {
    this.tell = tell;
    this.listeners = [];
    this.changed = new Set();
    this.queue = Promise.resolve();
    this.stopListening = () => {};
    this.info = null;
    this.frames = {};
    this.tool = "box";
    this.brush = { sign: "+", radius: 14 };
    this.connected = true;
    this.pending = 0;
    this.large = null;
    this.masksHidden = false;
    this.loading = null;
    this.clear();
  }

  clear() {
    Object.assign(this, {
      drawn: null,
      selected: null,
      index: { x: 0, y: 0, z: 0 },
      window: AS_STORED,
      boxSign: null,
      armed: false,
      draft: null,
      stroke: null,
      preview: null,
      previewing: false,
      hidden: new Set(),
      active: "z",
      pointer: null,
      naming: null,
    });
  }

  /** Calls `listener(names of what changed)` after changes, once for all of a task. */
  listen(listener) {
    this.listeners.push(listener);
  }

  /** Sets fields and lets the listeners know. */
  change(fields) {
    if (!this.changed.size) {
      queueMicrotask(() => {
        const names = this.changed;
        this.changed = new Set();
        for (const listener of this.listeners) listener(names);
      });
    }
    for (const [name, value] of Object.entries(fields)) {
      this[name] = value;
      this.changed.add(name);
    }
  }

  get objects() {
    return this.drawn?.objects ?? [];
  }

  get selectedObject() {
    return this.objects.find((one) => one.id === this.selected) ?? null;
  }

  /** The window that the network's grey levels are made with. */
  get networkWindow() {
    return this.drawn?.window ?? this.info?.window ?? null;
  }

  /** Shows a slice of a plane: its index along the axis, kept within the image. */
  moveTo(at) {
    const index = { ...this.index };
    for (const axis of Object.keys(at)) index[axis] = clamp(Math.floor(at[axis]), 0, (this.info.shape[axis] ?? 1) - 1);
    if (["x", "y", "z"].some((axis) => index[axis] !== this.index[axis])) this.change({ index });
  }

  /** Selects an object, and shows a slice that its first box lies on where the one shown has none. */
  select(id, show = false) {
    this.change({ selected: id, boxSign: null });
    const box = this.selectedObject?.marks.find((mark) => mark.kind === "box")?.box;
    if (!show || !box) return;
    const sides = box.length / 2,
      at = {};
    for (let i = 0; i < sides; i++) {
      const axis = "xyz"[i];
      const inside = box[i] <= this.index[axis] && this.index[axis] <= box[i + sides];
      if (!inside) at[axis] = (box[i] + box[i + sides]) / 2;
    }
    this.moveTo(at);
  }

  /** Shows or hides an object. */
  toggleVisible(id) {
    const hidden = new Set(this.hidden);
    if (!hidden.delete(id)) hidden.add(id);
    this.change({ hidden });
  }

  /** The next box is added to the selected object or subtracted from it; chosen again: it is a new object. */
  chooseSign(sign) {
    if (this.selected !== null) this.change({ tool: "box", boxSign: this.boxSign === sign ? null : sign });
    else this.tell("Select an object first: the next box is added to it or subtracted from it.", { key: "sign" });
  }

  /** A label map is shown on a plane: the preview of an edit and a stroke go when it has them. */
  settle(axis, version) {
    const { preview, stroke, objects } = this;
    if (stroke?.axis === axis && stroke.since < version) this.change({ stroke: null });
    if (axis !== "z" || !preview?.settled || version <= preview.settled.version) return;
    const status = objects.find((one) => one.id === preview.object)?.status;
    if (status !== "waiting" && status !== "working") this.change({ preview: null });
  }

  /** Opens a case. Throws ServerError where it cannot be read. */
  async open(id) {
    await this.queue;
    this.change({ loading: id });
    try {
      const info = await server.getCase(id),
        drawn = await server.getState(id);
      if (this.loading !== id) return;
      this.stopListening();
      this.clear();
      const frames = Object.fromEntries(info.planes.map((plane) => [plane.axis, frameOf(info, plane)]));
      const middle = (axis) => Math.floor((info.shape[axis] ?? 1) / 2);
      this.change({
        ...this.fresh(),
        info,
        frames,
        drawn,
        index: { x: middle("x"), y: middle("y"), z: middle("z") },
        window: soundWindow(info.window ?? AS_STORED),
        active: info.planes[0].axis,
        connected: true,
        large: null,
      });
      this.stopListening = server.listenToCase(
        id,
        (news) => this.hear(news),
        (lost) => this.setLost(lost),
      );
      this.refresh = server.newestOnly(() => this.getAnew(id));
    } finally {
      if (this.loading === id) this.change({ loading: null });
    }
  }

  fresh() {
    const { selected, draft, preview, stroke, hidden, pointer, boxSign, naming, armed } = this;
    return { selected, draft, preview, stroke, hidden, pointer, boxSign, naming, armed };
  }

  setLost(lost) {
    if (lost === !this.connected) return;
    this.change({ connected: !lost });
    if (!lost) this.refresh?.();
  }

  /** An event of the server: progress at once, the rest where versions differ. */
  hear({ version, labels, work, progress }) {
    const { drawn } = this,
      given = progress ?? {};
    const objects = drawn.objects.map((one) => (given[one.id] ? { ...one, progress: given[one.id] } : one));
    const ended = drawn.objects.some((one) => one.progress && !given[one.id]);
    this.change({ drawn: { ...drawn, objects, work: work ?? null } });
    if (version !== drawn.version || labels !== drawn.labels.version || ended) this.refresh?.();
    else this.refreshSoon();
  }

  /** When the session file was written is in no event: the state is asked for a moment after the last one. */
  refreshSoon() {
    clearTimeout(this.later);
    this.later = setTimeout(() => this.refresh?.(), 1500);
  }

  async getAnew(id) {
    try {
      const drawn = await server.getState(id);
      if (this.info.id === id) this.take(drawn);
    } catch (error) {
      if (error.status) this.tell(error.message, { kind: "error", key: "state" });
    }
  }

  /** The new state of the server; an older one that came late is dropped. */
  take(drawn) {
    const old = this.drawn;
    if (old && drawn.version < old.version && this.connected) return;
    if (drawn.version === old?.version && drawn.labels.version < old.labels.version) return;
    const fields = { drawn };
    if (this.selected !== null && !drawn.objects.some((one) => one.id === this.selected)) {
      Object.assign(fields, { selected: null, boxSign: null });
    }
    this.change(fields);
  }

  /**
   * Sends one change of the drawing; changes are sent one after another. Where it cannot be made, a message says so
   * and can have it made again.
   * @param {object} edit as in the contract
   * @returns {Promise<object|null>} the new state, or null
   */
  edit(edit) {
    const { id } = this.info;
    this.change({ pending: this.pending + 1 });
    const sent = this.queue.then(() => this.send(id, edit)).finally(() => this.change({ pending: this.pending - 1 }));
    this.queue = sent;
    return sent;
  }

  async send(id, edit) {
    const again = (text) => ({ text, run: () => this.info.id === id && this.edit(edit) });
    try {
      const drawn = await server.postEdit(id, this.drawn.version, edit);
      if (this.info.id !== id) return null;
      this.take(drawn);
      if (drawn.created != null) this.change({ selected: drawn.created, boxSign: null });
      this.refreshSoon();
      return drawn;
    } catch (error) {
      if (error.status === 409 && error.body.state) {
        this.take(error.body.state);
        this.tell(OTHER_TAB, { kind: "warning", action: again("Apply it now"), key: "other tab" });
      } else {
        this.tell(error.message, { kind: "error", action: again("Try again") });
      }
      return null;
    }
  }
}
