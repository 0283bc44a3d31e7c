/**
 * Where voxels lie on the screen: flips, spacing, zoom, and boxes on planes. Pure functions.
 *
 * A position on a plane is (h, v) in voxels along its horizontal and vertical axis; voxel i covers i to i + 1.
 * A box is inclusive voxel corners: [x0, y0, x1, y1] or [x0, y0, z0, x1, y1, z1].
 */

/**
 * @typedef {object} Frame  A plane of a case.
 * @property {"x"|"y"|"z"} axis      the axis that the plane is across
 * @property {string} h              its horizontal axis
 * @property {string} v              its vertical axis
 * @property {number} countH         voxels along the horizontal axis
 * @property {number} countV         voxels along the vertical axis
 * @property {number} sizeH          size of a voxel along the horizontal axis, mm (1 where the spacing is unknown)
 * @property {number} sizeV          the same along the vertical axis
 * @property {boolean} flipH         voxel 0 lies right
 * @property {boolean} flipV         voxel 0 lies at the bottom
 *
 * @typedef {object} View  What of a plane a canvas shows.
 * @property {number} width          of the canvas, CSS pixels
 * @property {number} height         of the canvas, CSS pixels
 * @property {number} scale          CSS pixels a mm
 * @property {number} centreH        mm from the left edge of the plane, as shown, to the middle of the canvas
 * @property {number} centreV        mm from the top edge
 */

/** Describe one plane of a case. @returns {Frame} */
export function frameOf(info, plane) {
  const { horizontal: h, vertical: v } = plane;
  const spacing = info.spacing ?? { x: 1, y: 1, z: 1 };
  return {
    axis: plane.axis,
    h,
    v,
    countH: info.shape[h],
    countV: info.shape[v],
    sizeH: spacing[h] || 1,
    sizeV: spacing[v] || 1,
    flipH: plane.flip_horizontal,
    flipV: plane.flip_vertical,
  };
}

/** A view of the whole plane, with a margin in CSS pixels. @returns {View} */
export function fittingView(frame, width, height, margin = 0) {
  const across = frame.countH * frame.sizeH,
    down = frame.countV * frame.sizeV;
  const scale = Math.min(Math.max(width - 2 * margin, 16) / across, Math.max(height - 2 * margin, 16) / down);
  return { width, height, scale, centreH: across / 2, centreV: down / 2 };
}

/** Factors and offsets of screen = offset + factor * voxels, CSS pixels on the canvas. */
export function placing(frame, view) {
  const factorH = (frame.flipH ? -1 : 1) * frame.sizeH * view.scale;
  const factorV = (frame.flipV ? -1 : 1) * frame.sizeV * view.scale;
  const startH = frame.flipH ? frame.countH * frame.sizeH : 0,
    startV = frame.flipV ? frame.countV * frame.sizeV : 0;
  return {
    factorH,
    factorV,
    offsetH: view.width / 2 + (startH - view.centreH) * view.scale,
    offsetV: view.height / 2 + (startV - view.centreV) * view.scale,
  };
}

/** Position on the plane (voxels) to position on the canvas (CSS pixels). */
export function toScreen(frame, view, h, v) {
  const p = placing(frame, view);
  return { x: p.offsetH + p.factorH * h, y: p.offsetV + p.factorV * v };
}

/** Position on the canvas (CSS pixels) to position on the plane (voxels, with fractions, also outside of it). */
export function toPlane(frame, view, x, y) {
  const p = placing(frame, view);
  return { h: (x - p.offsetH) / p.factorH, v: (y - p.offsetV) / p.factorV };
}

/** The view after zooming by a factor around a position on the canvas: a quarter of the fit to 64 px a voxel. */
export function zoomed(frame, view, factor, x, y) {
  const least = fittingView(frame, view.width, view.height).scale / 4;
  const most = Math.max(64 / Math.min(frame.sizeH, frame.sizeV), least);
  const scale = Math.min(Math.max(view.scale * factor, least), most);
  const shift = 1 / view.scale - 1 / scale;
  return withinReach(frame, {
    ...view,
    scale,
    centreH: view.centreH + (x - view.width / 2) * shift,
    centreV: view.centreV + (y - view.height / 2) * shift,
  });
}

