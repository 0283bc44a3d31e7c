/** What the pointer and the wheel do on a plane: boxes, brush strokes, window, pan, zoom, slices, cross-hair. */

import { clamp, panned, placing } from "./geometry.js";
import { draggedWindow } from "./windowing.js";

const CLICK = 3; // CSS pixels: a shorter drag is a click
const WHEEL_STEP = 50; // of a wheel's movement, a slice
const MOST_POINTS = 4096;
const LARGEST_RADIUS = 500; // voxels

let running = null; // the drag: {move(at, event), end(), cancel(), click(at)}
let panHeld = false;

/** While held (space), a drag pans. */
export function holdPan(held) {
  panHeld = held;
}

/** Takes back the drag that is going on; returns whether there was one. */
export function cancelDrag() {
  const drag = running;
  running = null;
  drag?.cancel?.();
  return drag !== null;
}

/**
 * Listens to the pointer on one plane.
 * @param {import("./plane_view.js").PlaneView} plane
 * @param {import("./case_state.js").CaseState} state
 * @param {import("./box_tool.js").BoxTool} boxTool
 */
export function listenToPointer(plane, state, boxTool) {
  const { canvas } = plane,
    touches = new Map();

  canvas.addEventListener("pointerdown", (event) => {
    const at = plane.onCanvas(event);
    canvas.focus({ preventScroll: true });
    state.change({ active: plane.axis });
    touches.set(event.pointerId, at);
    if (touches.size === 2) {
      cancelDrag();
      running = pinchDrag(plane, touches);
    }
    if (running) return;
    canvas.setPointerCapture(event.pointerId);
    running = withClick(at, dragOf(event, at, plane, state, boxTool), (end) => clicked(plane, state, end));
    event.preventDefault();
  });

  canvas.addEventListener("pointermove", (event) => {
    const at = plane.onCanvas(event);
    if (touches.has(event.pointerId)) touches.set(event.pointerId, at);
    hover(plane, state, boxTool, at);
    running?.move(at, event);
  });

  const ended = (event, cancelled) => {
    touches.delete(event.pointerId);
    const drag = running;
    running = null;
    if (cancelled) drag?.cancel?.();
    else drag?.end(plane.onCanvas(event));
  };
  canvas.addEventListener("pointerup", (event) => ended(event, false));
  canvas.addEventListener("pointercancel", (event) => ended(event, true));
  canvas.addEventListener("pointerleave", () => {
    plane.ring = null;
    state.change({ pointer: null });
    plane.redraw();
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => {
    if (state.info.volume && state.tool !== "brush") state.change({ large: state.large ? null : plane.axis });
  });
  canvas.addEventListener("wheel", wheelListener(plane, state), { passive: false });
  listenToTrackpad(plane);
}

/** Which drag a press begins. */
function dragOf(event, at, plane, state, boxTool) {
  const right = event.button === 2 || (event.button === 0 && event.ctrlKey);
  if (event.button === 1 || (panHeld && event.button === 0)) return panDrag(plane, at);
  if (right || state.tool === "window") return windowDrag(state, at);
  if (event.button !== 0) return {};
  if (state.tool === "brush") return strokeDrag(plane, state, at);
  return boxTool.begin(plane, at) ?? crossHairDrag(plane, state);
}

/** A drag that is a click unless the pointer moves far enough. */
function withClick(start, drag, click) {
  let moved = drag.atOnce ?? false;
  return {
    move(at, event) {
      moved ||= Math.hypot(at.x - start.x, at.y - start.y) >= CLICK;
      if (moved) drag.move?.(at, event);
    },
    end(at) {
      if (moved) drag.end?.();
      else click(at);
    },
    cancel: () => moved && drag.cancel?.(),
  };
}

/** A click puts the cross-hair there and selects the object under it. */
function clicked(plane, state, at) {
  const { h, v } = plane.toPlane(at),
    { frame } = plane;
  state.select(plane.objectAt(h, v) ?? objectOfBoxAt(plane, state, h, v));
  state.moveTo({ [frame.h]: h, [frame.v]: v });
}

/** An object without a mask is selected by its box. */
function objectOfBoxAt(plane, state, h, v) {
  const at = { ...state.index, [plane.frame.h]: h, [plane.frame.v]: v };
  const within = (box) =>
    [..."xyz"]
      .slice(0, box.length / 2)
      .every((axis, i, axes) => box[i] <= at[axis] && at[axis] < box[i + axes.length] + 1);
  const found = state.objects.find(
    (one) => one.status !== "ready" && one.marks.some((mark) => mark.kind === "box" && within(mark.box)),
  );
  return found?.id ?? null;
}

function crossHairDrag(plane, state) {
  const { frame } = plane;
  return {
    move(at) {
      const { h, v } = plane.toPlane(at),
        first = state.info.planes[0].name;
      state.moveTo({ [frame.h]: h, [frame.v]: v });
      state.tell(`New boxes are drawn on the ${first} plane; here a drag moves the cross-hair.`, {
        key: "plane",
        once: true,
      });
    },
  };
}

function panDrag(plane, start) {
  let last = start;
  return {
    atOnce: true,
    move(at) {
      plane.look(panned(plane.frame, plane.view, at.x - last.x, at.y - last.y));
      last = at;
    },
  };
}

function windowDrag(state, start) {
  const before = state.window;
  return {
    move: (at) =>
      state.change({ window: draggedWindow(before, at.x - start.x, at.y - start.y, state.info.pixel.dtype) }),
    cancel: () => state.change({ window: before }),
  };
}

/** A brush stroke: drawn here while the pointer is down, sent when it is released. */
function strokeDrag(plane, state, start) {
  const { sign, radius } = state.brush,
    { axis, index } = plane;
  if (sign === "-" && state.selected === null) {
    state.tell("Select the object to erase from: click on it, or press its number.", { key: "brush" });
    return {};
  }
  const pixels = Math.abs(placing(plane.frame, plane.view).factorH);
  const stroke = { axis, index, sign, radius: Math.min(radius / pixels, LARGEST_RADIUS), points: [] };
  let last = null;
  const add = (at) => {
    if (last && Math.hypot(at.x - last.x, at.y - last.y) < 1.5) return;
    last = at;
    const { h, v } = plane.toPlane(at),
      { countH, countV } = plane.frame;
    stroke.points.push([clamp(h, 0, countH), clamp(v, 0, countV)].map((value) => Math.round(value * 100) / 100));
    if (stroke.points.length >= MOST_POINTS)
      stroke.points = stroke.points.filter((_, i) => i % 2 === 0 || i === MOST_POINTS - 1);
    state.change({ stroke });
  };
  add(start);
  return {
    atOnce: true,
    move(at, event) {
      const between = event?.getCoalescedEvents?.() ?? [];
      for (const one of between.length ? between : [event]) add(plane.onCanvas(one));
    },
    async end() {
      const drop = () => state.stroke === stroke && state.change({ stroke: null });
      stroke.since = state.drawn.labels.version; // it is shown until a newer label map is
      if (
        await state.edit({
          do: "stroke",
          object: state.selected,
          axis,
          index,
          sign,
          points: stroke.points,
          radius: stroke.radius,
        })
      )
        setTimeout(drop, 4000);
      else drop();
    },
    cancel: () => state.change({ stroke: null }),
  };
}

/** Two fingers zoom and pan. */
function pinchDrag(plane, touches) {
  const measure = () => {
    const [a, b] = [...touches.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) || 1 };
  };
  let last = measure();
  return {
    move() {
      if (touches.size < 2) return;
      const now = measure();
      plane.look(panned(plane.frame, plane.view, now.x - last.x, now.y - last.y));
      plane.zoom(now.apart / last.apart, now);
      last = now;
    },
    end() {},
  };
}

