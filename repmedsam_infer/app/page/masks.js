/** What is drawn over the image of a plane: masks, boxes with handles, cross-hair, brush, scale bar. */

import * as geometry from "./geometry.js";

const HALO = "rgba(0, 0, 0, 0.65)",
  CROSS = "rgba(150, 215, 220, 0.55)";

/** What is drawn over the image, in CSS pixels of the canvas. */
export class Marks {
  constructor(context, plane) {
    Object.assign(this, { context, plane, state: plane.state, frame: plane.frame, view: plane.view, unit: plane.unit });
  }

  /** Lines with a dark halo, so that they are seen on bright images too. */
  line(path, colour, width, dash = []) {
    const { context, unit } = this;
    context.setLineDash(dash.map((length) => length * unit));
    context.strokeStyle = HALO;
    context.lineWidth = (width + 1.75) * unit;
    context.stroke(path);
    context.strokeStyle = colour;
    context.lineWidth = width * unit;
    context.stroke(path);
    context.setLineDash([]);
  }

  text(words, x, y, colour, align = "center") {
    const { context } = this;
    context.font = `600 ${13 * this.unit}px system-ui, sans-serif`;
    context.textAlign = align;
    context.strokeStyle = HALO;
    context.lineWidth = 3.5 * this.unit;
    context.strokeText(words, x, y);
    context.fillStyle = colour;
    context.fillText(words, x, y);
  }

  /** A path in array pixels, whose first lies at voxel (h, v), as a path on the canvas. */
  onScreen(path, size, h = 0, v = 0) {
    const p = geometry.placing(this.frame, this.view),
      placed = new Path2D();
    const start = geometry.toScreen(this.frame, this.view, h, v);
    placed.addPath(path, new DOMMatrix([p.factorH * size, 0, 0, p.factorV * size, start.x, start.y]));
    return placed;
  }

  mask(path, colour, { selected = false, doubtful = false, sign = "+" } = {}) {
    const { context } = this;
    context.globalAlpha = sign === "-" ? 0.1 : selected ? 0.26 : 0.18;
    context.fillStyle = colour;
    context.fill(path);
    context.globalAlpha = 1;
    this.line(path, colour, selected ? 2.25 : 1.5, doubtful ? [7, 5] : sign === "-" ? [2, 4] : []);
  }

  masks() {
    const { plane, state } = this,
      { labels, image, reduced } = plane,
      { preview } = state;
    const live = preview && plane.axis === "z" && plane.index === preview.index ? preview : null;
    if (labels && labels.index === image?.index) {
      for (const one of state.objects) {
        const outline = labels.outlines.get(one.label);
        const replaced = live?.kind === "set" && live.object === one.id && one.marks.length === 1;
        if (!outline || state.hidden.has(one.id) || replaced) continue;
        const selected = one.id === state.selected,
          colour = colourOf(one.label);
        this.mask(this.onScreen(outline.path, reduced), colour, { selected, doubtful: one.doubtful });
        const at = geometry.toScreen(this.frame, this.view, outline.x * reduced, outline.y * reduced);
        this.text(String(one.label), at.x, at.y + (this.frame.flipV ? 15 : -5), colour);
      }
    }
    if (!live) return;
    live.path ??= outlinesOf(live.mask, live.width, live.height).get(1)?.path;
    const label = state.objects.find((one) => one.id === live.object)?.label ?? state.objects.length + 1;
    if (live.path)
      this.mask(this.onScreen(live.path, 1, live.x, live.y), colourOf(label), { selected: true, sign: live.sign });
  }

