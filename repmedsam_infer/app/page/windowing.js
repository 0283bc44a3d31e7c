/** Windows: from the numbers of a slice to grey levels on the screen, and the menu of presets. */

import { byId } from "./dialogs.js";

const KINDS = { u1: Uint8Array, i2: Int16Array, u2: Uint16Array, f4: Float32Array };
const OPAQUE = 0xff000000;

/** The numbers in a reply of the server (little-endian, as all machines with these browsers are). */
export function arrayOf(buffer, dtype) {
  return new KINDS[dtype](buffer);
}

/** The window of images that are shown as they are: 0 is black, 255 white. */
export const AS_STORED = Object.freeze({ name: "as stored", level: 127.5, width: 255 });

/** A window whose level and width make sense: the width is above 0. */
export function soundWindow(window) {
  return { ...window, width: Math.max(window.width, 1e-6) };
}

/** The window after a drag: right widens, down lowers the level (brighter). Distances in CSS pixels. */
export function draggedWindow(window, dx, dy, dtype) {
  const step = Math.max(window.width, 1e-6) / 250,
    whole = dtype !== "f4" && window.width > 20;
  const tidy = (value) => (whole ? Math.round(value) : Number(value.toPrecision(5)));
  return {
    name: "custom",
    level: tidy(window.level + dy * step),
    width: Math.max(tidy(window.width * Math.exp(dx / 250)), whole ? 1 : 1e-6),
  };
}

/** "level 40, width 400" with a unit where there is one. */
export function windowText(window, unit) {
  if (window === AS_STORED || window.name === AS_STORED.name) return "grey levels as stored";
  return `level ${shortNumber(window.level)}, width ${shortNumber(window.width)}${unit ? ` ${unit}` : ""}`;
}

/** A number with at most four digits after the point. */
export function shortNumber(value) {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

/** Grey level 0 to 255 of each number of a type, as an array to look up in; null for f4. */
function levelsOf(dtype, window) {
  if (dtype === "f4") return null;
  const count = dtype === "u1" ? 256 : 65536,
    levels = new Uint8ClampedArray(count);
  const low = window.level - window.width / 2,
    factor = 255 / window.width;
  for (let i = 0; i < count; i++) levels[i] = ((dtype === "i2" && i > 32767 ? i - 65536 : i) - low) * factor;
  return levels;
}

/**
 * Grey levels or colours of a slice.
 * @param {ArrayLike<number>} values rows x columns (x 3)
 * @param {{dtype: string, channels: number}} pixel
 * @param {{level: number, width: number}} window
 * @returns {ImageData}
 */
export function imageOf(values, columns, rows, pixel, window) {
  const image = new ImageData(columns, rows),
    out = new Uint32Array(image.data.buffer),
    count = columns * rows;
  const levels = levelsOf(pixel.dtype, window);
  if (pixel.channels === 3) {
    const grey = levels ?? ((value) => value);
    for (let i = 0, k = 0; i < count; i++, k += 3) {
      out[i] = OPAQUE | (grey[values[k + 2]] << 16) | (grey[values[k + 1]] << 8) | grey[values[k]];
    }
  } else if (levels) {
    const raw = pixel.dtype === "i2" ? new Uint16Array(values.buffer, values.byteOffset, values.length) : values;
    for (let i = 0; i < count; i++) out[i] = OPAQUE | (levels[raw[i]] * 0x010101);
  } else {
    const low = window.level - window.width / 2,
      factor = 255 / window.width;
    for (let i = 0; i < count; i++) {
      const grey = Math.min(Math.max(Math.round((values[i] - low) * factor), 0), 255) || 0;
      out[i] = OPAQUE | (grey * 0x010101);
    }
  }
  return image;
}

/** The presets of a case; of pictures that are shown as they are, that one. */
const presetsOf = (info) => (info.windows.length ? info.windows : [AS_STORED]);

/** Offers the presets of the case that was opened. */
export function fillPresets(info) {
  const options = presetsOf(info).map(({ name }) => new Option(name, name));
  byId("window-preset").replaceChildren(...options, new Option("custom", "custom"));
}

/** Shows which preset the window is, and offers to have masks made with it where they are made with another. */
export function showPreset(state) {
  const { info, window: shown, networkWindow: network } = state,
    select = byId("window-preset");
  const preset = presetsOf(info).find((one) => one.level === shown.level && one.width === shown.width);
  select.lastChild.hidden = Boolean(preset);
  select.value = preset?.name ?? "custom";
  const differs = preset && network && (preset.level !== network.level || preset.width !== network.width);
  byId("window-segment").hidden = !differs;
}

/** Shows the image with the next preset. */
export function nextPreset(state) {
  const presets = presetsOf(state.info),
    at = presets.findIndex((one) => one.name === byId("window-preset").value);
  state.change({ window: presets[(at + 1) % presets.length] });
}

/** Listens to the menu. @param {() => void} focusImage gives the keys back after the pointer */
export function listenToPresets(state, focusImage) {
  const select = byId("window-preset");
  let byPointer = false;
  select.addEventListener("pointerdown", () => (byPointer = true));
  select.addEventListener("keydown", () => (byPointer = false));
  select.addEventListener("change", () => {
    const preset = presetsOf(state.info).find((one) => one.name === select.value);
    if (preset) state.change({ window: preset });
    if (byPointer) focusImage();
  });
  byId("window-segment").addEventListener("click", async () => {
    const { level, width, name } = state.window,
      { id } = state.info;
    const done = await state.edit({ do: "set_window", level, width });
    if (done && state.info.id === id) state.change({ info: { ...state.info, window: { name, level, width } } });
  });
}
