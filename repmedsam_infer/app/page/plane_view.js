/** One plane on the screen: fetches its slices and label maps, and draws them with masks, boxes and cross-hair. */

import { element, setText } from "./dialogs.js";
import * as geometry from "./geometry.js";
import { Marks, outlinesOf } from "./masks.js";
import { getLabels, getSlice, newestOnly } from "./server.js";
import { arrayOf, imageOf, shortNumber } from "./windowing.js";

const MARGIN = 18; // around the whole image, CSS pixels
const SLICES_AHEAD = 3;

export class PlaneView {
  /**
   * @param {import("./case_state.js").CaseState} state
   * @param {object} plane as the case describes it
   * @param {{canvas: HTMLCanvasElement, note: HTMLElement}} figure
   * @param {import("./server.js").Cache} cache of slices
   */
  constructor(state, plane, { canvas, note }, cache) {
    Object.assign(this, { state, plane, canvas, note, cache, info: state.info, frame: state.frames[plane.axis] });
    this.axis = plane.axis;
    const reduced = this.info.reduced || 1;
    this.reduced = reduced;
    this.columns = Math.ceil(this.frame.countH / reduced);
    this.rows = Math.ceil(this.frame.countV / reduced);
    this.view = { width: 0, height: 0, scale: 1, centreH: 0, centreV: 0 };
    this.fitted = true; // until the user zooms or pans
    this.hot = null; // id of the box whose handles the pointer is at
    this.ring = null; // where the brush is shown, CSS pixels
    this.image = null; // {index, values}
    this.labels = null; // {index, version, values, outlines}
    this.failed = null; // {index, until}: a slice that could not be had is not asked for again at once
    this.base = document.createElement("canvas"); // the image as scaled to the screen
    this.pixels = document.createElement("canvas"); // the image, a pixel each
    this.loadImage = newestOnly((index) => this.fetchImage(index));
    this.loadLabels = newestOnly((index, version) => this.fetchLabels(index, version));
    canvas.voxelToPage = (h, v) => this.voxelToPage(h, v);
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(canvas);
  }

  close() {
    this.resizing.disconnect();
    this.closed = true;
  }

  get index() {
    return this.info.volume ? this.state.index[this.axis] : 0;
  }

  /** Middle of a voxel (whole numbers along the plane's axes) in CSS pixels of the window. */
  voxelToPage(h, v) {
    const at = geometry.toScreen(this.frame, this.view, h + 0.5, v + 0.5),
      rect = this.canvas.getBoundingClientRect();
    return { x: rect.left + at.x, y: rect.top + at.y };
  }

  /** Position of the pointer on the canvas, in CSS pixels. */
  onCanvas(event) {
    const rect = this.canvas.getBoundingClientRect();
    return { x: event.clientX - rect.left, y: event.clientY - rect.top };
  }

  /** Position on the canvas to position on the plane, voxels. */
  toPlane({ x, y }) {
    return geometry.toPlane(this.frame, this.view, x, y);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.ratio = window.devicePixelRatio || 1;
    this.unit = parseFloat(getComputedStyle(this.canvas).fontSize) / 14 || 1; // marks grow with the text
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    this.view = this.fitted ? geometry.fittingView(this.frame, width, height, MARGIN) : { ...this.view, width, height };
    this.draw();
  }

  /** Shows another part of the plane. */
  look(view) {
    this.view = view;
    this.fitted = false;
    this.redraw();
  }

  fit() {
    this.fitted = true;
    this.resize();
  }

  zoom(factor, at = { x: this.view.width / 2, y: this.view.height / 2 }) {
    this.look(geometry.zoomed(this.frame, this.view, factor, at.x, at.y));
  }

  /** Fetches what is to be shown and not here yet, and draws in the next frame. */
  update() {
    const { index, state } = this,
      version = state.drawn.labels.version;
    if (this.failed?.index === index && performance.now() < this.failed.until) return;
    if (this.labels) this.state.settle(this.axis, this.labels.version);
    if (this.image?.index !== index) this.loadImage(index);
    if (this.labels?.index !== index || this.labels.version !== version) this.loadLabels(index, version);
    this.redraw();
  }

