/** Boxes: drawn, moved and resized with the pointer or with keys; the mask of the box is asked for while it changes. */

import { boxMeets, boxOnScreen, boxRange, clamp, handlesOf, notAPoint, placing, withRange } from "./geometry.js";
import { newestOnly, postPreview } from "./server.js";

const NEAR_HANDLE = 9,
  NEAR_EDGE = 5; // CSS pixels
const CURSORS = { "-1-1": "nwse-resize", 11: "nwse-resize", "1-1": "nesw-resize", "-11": "nesw-resize", "00": "move" };
const KEY_STEP = 4; // CSS pixels that a key moves a box, a voxel at least

export class BoxTool {
  /** @param {import("./case_state.js").CaseState} state */
  constructor(state) {
    this.state = state;
    this.ask = newestOnly((...values) => this.preview(...values));
  }

  /**
   * What of the selected object's boxes lies under a position of a canvas.
   * @returns {{object: number, mark: number, box: number[], sign: string, right: number, down: number}|null}
   *   right, down: the edges that a drag moves (-1, 0, 1 as shown); both 0: the whole box
   */
  hit(plane, at) {
    const one = this.state.selectedObject;
    if (!one || this.state.boxSign || this.state.masksHidden) return null;
    const boxes = one.marks
      .filter((mark) => mark.kind === "box" && boxMeets(mark.box, plane.axis, plane.index))
      .reverse();
    const found = (mark, right, down) => ({
      object: one.id,
      mark: mark.id,
      box: mark.box,
      sign: mark.sign,
      right,
      down,
    });
    for (const mark of boxes) {
      const near = handlesOf(boxOnScreen(plane.frame, plane.view, mark.box))
        .map((handle) => ({ ...handle, far: Math.hypot(handle.x - at.x, handle.y - at.y) }))
        .sort((a, b) => a.far - b.far)[0];
      if (near.far <= NEAR_HANDLE) return found(mark, near.right, near.down);
    }
    for (const mark of boxes) {
      const { left, right, top, bottom } = boxOnScreen(plane.frame, plane.view, mark.box);
      const within =
        at.x >= left - NEAR_EDGE && at.x <= right + NEAR_EDGE && at.y >= top - NEAR_EDGE && at.y <= bottom + NEAR_EDGE;
      const fromEdge = Math.min(...[at.x - left, at.x - right, at.y - top, at.y - bottom].map(Math.abs));
      if (within && fromEdge <= NEAR_EDGE) return found(mark, 0, 0);
    }
    return null;
  }

  /** The shape of the pointer over a position of a canvas. */
  cursorAt(plane, at) {
    const hit = this.hit(plane, at);
    if (!hit) return this.drawsOn(plane) ? "crosshair" : "default";
    return CURSORS[`${hit.right}${hit.down}`] ?? (hit.right ? "ew-resize" : "ns-resize");
  }

  /** New boxes are drawn on pictures and on the slices across z. */
  drawsOn(plane) {
    return plane.axis === "z";
  }

  /** A drag that begins at a position of a canvas: {move(at), end(), cancel()}; null where there is nothing to drag. */
  begin(plane, at) {
    const hit = this.hit(plane, at),
      start = plane.toPlane(at);
    if (!hit && !this.drawsOn(plane)) return null;
    const draft = hit ? { kind: "set", sign: hit.sign, object: hit.object, mark: hit.mark } : this.newDraft();
    const boxAt = hit
      ? (now) => this.changedBox(plane, hit, now.h - start.h, now.v - start.v)
      : (now) => this.boxBetween(plane, start, now);
    return {
      move: (to) => this.show({ ...draft, box: boxAt(plane.toPlane(to)) }, plane.frame),
      end: () => this.accept(plane.frame),
      cancel: () => this.cancel(),
    };
  }

  newDraft() {
    const { boxSign, selected } = this.state;
    return boxSign && selected !== null
      ? { kind: "add", sign: boxSign, object: selected }
      : { kind: "new", sign: "+", object: null };
  }

  /** The box on the shown slice whose corners two positions of the plane lie in. */
  boxBetween(plane, a, b) {
    const { info, index } = this.state,
      { frame } = plane,
      z = index.z;
    const empty = info.volume ? [0, 0, z, 0, 0, z] : [0, 0, 0, 0];
    const across = withRange(empty, frame.h, Math.floor(a.h), Math.floor(b.h), frame.countH);
    return withRange(across, frame.v, Math.floor(a.v), Math.floor(b.v), frame.countV);
  }