  boxes() {
    const { state, plane } = this,
      { draft } = state;
    for (const one of state.objects) {
      const selected = one.id === state.selected;
      // Handles of one box at a time: of several they could not be told apart.
      const shown = one.marks.filter(
        (mark) => mark.kind === "box" && geometry.boxMeets(mark.box, plane.axis, plane.index),
      );
      const held = shown.some((mark) => mark.id === plane.hot) ? plane.hot : shown.at(-1)?.id;
      if (!selected && (one.status === "ready" || state.hidden.has(one.id))) continue;
      for (const mark of one.marks) {
        const moved = draft?.kind === "set" && draft.object === one.id && draft.mark === mark.id;
        if (mark.kind !== "box" || moved) continue;
        if (mark.found && selected && geometry.boxMeets(mark.found, plane.axis, plane.index)) {
          this.box(mark.found, colourOf(one.label), { dash: [1, 4] });
        }
        const dash = mark.sign === "-" ? [3, 4] : [];
        if (geometry.boxMeets(mark.box, plane.axis, plane.index)) {
          this.box(mark.box, colourOf(one.label), {
            dash,
            handles: selected && !draft && mark.id === held,
            sign: one.marks.length > 1 ? mark.sign : "",
          });
        }
      }
    }
    if (!draft || !geometry.boxMeets(draft.box, plane.axis, plane.index)) return;
    const label = state.objects.find((one) => one.id === draft.object)?.label ?? state.objects.length + 1;
    this.box(draft.box, colourOf(label), {
      dash: draft.sign === "-" ? [3, 4] : [],
      handles: true,
      sign: draft.kind === "add" ? draft.sign : "",
    });
  }

  box(box, colour, { dash, handles = false, sign = "" }) {
    const rect = geometry.boxOnScreen(this.frame, this.view, box),
      path = new Path2D();
    path.rect(rect.left, rect.top, rect.right - rect.left, rect.bottom - rect.top);
    this.line(path, colour, handles ? 1.5 : 1, dash);
    if (sign) this.text(sign === "-" ? "−" : "+", rect.left + 9, rect.bottom - 6, colour);
    if (!handles) return;
    const { context } = this,
      half = 3.5 * this.unit,
      rim = half + 1.5;
    for (const { x, y } of geometry.handlesOf(rect)) {
      context.fillStyle = HALO;
      context.fillRect(x - rim, y - rim, 2 * rim, 2 * rim);
      context.fillStyle = "#fff";
      context.fillRect(x - half, y - half, 2 * half, 2 * half);
    }
  }

  crossHair() {
    const { state, frame, view, context } = this,
      gap = 16;
    const { x, y } = geometry.toScreen(frame, view, state.index[frame.h] + 0.5, state.index[frame.v] + 0.5);
    const begin = geometry.toScreen(frame, view, 0, 0),
      end = geometry.toScreen(frame, view, frame.countH, frame.countV);
    const [left, right] = [begin.x, end.x].sort((a, b) => a - b),
      [top, bottom] = [begin.y, end.y].sort((a, b) => a - b);
    const lines = [
      [left, y, x - gap, y],
      [x + gap, y, right, y],
      [x, top, x, y - gap],
      [x, y + gap, x, bottom],
    ];
    context.strokeStyle = CROSS;
    context.lineWidth = 1;
    for (const [x0, y0, x1, y1] of lines) {
      if (x1 <= x0 && y1 <= y0) continue;
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.stroke();
    }
  }

  /** The stroke being drawn, and the ring of the brush. */
  brush() {
    const { state, plane, frame, view, context } = this,
      { stroke, brush } = state;
    const pixels = Math.abs(geometry.placing(frame, view).factorH);
    if (stroke?.axis === plane.axis && stroke.index === plane.index) {
      const label = state.selectedObject?.label ?? state.objects.length + 1;
      const path = new Path2D(),
        points = stroke.points.map(([h, v]) => geometry.toScreen(frame, view, h, v));
      for (const { x, y } of [points[0], ...points]) path.lineTo(x, y);
      context.lineCap = "round";
      context.globalAlpha = 0.45;
      context.lineWidth = 2 * stroke.radius * pixels;
      context.strokeStyle = stroke.sign === "+" ? colourOf(label) : "#000";
      context.stroke(path);
      context.globalAlpha = 1;
      context.lineCap = "butt";
    }
    if (!this.plane.ring || state.tool !== "brush") return;
    const ring = new Path2D();
    ring.arc(plane.ring.x, plane.ring.y, brush.radius, 0, 2 * Math.PI);
    this.line(ring, "#fff", 1.25, brush.sign === "-" ? [4, 4] : []);
    this.text(brush.sign === "-" ? "−" : "+", plane.ring.x, plane.ring.y + 5, "#fff");
  }