  redraw() {
    if (this.waiting || this.closed) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (!this.closed) this.draw();
    });
  }

  async fetchImage(index) {
    const values = await this.slice(index);
    if (!values) return;
    this.image = { index, values };
    this.redraw();
    for (let step = 1; step <= SLICES_AHEAD && this.info.volume; step++) {
      for (const near of [index + step, index - step]) {
        if (this.index !== index || this.closed) return;
        if (near >= 0 && near < this.info.shape[this.axis]) await this.slice(near);
      }
    }
  }

  async slice(index) {
    const key = `${this.info.id}/${this.axis}/${index}`;
    try {
      const bytes = await this.cache.get(key, () => getSlice(this.info.id, this.axis, index));
      this.say(null, "");
      return arrayOf(bytes, this.info.pixel.dtype);
    } catch (error) {
      this.say(index, `Slice ${index} is not shown: ${error.message}`);
      return null;
    }
  }

  /** Says on the plane why a slice is not shown. */
  say(index, text) {
    this.failed = index === null ? null : { index, until: performance.now() + 3000 };
    setText(this.note, text);
    if (this.failed) setTimeout(() => !this.closed && this.update(), 3100);
  }

  async fetchLabels(index, version) {
    try {
      const bytes = await getLabels(this.info.id, this.axis, index, version);
      const values = arrayOf(bytes, this.state.drawn.labels.dtype);
      if (this.closed || values.length !== this.columns * this.rows) return;
      this.labels = { index, version, values, outlines: outlinesOf(values, this.columns, this.rows) };
      this.state.settle(this.axis, version);
      this.redraw();
    } catch (error) {
      if (error.status) this.state.tell(error.message, { kind: "error", key: "labels" });
    }
  }

  /** Where in the arrays of a slice a position of the plane lies; -1 outside. */
  pixelAt(h, v) {
    const column = Math.floor(h / this.reduced),
      row = Math.floor(v / this.reduced);
    const inside = column >= 0 && row >= 0 && column < this.columns && row < this.rows;
    return inside ? row * this.columns + column : -1;
  }

  /** The value under a position of the plane as text; "" outside. */
  valueAt(h, v) {
    const pixel = this.pixelAt(h, v);
    if (!this.image || pixel < 0) return "";
    const { channels } = this.info.pixel,
      at = pixel * channels,
      { values } = this.image;
    if (channels === 3) return `red ${values[at]}, green ${values[at + 1]}, blue ${values[at + 2]}`;
    return `${shortNumber(values[at])}${this.info.unit ? ` ${this.info.unit}` : ""}`;
  }

  /** Id of the object whose mask lies at a position of the plane, or null. */
  objectAt(h, v) {
    const pixel = this.pixelAt(h, v);
    if (!this.labels || pixel < 0) return null;
    const label = this.labels.values[pixel];
    return this.state.objects.find((one) => one.label === label && !this.state.hidden.has(one.id))?.id ?? null;
  }

  draw() {
    const { canvas, ratio, state } = this,
      context = canvas.getContext("2d");
    if (!ratio) return;
    this.drawBase();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height); // the image does not cover all of it
    context.drawImage(this.base, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.lineJoin = "round";
    const marks = new Marks(context, this);
    if (this.info.volume) marks.crossHair();
    if (!state.masksHidden) {
      marks.masks();
      marks.boxes();
    }
    marks.brush();
    marks.scale();
    canvas.dataset.shown = this.image?.index ?? "";
    canvas.dataset.labels = this.labels?.version ?? "";
  }

  /** Draws the image as it is scaled, unless that is as it was. */
  drawBase() {
    const { base, canvas, image, view, frame, ratio, reduced } = this,
      { level, width } = this.state.window;
    const grey = image && `${image.index} ${level} ${width}`;
    const key = [grey, canvas.width, canvas.height, view.scale, view.centreH, view.centreV].join(" ");
    if (key === this.drawnBase) return;
    this.drawnBase = key;
    base.width = canvas.width;
    base.height = canvas.height;
    if (!image) return;
    if (grey !== this.drawnGrey) {
      this.drawnGrey = grey;
      this.pixels.width = this.columns;
      this.pixels.height = this.rows;
      const drawn = imageOf(image.values, this.columns, this.rows, this.info.pixel, this.state.window);
      this.pixels.getContext("2d").putImageData(drawn, 0, 0);
    }
    const context = base.getContext("2d"),
      p = geometry.placing(frame, view);
    const pixel = reduced * ratio;
    const size = Math.min(Math.abs(p.factorH), Math.abs(p.factorV)) * pixel;
    context.imageSmoothingEnabled = size < 5; // above, single pixels are what one wants to see
    context.imageSmoothingQuality = "high";
    context.setTransform(p.factorH * pixel, 0, 0, p.factorV * pixel, p.offsetH * ratio, p.offsetV * ratio);
    context.drawImage(this.pixels, 0, 0);
  }
}

