/** Requests to the server: cases, slices, edits, previews, uploads; its events; slices kept in memory. */

/** What the server or the connection says against a request, as a sentence for the user. */
export class ServerError extends Error {
  /** @param {number} status HTTP status, 0 where there was no answer  @param {object} body what came with it */
  constructor(status, message, body = {}) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

const NO_ANSWER = "No answer from RepMedSAM. Is `repmedsam app` still running? What was drawn up to now is kept.";
const NO_COOKIE = "This page may not ask the server. Open the link that repmedsam app printed.";

async function request(path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, NO_ANSWER);
  }
  if (reply.ok) return reply;
  let body = {};
  try {
    body = await reply.json();
  } catch {
    /* not JSON: the status has to do */
  }
  const message = typeof body.error === "string" ? body.error : `The server answered with the error ${reply.status}.`;
  throw new ServerError(reply.status, reply.status === 401 ? NO_COOKIE : message, body);
}

const json = async (path, options) => (await request(path, options)).json();
const post = (body) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});
const casePath = (id) => `/api/cases/${encodeURIComponent(id)}`;

/** All cases: {cases, version}. */
export const getCases = () => json("/api/cases");
/** Opens a case and describes it. */
export const getCase = (id) => json(casePath(id));
/** Objects, versions, work of a case. */
export const getState = (id) => json(`${casePath(id)}/state`);
/** Makes one change to the version that the page has; returns the new state. Status 409: someone else changed it. */
export const postEdit = (id, version, edit) => json(`${casePath(id)}/edit`, post({ version, edit }));
/** Writes the label map beside the input. Status 409: a file of this name is there. */
export const postSave = (id, format, replace) => json(`${casePath(id)}/save`, post({ format, replace }));
/** Address of a download: "labels" in a format, or "boxes". */
export const downloadPath = (id, what, format) =>
  `${casePath(id)}/download/${what}${format ? `?format=${encodeURIComponent(format)}` : ""}`;

/** Tells which slice is looked at, so that its neighbours are made ready. What comes of it does not matter. */
export function postLook(id, index) {
  request(`${casePath(id)}/look`, post({ index })).catch(() => {});
}

/** Bytes of a slice of the image. */
export const getSlice = async (id, axis, index) =>
  (await request(`${casePath(id)}/slices/${axis}/${index}`)).arrayBuffer();
/** Bytes of a slice of the label map. */
export const getLabels = async (id, axis, index, version) =>
  (await request(`${casePath(id)}/labels/${axis}/${index}?v=${version}`)).arrayBuffer();

/**
 * Mask of a box on a slice of plane z.
 * @returns {Promise<{x: number, y: number, width: number, height: number, mask: Uint8Array}|null>} null: superseded
 */
export async function postPreview(id, box, index) {
  const reply = await request(`${casePath(id)}/preview`, post({ box, index }));
  if (reply.status === 204) return null;
  const [x, y, width, height] = (reply.headers.get("X-Rect") ?? "").split(",").map(Number);
  const mask = new Uint8Array(await reply.arrayBuffer());
  return mask.length === width * height ? { x, y, width, height, mask } : null;
}

/** One request at a time; while it runs, only the newest call is kept and sent next. */
export function newestOnly(send) {
  let running = false,
    next = null;
  return async function call(...values) {
    next = values;
    if (running) return;
    running = true;
    try {
      while (next) {
        const now = next;
        next = null;
        await send(...now);
      }
    } finally {
      running = false;
    }
  };
}

/** Listens to changes of a case; returns what ends it. `lost` is called with whether the connection is down. */
export function listenToCase(id, changed, lost) {
  let source = null,
    again = 0;
  const listen = () => {
    source = new EventSource(`${casePath(id)}/events`);
    source.onmessage = (event) => changed(JSON.parse(event.data));
    source.onopen = () => lost(false);
    source.onerror = () => {
      lost(true);
      if (source.readyState !== EventSource.CLOSED) return;
      // After an error as answer the browser does not try again. Asking for the state opens the case if need be.
      again = setTimeout(
        () =>
          getState(id)
            .catch(() => null)
            .then(() => again && listen()),
        3000,
      );
    };
  };
  listen();
  return () => {
    clearTimeout(again);
    again = 0;
    source.close();
  };
}

/** Uploads files as one case and returns its id. `progress` is called with the files sent and how many there are. */
export async function upload(files, progress) {
  const { upload: id, limit } = await json("/api/uploads", post({}));
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (limit && size > limit) {
    throw new ServerError(
      413,
      `These are ${(size / 1e9).toFixed(1)} GB; at most ${(limit / 1e9).toFixed(1)} GB can be opened here.`,
    );
  }
  for (const [i, file] of files.entries()) {
    progress(i, files.length);
    await request(`/api/uploads/${encodeURIComponent(id)}/files?name=${encodeURIComponent(file.name)}`, {
      method: "POST",
      body: file,
    });
  }
  progress(files.length, files.length);
  return (await json(`/api/uploads/${encodeURIComponent(id)}/done`, { method: "POST" })).id;
}

/** Keeps what was asked for, the least recently used goes first. Sizes in bytes. */
export class Cache {
  constructor(limit = 256 * 2 ** 20) {
    this.limit = limit;
    this.size = 0;
    this.kept = new Map();
  }

  /** What is kept under a key, or else what `make` gives. */
  async get(key, make) {
    const value = this.kept.get(key) ?? (await make());
    if (this.kept.delete(key)) this.size -= value.byteLength;
    this.kept.set(key, value); // last: the most recently used
    this.size += value.byteLength;
    for (const [old, gone] of this.kept) {
      if (this.size <= this.limit || old === key) break;
      this.kept.delete(old);
      this.size -= gone.byteLength;
    }
    return value;
  }
}