function hover(plane, state, boxTool, at) {
  const { h, v } = plane.toPlane(at),
    { frame, canvas } = plane;
  const inside = h >= 0 && v >= 0 && h < frame.countH && v < frame.countV;
  const place = { ...state.index, [frame.h]: Math.floor(h), [frame.v]: Math.floor(v) };
  state.change({ pointer: inside ? { axis: plane.axis, at: place, value: plane.valueAt(h, v) } : null });
  plane.ring = state.tool === "brush" ? at : null;
  if (plane.ring) plane.redraw();
  if (running) return;
  const hot = state.tool === "box" ? (boxTool.hit(plane, at)?.mark ?? null) : null;
  if (hot !== null && hot !== plane.hot) {
    plane.hot = hot;
    plane.redraw();
  }
  const cursors = { brush: "none", window: "ns-resize" };
  canvas.style.cursor = panHeld ? "grab" : (cursors[state.tool] ?? boxTool.cursorAt(plane, at));
}

/** The wheel: slices of a volume; with ctrl, or on a picture, zoom around the pointer. */
function wheelListener(plane, state) {
  let gone = 0,
    last = 0;
  return (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 33 : event.deltaMode === 2 ? 400 : 1;
    const moved = (event.deltaY || event.deltaX) * lines;
    if (event.ctrlKey || event.metaKey || !state.info.volume) {
      plane.zoom(Math.exp(-clamp(moved, -120, 120) * (Math.abs(moved) < 30 ? 0.01 : 0.002)), plane.onCanvas(event));
      return;
    }
    if (event.timeStamp - last > 250 || Math.sign(moved) !== Math.sign(gone)) gone = 0;
    last = event.timeStamp;
    gone += moved;
    // A notch of a mouse's wheel is one slice; a trackpad's small movements add up.
    const steps =
      Math.abs(moved) >= 80
        ? Math.sign(moved) * Math.max(1, Math.floor(Math.abs(moved) / 120))
        : Math.trunc(gone / WHEEL_STEP);
    if (!steps) return;
    gone = 0;
    state.moveTo({ [plane.axis]: state.index[plane.axis] + steps });
  };
}

/** Safari tells of two fingers on a trackpad in events of its own. */
function listenToTrackpad(plane) {
  let scale = 1;
  plane.canvas.addEventListener("gesturestart", (event) => {
    event.preventDefault();
    scale = 1;
  });
  plane.canvas.addEventListener("gesturechange", (event) => {
    event.preventDefault();
    plane.zoom(event.scale / scale, plane.onCanvas(event));
    scale = event.scale;
  });
}