  scale() {
    const { view, plane } = this,
      known = plane.info.spacing !== null;
    const unit = known ? view.scale : view.scale * this.frame.sizeH;
    const { length, pixels } = geometry.scaleBar(unit, Math.min(140, view.width / 5));
    const left = 12,
      y = view.height - 14,
      path = new Path2D();
    path.moveTo(left, y - 5);
    path.lineTo(left, y);
    path.lineTo(left + pixels, y);
    path.lineTo(left + pixels, y - 5);
    this.line(path, "#fff", 1.5);
    const micrometres = `${Number((length * 1000).toPrecision(3))} µm`;
    const words = !known ? `${length} px` : length >= 1 ? `${length} mm` : micrometres;
    // On a small plane it goes above the bar, off the letter in the middle.
    const beside = left + pixels + 80 * this.unit < view.width / 2;
    this.text(words, beside ? left + pixels + 8 : left, beside ? y : y - 9, "#fff", "left");
  }
}

/**
 * Outlines along pixel edges of all labels of a slice.
 * @returns {Map<number, {path: Path2D, x: number, y: number}>} by label: closed lines in array pixels (columns, rows;
 *   holes run the other way round), and the middle of the uppermost edge, where a number can be put
 */
export function outlinesOf(labels, columns, rows) {
  const found = new Map(),
    seen = new Uint8Array(columns * rows);
  for (let y = 0, at = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, at++) {
      const label = labels[at];
      if (!label || seen[at] || (y > 0 && labels[at - columns] === label)) continue;
      let one = found.get(label);
      if (!one) {
        let end = x;
        while (end + 1 < columns && labels[at + end + 1 - x] === label) end++;
        found.set(label, (one = { path: new Path2D(), x: (x + end + 1) / 2, y }));
      }
      trace(labels, columns, rows, label, x, y, seen, one.path);
    }
  }
  return found;
}

/** Steps right, down, left, up; and the pixels ahead of a corner, right and left of the direction. */
const STEP = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
];
const RIGHT = [
  [0, 0],
  [-1, 0],
  [-1, -1],
  [0, -1],
];
const LEFT = [
  [0, -1],
  [0, 0],
  [-1, 0],
  [-1, -1],
];

/** Follow the edge of a label, which lies right of it, from the upper left corner of a pixel back to there. */
function trace(labels, columns, rows, label, startX, startY, seen, path) {
  const inside = (x, y) => x >= 0 && y >= 0 && x < columns && y < rows && labels[y * columns + x] === label;
  let x = startX,
    y = startY,
    way = 0;
  path.moveTo(x, y);
  do {
    if (way === 0) seen[y * columns + x] = 1;
    x += STEP[way][0];
    y += STEP[way][1];
    const before = way;
    if (!inside(x + RIGHT[way][0], y + RIGHT[way][1])) way = (way + 1) % 4;
    else if (inside(x + LEFT[way][0], y + LEFT[way][1])) way = (way + 3) % 4;
    if (way !== before) path.lineTo(x, y);
  } while (x !== startX || y !== startY || way !== 0);
  path.closePath();
}

/** Colours of objects by label, told apart also with the common kinds of colour blindness. */
const COLOURS = [
  "#5cc8cf",
  "#f2a541",
  "#e86fa8",
  "#9be564",
  "#a78bfa",
  "#ff7b62",
  "#6aa8ff",
  "#f4e05a",
  "#c9a08a",
  "#d7dde4",
];

/** Colour of an object. */
export function colourOf(label) {
  return COLOURS[(Math.max(label, 1) - 1) % COLOURS.length];
}