  /** A box after its edges, or all of it, have moved by voxels along the plane. */
  changedBox(plane, { box, right, down }, alongH, alongV) {
    const { frame } = plane;
    const along = (now, axis, edge, flip, count, by) => {
      const [low, high] = boxRange(box, axis);
      if (!right && !down) {
        const shift = clamp(Math.round(by), -low, count - 1 - high);
        return withRange(now, axis, low + shift, high + shift, count);
      }
      if (!edge) return now;
      return edge > 0 !== flip
        ? withRange(now, axis, low, high + by, count)
        : withRange(now, axis, low + by, high, count);
    };
    const across = along(box, frame.h, right, frame.flipH, frame.countH, alongH);
    return along(across, frame.v, down, frame.flipV, frame.countV, alongV);
  }

  /** Shows a draft and asks for its mask on the slice shown. */
  show(draft, frame) {
    const { state } = this,
      box = notAPoint(draft.box, frame),
      before = state.draft?.box;
    if (before && before.join() === box.join()) return;
    const index = state.info.volume ? state.index.z : 0;
    const fields = { draft: { ...draft, box }, armed: false };
    if (!before || !boxMeets(box, "z", index)) fields.preview = null;
    state.change(fields);
    if (boxMeets(box, "z", index)) this.ask(state.info.id, state.draft, index);
  }

  async preview(id, draft, index) {
    const { state } = this;
    if (!state.draft) return;
    state.change({ previewing: true });
    try {
      const mask = await postPreview(id, draft.box, index);
      const { kind, sign, object } = draft,
        now = state.draft;
      const same = now && now.kind === kind && now.mark === draft.mark && state.info.id === id;
      if (mask && same)
        state.change({ preview: { ...mask, index, kind, sign, object, settled: state.preview?.settled ?? null } });
    } catch (error) {
      state.tell(error.message, { kind: "error", key: "preview" });
    } finally {
      state.change({ previewing: false });
    }
  }

  /** Takes the draft back. */
  cancel() {
    clearTimeout(this.later);
    if (this.state.draft && !this.state.draft.sent) this.state.change({ draft: null, preview: null });
  }

  /** Makes the draft a box of an object. */
  async accept() {
    const { state } = this,
      { draft } = state;
    clearTimeout(this.later);
    if (!draft || draft.sent) return;
    const { kind, sign, object, mark, box } = draft;
    const before = state.objects.find((one) => one.id === object)?.marks.find((one) => one.id === mark)?.box;
    if (before && before.join() === box.join()) {
      state.change({ draft: null, preview: null });
      return;
    }
    const sent = { ...draft, sent: true },
      settled = { version: state.drawn.labels.version };
    state.change({ draft: sent, ...(state.preview && { preview: { ...state.preview, settled } }) });
    const drawn = await state.edit(
      {
        new: { do: "add_object", box, name: "" },
        add: { do: "add_box", object, sign, box },
        set: { do: "set_box", object, mark, box },
      }[kind],
    );
    const fields = kind === "add" && drawn ? { boxSign: null } : {};
    if (state.draft === sent) fields.draft = null;
    if (state.preview?.settled && state.preview.kind === kind) {
      fields.preview = drawn ? { ...state.preview, object: drawn.created ?? object, settled } : null;
    }
    if (drawn?.created != null) fields.naming = drawn.created;
    state.change(fields);
    setTimeout(() => this.dropPreview(settled), 4000);
  }

  /** A preview whose mask never came into the label map does not stay. */
  dropPreview(settled) {
    const { preview, objects } = this.state;
    if (preview?.settled !== settled) return;
    const status = objects.find((one) => one.id === preview.object)?.status;
    if (status === "waiting" || status === "working") setTimeout(() => this.dropPreview(settled), 4000);
    else this.state.change({ preview: null });
  }

  /** The box of the selected object that keys act on: one on the slice shown before others, the newest first. */
  currentMark(plane = null) {
    const boxes = this.state.selectedObject?.marks.filter((mark) => mark.kind === "box").reverse() ?? [];
    return boxes.find((mark) => plane && boxMeets(mark.box, plane.axis, plane.index)) ?? boxes[0] ?? null;
  }

