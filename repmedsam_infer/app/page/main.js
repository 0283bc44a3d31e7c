/** Starts the page and joins its parts: planes, top bar, status line, keys. */

import { BoxTool } from "./box_tool.js";
import { CaseState } from "./case_state.js";
import { Cases } from "./cases_list.js";
import { byId, listenToKeys, setText, showKeys, tell, untell } from "./dialogs.js";
import { cancelDrag, holdPan, listenToPointer } from "./gestures.js";
import { ObjectsList } from "./objects_list.js";
import { panned } from "./geometry.js";
import { PlaneView, makeFigure, updateFigure } from "./plane_view.js";
import { Cache, postLook } from "./server.js";
import { fillPresets, listenToPresets, nextPreset, shortNumber, showPreset, windowText } from "./windowing.js";

const state = new CaseState(tell),
  boxTool = new BoxTool(state),
  cases = new Cases(state),
  cache = new Cache();
const planes = {}; // views by axis
let figures = [],
  shownCase = null,
  lookLater = 0;

const activePlane = () => planes[state.active] ?? Object.values(planes)[0];
const focusImage = () => activePlane()?.canvas.focus({ preventScroll: true });
new ObjectsList(state, boxTool, focusImage);

function buildPlanes() {
  for (const [axis, plane] of Object.entries(planes)) {
    plane.close();
    delete planes[axis];
  }
  figures = state.info.planes.map((plane) => {
    const figure = makeFigure(plane, state);
    planes[plane.axis] = new PlaneView(state, plane, figure, cache);
    listenToPointer(planes[plane.axis], state, boxTool);
    return figure;
  });
  byId("planes").replaceChildren(...figures.map((figure) => figure.root));
  byId("planes").className = state.info.volume ? "volume" : "picture";
  shownCase = state.info.id;
  const { warnings = [] } = state.info,
    list = byId("warnings");
  list.hidden = !warnings.length;
  list.replaceChildren(...warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  fillPresets(state.info);
  focusImage();
}

function render(changed) {
  if (!state.info) return;
  if (changed.has("info") && shownCase !== state.info.id) buildPlanes();
  const arrow = state.info.volume && (changed.has("index") || changed.has("info"));
  if (arrow) {
    clearTimeout(lookLater);
    lookLater = setTimeout(() => postLook(state.info.id, state.index.z), 120);
  }
  if (changed.size > 1 || !changed.has("pointer")) {
    for (const figure of figures) updateFigure(figure, state, boxTool.helpLine());
    for (const plane of Object.values(planes)) plane.update();
    renderTop();
  }
  renderStatus();
}

function renderTop() {
  const { info, drawn } = state;
  setText(byId("case-name"), info.name);
  byId("case-name").title = info.name;
  document.title = `${info.name} · RepMedSAM`;
  byId("undo").disabled = !drawn.can_undo;
  byId("redo").disabled = !drawn.can_redo;
  byId("save").disabled = byId("save-more").disabled = false;
  for (const button of byId("tools").children) {
    const on = button.dataset.tool === state.tool && (!button.dataset.sign || button.dataset.sign === state.brush.sign);
    button.setAttribute("aria-pressed", String(on));
  }
  byId("brush-size").hidden = state.tool !== "brush";
  byId("brush-radius").value = state.brush.radius;
  const plane = activePlane(),
    mm = state.brush.radius / plane.view.scale;
  setText(
    byId("brush-radius-text"),
    info.spacing ? `${shortNumber(Number(mm.toFixed(1)))} mm` : `${Math.round(mm)} px`,
  );
  showPreset(state);
}

function renderStatus() {
  const { info, drawn, pointer, index } = state,
    at = pointer?.at ?? index;
  setText(byId("status-place"), `x ${at.x}  y ${at.y}${info.volume ? `  z ${at.z}` : ""}`);
  setText(byId("status-value"), pointer?.value ?? "");
  const axes = info.volume ? ["x", "y", "z"] : ["x", "y"];
  setText(
    byId("status-spacing"),
    info.spacing
      ? `${axes.map((axis) => shortNumber(info.spacing[axis])).join(" × ")} mm`
      : `${axes.map((axis) => info.shape[axis]).join(" × ")} pixels, size unknown`,
  );
  setText(byId("status-window"), windowText(state.window, info.unit));
  const { work } = drawn;
  byId("work-bar").hidden = !work;
  if (work?.total) byId("work-bar").value = work.done / work.total;
  setText(
    byId("work-text"),
    !state.connected
      ? "⚠ no connection to RepMedSAM, trying again"
      : work
        ? `${work.text} ${work.total ? `${work.done} / ${work.total}` : ""}`
        : state.pending
          ? "sending"
          : "",
  );
  setText(byId("status-kept"), drawn.kept_at ? `kept ${drawn.kept_at}` : "");
  const { saved } = drawn,
    changes = saved && saved.version !== drawn.version;
  setText(
    byId("status-saved"),
    saved ? `${changes ? "changed since saved" : "saved"} ${saved.at}` : state.objects.length ? "not saved" : "",
  );
  byId("status-saved").title = saved ? saved.name : "";
}

/** Escape takes back the nearest thing: a drag, a box, a chosen sign, the large plane, the selection. */
function escape() {
  if (cancelDrag()) return;
  if (state.draft && !state.draft.sent) boxTool.cancel();
  else if (state.boxSign || state.armed) state.change({ boxSign: null, armed: false });
  else if (state.tool !== "box") state.change({ tool: "box" });
  else if (state.large) state.change({ large: null });
  else state.change({ selected: null });
}

function enter() {
  const plane = activePlane();
  if (!plane) return;
  if (state.draft?.byKeys) boxTool.accept();
  else boxTool.beginByKeys(plane, state.armed || state.selected === null);
}

function arrows(name) {
  const plane = activePlane(),
    key = name.replace(/^.*\+/, ""),
    shift = name.startsWith("Shift+");
  const right = { ArrowRight: 1, ArrowLeft: -1 }[key] ?? 0,
    down = { ArrowDown: 1, ArrowUp: -1 }[key] ?? 0;
  if (!plane) return false;
  if (state.draft?.byKeys) boxTool.nudge(plane, right, down, shift);
  else if (shift) plane.look(panned(plane.frame, plane.view, -40 * right, -40 * down));
  else scroll(right + down);
  return true;
}

function scroll(steps) {
  if (state.info?.volume) state.moveTo({ [state.active]: state.index[state.active] + steps });
}

function moveCrossHair(name) {
  const { frame } = activePlane(),
    step = { Right: [1, 0], Left: [-1, 0], Down: [0, 1], Up: [0, -1] }[name.replace(/^.*Arrow/, "")];
  const by = (steps, flip, count) => steps * (flip ? -1 : 1) * Math.max(1, Math.round(count / 200));
  state.moveTo({
    [frame.h]: state.index[frame.h] + by(step[0], frame.flipH, frame.countH),
    [frame.v]: state.index[frame.v] + by(step[1], frame.flipV, frame.countV),
  });
}

const chooseTool = (tool, sign) =>
  state.change({ tool, boxSign: null, ...(sign && { brush: { ...state.brush, sign } }) });
const edit = (what) => state.info && state.edit(what);
const onSelected = (run) => () => state.selected !== null && run(state.selected);
const setRadius = (radius) => state.change({ brush: { ...state.brush, radius: Math.min(Math.max(radius, 2), 80) } });

function newBox() {
  state.change({ tool: "box", boxSign: null, selected: null, armed: true });
  focusImage();
}

function beginNaming() {
  if (state.selected !== null) state.change({ naming: state.selected });
}

function chooseNth(name) {
  const one = state.objects[name - 1];
  if (one) state.select(one.id, true);
}

const showLarge = () => state.info.volume && state.change({ large: state.large ? null : state.active });
const fitAll = () => Object.values(planes).forEach((plane) => plane.fit());
const moveEnd = (name, lower) => boxTool.moveEnd(activePlane(), "]}".includes(name) ? 1 : -1, lower);
const arrowKeys = (prefix) => ["Left", "Right", "Up", "Down"].map((way) => `${prefix}Arrow${way}`).join(" ");
const hideMasks = (hidden) => () => state.change({ masksHidden: hidden });

// What the sheet of keys shows, the keys, what they do, what happens on release.
const KEYS = {
  Boxes: [
    ["B", "B", "new box", newBox],
    ["Enter", "Enter", "a box at the cross-hair, or change the selected one; again: accept", enter],
    [
      "Arrows | Shift+Arrows",
      `${arrowKeys("")} ${arrowKeys("Shift+")}`,
      "move, resize that box; else slices, pan",
      arrows,
    ],
    ["Esc", "Escape", "take back a drag, a box, a choice", escape],
    ["[ | ]", "[ ]", "upper z end of the box down, up", (name) => moveEnd(name, false)],
    ["Shift+[ | Shift+]", "{ }", "lower z end of the box down, up", (name) => moveEnd(name, true)],
    ["E", "E", "extend a box on one slice through the volume", () => boxTool.follow()],
    ["+ | -", "+ = -", "add or subtract the next box", (name) => state.chooseSign(name === "-" ? "-" : "+")],
  ],
  Objects: [
    ["1 … 9", "1 2 3 4 5 6 7 8 9", "select an object", chooseNth],
    ["R", "R F2", "rename", beginNaming],
    ["V", "V", "show or hide the selected one", onSelected((id) => state.toggleVisible(id))],
    [
      "Delete",
      "Delete Backspace",
      "delete the selected one",
      onSelected((id) => edit({ do: "remove_object", object: id })),
    ],
    ["H", "H", "hide all masks while held", hideMasks(true), hideMasks(false)],
    ["Z", "Z Mod+Z", "undo", () => edit({ do: "undo" })],
    ["Shift+Z", "Shift+Z Mod+Shift+Z Mod+Y", "redo", () => edit({ do: "redo" })],
    ["S", "S Mod+S", "save beside the input", () => cases.save()],
    ["Shift+S", "Shift+S", "formats and downloads", () => cases.showFormats()],
  ],
  Brush: [
    ["P", "P", "brush", () => chooseTool("brush", "+")],
    ["X", "X", "eraser", () => chooseTool("brush", "-")],
    [", | .", ", .", "smaller, larger", (name) => setRadius(state.brush.radius * (name === "." ? 1.2 : 1 / 1.2))],
  ],
  View: [
    ["PgUp | PgDn", "PageUp PageDown", "ten slices back, on", (name) => scroll(name === "PageDown" ? 10 : -10)],
    ["Home | End", "Home End", "first, last slice", (name) => scroll(name === "End" ? 1e6 : -1e6)],
    ["W", "W", "next window preset", () => nextPreset(state)],
    ["L", "L", "contrast: drag sets the window", () => chooseTool(state.tool === "window" ? "box" : "window")],
    ["I | O", "I O", "zoom in, out", (name) => activePlane().zoom(name === "I" ? 1.25 : 0.8)],
    ["0", "0", "whole image", fitAll],
    ["F", "F", "one plane alone, or all", showLarge],
    ["Alt+Arrows", arrowKeys("Alt+"), "move the cross-hair", moveCrossHair],
    ["Space", "Space", "held: drag pans", () => holdPan(true), () => holdPan(false)],
    ["N | Shift+N", "N Shift+N", "next, previous case", (name) => cases.step(name === "N" ? 1 : -1)],
    ["?", "?", "this sheet", () => showKeys(KEYS, cases.version)],
    ["Ctrl+O", "Mod+O", "open files", () => byId("choose-files").click()],
  ],
  Pointer: [
    ["Drag", "", "draw a box; on its edge: move it; on a handle: resize it"],
    ["Click", "", "cross-hair, and select the object there"],
    ["Right drag", "", "window: across the width, down the level"],
    ["Middle drag", "", "pan"],
    ["Wheel", "", "slices; on a picture zoom"],
    ["Ctrl+Wheel | Pinch", "", "zoom at the pointer"],
    ["Double click", "", "one plane alone, or all"],
  ],
};

/** After a click with the pointer the keys are the image's again. */
function onImage(control, run) {
  control.addEventListener("click", (event) => {
    run();
    if (event.detail) focusImage();
  });
}

function listen() {
  const click = (id, run) => byId(id).addEventListener("click", run);
  for (const button of byId("tools").children)
    onImage(button, () => chooseTool(button.dataset.tool, button.dataset.sign));
  onImage(byId("undo"), () => edit({ do: "undo" }));
  onImage(byId("redo"), () => edit({ do: "redo" }));
  click("save", () => cases.save());
  click("save-more", () => cases.showFormats());
  click("help", () => showKeys(KEYS, cases.version));
  for (const id of ["open", "nothing-files"]) click(id, () => byId("choose-files").click());
  click("nothing-folder", () => byId("choose-folder").click());
  for (const side of ["cases", "objects"]) {
    click(`${side}-toggle`, () => {
      const open = document.body.classList.toggle(`${side}-open`);
      byId(`${side}-toggle`).setAttribute("aria-expanded", String(open));
    });
  }
  byId("brush-radius").addEventListener("input", (event) => setRadius(Number(event.target.value)));
  listenToPresets(state, focusImage);
  window.addEventListener("beforeunload", (event) => state.pending && event.preventDefault());
  const stage = byId("stage");
  new ResizeObserver(() =>
    document.body.classList.toggle("tall", stage.clientWidth < 0.95 * stage.clientHeight),
  ).observe(stage);
  state.listen(render);
  state.listen((changed) => changed.has("connected") && state.connected && untell("state"));
  listenToKeys(KEYS, (name) => state.info || name === "?" || name === "Mod+O");
}

listen();
cases.start();