/** The figure of a plane: name, slider of slices, canvas, orientation letters, help line. */
export function makeFigure(plane, state) {
  const { volume, shape } = state.info,
    { axis, letters } = plane;
  const canvas = element("canvas", { tabindex: "0", role: "application", data: { plane: axis } });
  const slice = element("output", { class: "slice", data: { slice: axis } });
  const slider = element("input", {
    type: "range",
    min: "0",
    max: String((shape[axis] ?? 1) - 1),
    "aria-label": `Slice of the ${plane.name} plane`,
    data: { slider: axis },
  });
  slider.addEventListener("input", () => state.moveTo({ [axis]: Number(slider.value) }));
  const large = element("button", { type: "button", class: "quiet", data: { large: axis } });
  large.addEventListener("click", () => state.change({ large: state.large ? null : axis }));
  const title = element("h3", { text: plane.name });
  const bar = element("div", { class: "plane-bar", hidden: !volume }, title, slider, slice, large);
  const marks = Object.entries(letters ?? {}).map(([side, text]) => element("span", { class: `letter ${side}`, text }));
  const help = element("p", { class: "help-line" }),
    note = element("p", { class: "plane-note", role: "status" });
  const work = element("div", { class: "work", hidden: true });
  const body = element("div", { class: "plane-body" }, canvas, ...marks, help, note, work);
  const root = element("figure", { class: "plane", data: { axis } }, bar, body);
  canvas.addEventListener("focus", () => state.change({ active: axis }));
  return { root, axis, plane, canvas, slice, slider, large, help, note, work };
}

/** Shows the state on a figure. @param {string} help the line of help on the first plane */
export function updateFigure(figure, state, help) {
  const { axis, canvas, root } = figure,
    { info, index } = state,
    last = (info.shape[axis] ?? 1) - 1;
  const hidden = state.large !== null && state.large !== axis,
    first = axis === info.planes[0].axis;
  root.hidden = hidden;
  root.parentElement?.classList.toggle("alone", state.large !== null);
  root.classList.toggle("active", info.volume && state.active === axis);
  figure.slider.value = String(index[axis]);
  setText(figure.slice, `${axis} ${index[axis]} / ${last}`);
  setText(figure.large, state.large ? "⤡" : "⤢");
  figure.large.setAttribute("aria-label", state.large ? "Show all planes" : `Show only the ${figure.plane.name} plane`);
  figure.large.title = state.large ? "All planes (F, or double click)" : "This plane alone (F, or double click)";
  const place = `${figure.plane.name} plane, slice ${index[axis]} of 0 to ${last}`;
  canvas.setAttribute("aria-label", info.volume ? place : `Picture ${info.name}`);
  const line = first || (state.draft?.byKeys && state.active === axis) ? help : "";
  setText(figure.help, line);
  figure.help.hidden = !line;
  figure.work.hidden = !(first && (state.previewing || state.drawn.work));
  const { work } = state.drawn;
  figure.work.classList.toggle("unknown", !work?.total);
  figure.work.style.setProperty("--done", work?.total ? String(work.done / work.total) : "1");
}