/** The view after moving the image by CSS pixels. */
export function panned(frame, view, dx, dy) {
  return withinReach(frame, {
    ...view,
    centreH: view.centreH - dx / view.scale,
    centreV: view.centreV - dy / view.scale,
  });
}

/** The view with a position of the plane in its middle. */
export function centred(frame, view, h, v) {
  const centreH = (frame.flipH ? frame.countH - h : h) * frame.sizeH;
  return { ...view, centreH, centreV: (frame.flipV ? frame.countV - v : v) * frame.sizeV };
}

/** Keep some of the image on the canvas. */
function withinReach(frame, view) {
  return {
    ...view,
    centreH: clamp(view.centreH, 0, frame.countH * frame.sizeH),
    centreV: clamp(view.centreV, 0, frame.countV * frame.sizeV),
  };
}

/** A number kept between two others. */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** First and last voxel of a box along an axis; [0, 0] along z of a picture's box. */
export function boxRange(box, axis) {
  const sides = box.length / 2,
    i = "xyz".indexOf(axis);
  return i < sides ? [box[i], box[i + sides]] : [0, 0];
}

/** A copy of a box with other ends along an axis, in either order, kept within 0 and count - 1. */
export function withRange(box, axis, a, b, count) {
  const sides = box.length / 2,
    i = "xyz".indexOf(axis),
    copy = [...box];
  const ends = [clamp(Math.round(a), 0, count - 1), clamp(Math.round(b), 0, count - 1)];
  copy[i] = Math.min(...ends);
  copy[i + sides] = Math.max(...ends);
  return copy;
}

/** Whether a slice of a plane goes through a box. */
export function boxMeets(box, axis, index) {
  const [low, high] = boxRange(box, axis);
  return low <= index && index <= high;
}

/** A box that is a single point has no mask: widen it by a voxel. */
export function notAPoint(box, frame) {
  const [low, high] = boxRange(box, "x"),
    [lowY, highY] = boxRange(box, "y");
  if (low < high || lowY < highY) return box;
  const axis = frame.axis === "x" ? "y" : "x",
    count = frame.h === axis ? frame.countH : frame.countV;
  const at = boxRange(box, axis)[0];
  return at + 1 < count ? withRange(box, axis, at, at + 1, count) : withRange(box, axis, at - 1, at, count);
}

/** Edges of a box on the canvas, CSS pixels. */
export function boxOnScreen(frame, view, box) {
  const [h0, h1] = boxRange(box, frame.h),
    [v0, v1] = boxRange(box, frame.v);
  const a = toScreen(frame, view, h0, v0),
    b = toScreen(frame, view, h1 + 1, v1 + 1);
  return { left: Math.min(a.x, b.x), right: Math.max(a.x, b.x), top: Math.min(a.y, b.y), bottom: Math.max(a.y, b.y) };
}

/**
 * The eight handles of a box on the canvas. They are kept apart where the box is small.
 * right, down: -1, 0 or 1, which edges the handle moves, as shown on the screen.
 */
export function handlesOf(rect, apart = 30) {
  const moreH = Math.max(0, apart - (rect.right - rect.left)) / 2,
    moreV = Math.max(0, apart - (rect.bottom - rect.top)) / 2;
  const xs = [rect.left - moreH, (rect.left + rect.right) / 2, rect.right + moreH];
  const ys = [rect.top - moreV, (rect.top + rect.bottom) / 2, rect.bottom + moreV];
  const handles = [];
  for (const right of [-1, 0, 1]) {
    for (const down of [-1, 0, 1]) if (right || down) handles.push({ right, down, x: xs[right + 1], y: ys[down + 1] });
  }
  return handles;
}

/** Length of a scale bar: 1, 2 or 5 times a power of ten, the longest that is at most `most` CSS pixels. */
export function scaleBar(pixelsPerUnit, most) {
  const longest = most / pixelsPerUnit,
    power = 10 ** Math.floor(Math.log10(longest));
  const length = [5, 2, 1].map((n) => n * power).find((n) => n <= longest) ?? power;
  return { length, pixels: length * pixelsPerUnit };
}