  /** Begins a box with keys: a new one at the cross-hair, or the selected object's where `anew` is false. */
  beginByKeys(plane, anew) {
    const { state } = this,
      mark = anew || state.boxSign ? null : this.currentMark(plane);
    if (mark) {
      this.show(
        { kind: "set", sign: mark.sign, object: state.selected, mark: mark.id, box: mark.box, byKeys: true },
        plane.frame,
      );
      return;
    }
    if (!this.drawsOn(plane)) {
      state.tell("New boxes are drawn on the first plane, across z.", { key: "plane" });
      return;
    }
    const { frame } = plane,
      half = Math.min(frame.countH * frame.sizeH, frame.countV * frame.sizeV) / 10;
    const h = state.index[frame.h] + 0.5,
      v = state.index[frame.v] + 0.5;
    const reach = { h: half / frame.sizeH, v: half / frame.sizeV };
    const box = this.boxBetween(plane, { h: h - reach.h, v: v - reach.v }, { h: h + reach.h, v: v + reach.v });
    this.show({ ...this.newDraft(), box, byKeys: true }, frame);
  }

  /** Moves the draft by steps on the screen, or its right and lower edge. */
  nudge(plane, stepsRight, stepsDown, resize) {
    const { draft } = this.state,
      { frame } = plane,
      { factorH, factorV } = placing(frame, plane.view);
    const voxels = (steps, factor) => steps * Math.sign(factor) * Math.max(1, Math.round(KEY_STEP / Math.abs(factor)));
    const edges = { right: resize && stepsRight ? 1 : 0, down: resize && stepsDown ? 1 : 0 };
    const box = this.changedBox(
      plane,
      { box: draft.box, ...edges },
      voxels(stepsRight, factorH),
      voxels(stepsDown, factorV),
    );
    this.show({ ...draft, box }, frame);
  }

  /** Moves the upper or lower z end of the selected object's box by slices; sent a moment after the last step. */
  moveEnd(plane, step, lower) {
    const { state } = this,
      mark = this.currentMark(plane);
    if (!mark || !state.info.volume) return;
    const draft =
      state.draft?.mark === mark.id && !state.draft.sent
        ? state.draft
        : { kind: "set", sign: mark.sign, object: state.selected, mark: mark.id, box: mark.box };
    const [low, high] = boxRange(draft.box, "z"),
      count = state.info.shape.z;
    const ends = lower ? [Math.min(low + step, high), high] : [low, Math.max(high + step, low)];
    this.show({ ...draft, box: withRange(draft.box, "z", ...ends, count) }, plane.frame);
    clearTimeout(this.later);
    this.later = setTimeout(() => this.accept(), 600);
  }

  /** Has the object of a box on one slice followed through the volume. */
  follow() {
    const { state } = this,
      one = state.selectedObject;
    if (!one || !state.info.volume) return;
    const mark = boxToFollow(one);
    if (mark) state.edit({ do: "follow", object: one.id, mark: mark.id });
    else state.tell("Only an object with a box on one slice can be extended through the volume.", { key: "follow" });
  }

  /** The line of help on the image; "" where none is needed. */
  helpLine() {
    const { draft, boxSign, selectedObject: one, objects, tool, brush, armed } = this.state;
    if (draft?.byKeys) return "Arrows move the box, Shift+arrows resize it, Enter accepts, Escape takes it back";
    if (boxSign)
      return `Drag a box: it is ${boxSign === "+" ? "added to" : "subtracted from"} ${one?.name}. Escape ends this`;
    if (armed) return "Drag a box, or press Enter to put one at the cross-hair";
    if (tool === "brush") return one || brush.sign === "+" ? "" : "Click on the object to erase from";
    return objects.length || draft ? "" : "Drag a box around something";
  }
}

/** The box of an object that can be followed: it lies on one slice and is not followed yet. */
export function boxToFollow(one) {
  const onSlice = (box) => boxRange(box, "z")[0] === boxRange(box, "z")[1];
  return one.marks.find((mark) => mark.kind === "box" && !mark.follow && onSlice(mark.box)) ?? null;
}
