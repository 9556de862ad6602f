// What a plugin in JavaScript is written with. `activestore plugin build` brings this file up to its own
// release: changes to it are lost.
//
// Types are those of the contract: boolean, int32, int64, float32, float64, text, bytes, timestamp, date.
// In JavaScript they are boolean, number and string, bytes a Uint8Array; a date counts days since 1970, a
// timestamp nanoseconds since 1970. A missing value is null. Numbers are exact up to 2^53: an int64 beyond
// that is refused, and a timestamp is rounded to the next 256 nanoseconds.

/** Thrown where the caller must change the rows, the settings or the query. */
export class Invalid extends Error {}

/** Thrown where the plugin could not do it. */
export class Failed extends Error {}

/** Lines for the people who run the plugin. */
export const log = {
  debug: (message) => host.log("debug", String(message)),
  info: (message) => host.log("info", String(message)),
  warn: (message) => host.log("warn", String(message)),
  error: (message) => host.log("error", String(message)),
};

/**
 * A plugin of functions for SQL, by their names. Each is
 * `{ args: { name: type, … }, returns: type, row: (…) => value }`: `row` gets the values of one row, and rows
 * with a null argument are null without a call. With `nulls: true` it is called for them as well. With
 * `columns: (rows, …) => values` in the place of `row` a function sees whole columns, as `Column`s, at once.
 * One that does not give the same for the same arguments says so with `volatility: "stable"` or `"volatile"`.
 */
export function functions(byName) {
  const described = Object.entries(byName).map(([name, one]) => {
    known(one.returns, `function ${name}`);
    Object.values(one.args).forEach((kind) => known(kind, `function ${name}`));
    if (typeof (one.row ?? one.columns) !== "function") {
      throw new Error(`function ${name} needs row or columns`);
    }
    return { name, ...one };
  });
  return {
    describe: () =>
      described.map(({ name, args, returns, volatility, nulls }) => ({
        name,
        args: parameters(args),
        returns,
        volatility: volatility ?? "immutable",
        strict: !nulls,
      })),
    eval: (index, rows, columns) => guarded(() => evaluate(described[index], rows, columns)),
  };
}

/**
 * A plugin that looks at rows as they are written. `Type` is a class: `new Type(config, fields)` sets
 * `this.columns`, the names of the columns that it wants to see, and, where it sends rows, `this.outputs`:
 * `{ output: { column: type, … }, … }`. `process(batch, state)` then sees each batch. Where timers were set,
 * `onTimer(due, batch, state)` is called with those that went off, `[{ key, at }, …]`, and a batch to send rows by.
 * What `init` of the class keeps lasts until the instance is replaced; only `state` is durable.
 */
export function processor(Type) {
  let current = null;
  let kinds = [];
  let outputs = {};
  return {
    init: (settings, fields) =>
      guarded(() => {
        const made = new Type(new Config(settings), fields);
        const columns = (made.columns ?? []).map((name) => position(fields, name));
        kinds = columns.map((index) => fields[index].kind);
        outputs = made.outputs ?? {};
        for (const [name, columns] of Object.entries(outputs)) {
          Object.values(columns).forEach((kind) => known(kind, `output ${name}`));
        }
        current = made;
        return { outputs: declared(outputs), columns };
      }),
    process: (input, replay) =>
      guarded(() => {
        const columns = input.columns.map((column, at) => new Column(kinds[at], column, input.rows));
        const batch = new Batch(input.rows, columns, outputs, Boolean(replay));
        current.process(batch, state);
        return batch.finished();
      }),
    onTimer: ({ keys, atNs }) =>
      guarded(() => {
        const batch = new Batch(0, [], outputs);
        const due = atNs.map((at, row) => ({ key: decode(keys.data, keys.offsets[row], keys.offsets[row + 1]), at }));
        current.onTimer?.(due, batch, state);
        return batch.sentBatches();
      }),
  };
}

/** What `CREATE PROCESSOR … WITH (…)` said. */
export class Config {
  #settings;
  constructor(settings) {
    this.#settings = new Map(settings);
  }

  /** Refuses settings with other names than these. */
  only(...names) {
    for (const name of this.#settings.keys()) {
      if (!names.includes(name)) {
        throw new Invalid(`there is no setting '${name}'; there are ${names.join(", ")}`);
      }
    }
  }

  /** A setting's text; without one `otherwise`, and where that is not given either, the plugin is refused. */
  text(name, otherwise) {
    const value = this.#settings.get(name) ?? otherwise;
    if (value === undefined) throw new Invalid(`the setting '${name}' is missing`);
    return value;
  }

  /** A setting that is a number. */
  number(name, otherwise) {
    const text = this.text(name, otherwise);
    const value = typeof text === "string" && text.trim() === "" ? NaN : Number(text);
    if (Number.isNaN(value)) throw new Invalid(`${name} = '${text}' is not a number`);
    return value;
  }
}

/** One column of a batch. */
export class Column {
  #values;
  #validity;
  constructor(kind, { values, validity }, rows) {
    this.kind = kind;
    this.rows = rows;
    this.#values = values.val;
    this.#validity = validity ?? null;
  }

  /** Whether the row has no value. */
  isNull(row) {
    return this.#validity !== null && ((this.#validity[row >> 3] >> (row & 7)) & 1) === 0;
  }

  /** The row's value, or null. */
  get(row) {
    return this.isNull(row) ? null : this.#read(row);
  }

  /** Every row's value, or null, as an array. */
  toArray() {
    const out = new Array(this.rows);
    for (let row = 0; row < this.rows; row++) out[row] = this.get(row);
    return out;
  }

  /** The numbers as they came, without a look at nulls: what stands in a null row means nothing. */
  numbers() {
    if (!Array.isArray(this.#values)) throw new Error(`a column of ${this.kind} has no numbers`);
    if (this.kind === "int64") for (let row = 0; row < this.rows; row++) this.get(row);
    return this.#values;
  }

  #read(row) {
    const values = this.#values;
    switch (this.kind) {
      case "boolean":
        return ((values[row >> 3] >> (row & 7)) & 1) === 1;
      case "int64":
        return exact(values[row]);
      case "text":
        return decode(values.data, values.offsets[row], values.offsets[row + 1]);
      case "bytes":
        return values.data.slice(values.offsets[row], values.offsets[row + 1]);
      default:
        return values[row];
    }
  }
}

/** Rows as they are written, and what becomes of them. */
export class Batch {
  #outputs;
  #sent;
  #rejected = new Map();
  constructor(rows, columns, outputs = {}, replay = false) {
    this.rows = rows;
    this.columns = columns;
    /** Whether the rows were stored before and are only shown again. */
    this.replay = replay;
    this.#outputs = outputs;
    this.#sent = new Map(Object.keys(outputs).map((name) => [name, []]));
  }

  /** The row is not to be stored. */
  reject(row, why) {
    this.#rejected.set(row, why);
  }

  /** Sends a row, `{ column: value, … }`, to an output. */
  send(output, row) {
    const rows = this.#sent.get(output);
    if (rows === undefined) throw new Error(`there is no output '${output}'`);
    for (const name of Object.keys(row)) {
      if (!(name in this.#outputs[output])) throw new Error(`output '${output}' has no column '${name}'`);
    }
    rows.push(row);
  }

  /** What was rejected, by row: for tests. */
  get rejected() {
    return Object.fromEntries(this.#rejected);
  }

  /** What was sent to an output: for tests. */
  sent(output) {
    return this.#sent.get(output) ?? [];
  }

  sentBatches() {
    return Object.entries(this.#outputs).map(([name, columns]) => {
      const rows = this.#sent.get(name);
      return {
        rows: rows.length,
        columns: Object.entries(columns).map(([column, kind]) =>
          build(kind, rows.map((row) => row[column] ?? null))),
      };
    });
  }

  finished() {
    const rejected = [...this.#rejected].sort(([a], [b]) => a - b);
    return {
      outputs: this.sentBatches(),
      rejectedRows: rejected.map(([row]) => row),
      rejectedReasons: varBytes(rejected.map(([, why]) => encode(String(why)))),
    };
  }
}

/** A processor's durable state: texts by key. It becomes durable together with the rows of the batch. */
export const state = {
  /** A key's text, or null. */
  get: (key) => state.getMany([key])[0],
  /** The texts of many keys at once, null where there is none. */
  getMany(keys) {
    const { present, values } = host.state.getMany(varBytes(keys.map(encode)));
    return keys.map((_, at) =>
      (present[at >> 3] >> (at & 7)) & 1 ? decode(values.data, values.offsets[at], values.offsets[at + 1]) : null);
  },
  /** Keeps a text under a key; null removes the key. */
  set: (key, text) => state.setMany([[key, text]]),
  /** Keeps many texts at once: pairs of a key and a text. */
  setMany(pairs) {
    const all = [...pairs];
    host.state.putMany(
      varBytes(all.map(([key]) => encode(key))),
      bits(all.map(([, text]) => text !== null)),
      varBytes(all.map(([, text]) => encode(text ?? ""))),
    );
  },
};

/** A processor's timers, one a key, durable like its state. */
export const timers = {
  /** Has `onTimer` called for the key in so many milliseconds; a timer that was set before is moved. */
  set: (key, afterMs) => host.timers.setMany(varBytes([encode(key)]), [Math.max(0, Math.round(afterMs * 1e6))]),
  /** Takes the key's timer away. */
  clear: (key) => host.timers.setMany(varBytes([encode(key)]), [-1]),
};

/** The node's clock. By grant: it stands among `needs` in package.json. */
export const clock = {
  /** Nanoseconds since 1970, the same throughout one call. */
  now: () => granted("clock").now(),
};

/** Random bytes. By grant, as the clock. */
export const random = {
  /** A Uint8Array of so many bytes, 65,536 at most. */
  bytes: (count) => granted("random").bytes(count),
};

/** Rows of other tables. By grant, as the clock. */
export const tables = {
  /**
   * Reads rows by their whole primary key. `keys` holds a pair of a type and its values, one a row that is looked
   * for, for each column of the key, in the table's order; `columns` is `{ name: type }`. Gives `{ name: Column }`.
   */
  get(table, keys, columns) {
    const rows = keys[0]?.[1].length ?? 0;
    const found = granted("tables").get(table, rows, keys.map(([kind, values]) => build(kind, values, rows)), Object.keys(columns));
    return Object.fromEntries(Object.entries(columns).map(([name, kind], at) => [name, new Column(kind, found[at], rows)]));
  },
};

function granted(name) {
  if (host[name] === undefined) throw new Error(`add "${name}" to activestore.needs in package.json`);
  return host[name];
}

// ── What the host is behind. Outside of the sandbox, in tests, lines go to the console and state into a map.

const host = { log: (level, message) => console.log(`${level}: ${message}`), state: remembered(), timers: { setMany() {} } };

/** Called by what `plugin build` writes around the plugin. */
export function connect(imports) {
  Object.assign(host, imports);
}

function remembered() {
  const kept = new Map();
  const texts = ({ offsets, data }) =>
    Array.from({ length: offsets.length - 1 }, (_, at) => decode(data, offsets[at], offsets[at + 1]));
  return {
    getMany(keys) {
      const found = texts(keys).map((key) => kept.get(key) ?? null);
      return { present: bits(found.map((one) => one !== null)), values: varBytes(found.map((one) => encode(one ?? ""))) };
    },
    putMany(keys, present, values) {
      const all = texts(values);
      texts(keys).forEach((key, at) =>
        (present[at >> 3] >> (at & 7)) & 1 ? kept.set(key, all[at]) : kept.delete(key));
    },
  };
}

// ── How the contract says it.

const CASES = {
  boolean: "bits", int32: "s32s", date: "s32s", int64: "s64s", timestamp: "s64s",
  float32: "f32s", float64: "f64s", text: "utf8", bytes: "binary",
};

function parameters(args) {
  return Object.entries(args).map(([name, kind]) => ({ name, kind }));
}

function declared(outputs) {
  return Object.entries(outputs).map(([name, columns]) => ({ name, fields: fields(columns) }));
}

function fields(columns) {
  return Object.entries(columns).map(([name, kind]) => ({ name, kind, nullable: true }));
}

function known(kind, where) {
  if (!(kind in CASES)) {
    throw new Error(`${where}: there is no type '${kind}'; there are ${Object.keys(CASES).join(", ")}`);
  }
}

function position(fields, name) {
  const found = fields.findIndex((field) => field.name === name);
  if (found < 0) throw new Invalid(`the table has no column '${name}'`);
  return found;
}

/** Errors leave as the contract has them: with the place in the source, where they are not meant. */
function guarded(body) {
  try {
    return body();
  } catch (error) {
    // What the host refused, of a table that the plugin asked for.
    const refusal = error?.payload;
    if (refusal?.tag === "invalid" || refusal?.tag === "failed") throw refusal;
    if (error instanceof Invalid) throw { tag: "invalid", val: error.message };
    if (error instanceof Failed) throw { tag: "failed", val: error.message };
    const stack = String(error?.stack ?? "").trimEnd();
    log.error(`${error}\n${stack}`);
    // The first place that is the author's: `    at mean (/plugin.js:12:9)`.
    const places = [...stack.matchAll(/[\s(]\/?([^\s()]+:\d+):\d+\)?$/gm)].map(([, place]) => place);
    const place = places.find((place) => !/^(activestore|build\/entry)\.js:/.test(place));
    throw { tag: "failed", val: place === undefined ? String(error) : `${error} (${place})` };
  }
}

function evaluate(one, rows, given) {
  const kinds = Object.values(one.args);
  const columns = given.map((column, at) => new Column(kinds[at], column, rows));
  if (one.columns) return build(one.returns, one.columns(rows, ...columns), rows);
  const nullable = given.some(({ validity }) => validity);
  const skips = nullable && !one.nulls ? columns : [];
  // Numbers without nulls are read where they lie.
  const values = columns.map((column, at) => (nullable || !plain(kinds[at]) ? column.toArray() : column.numbers()));
  const out = plain(one.returns) ? new Float64Array(rows) : new Array(rows);
  const nulls = [];
  const { row: call } = one;
  const skipping = skips.length > 0;
  const doubles = one.returns === "float64";
  const [a, b] = values;
  for (let row = 0; row < rows; row++) {
    if (skipping && skips.some((column) => column.isNull(row))) {
      nulls.push(row);
      continue;
    }
    const value =
      values.length === 1 ? call(a[row]) : values.length === 2 ? call(a[row], b[row]) : call(...values.map((v) => v[row]));
    if (doubles && typeof value === "number") out[row] = value;
    else if (value === null || value === undefined) nulls.push(row);
    else out[row] = plain(one.returns) ? number(one.returns, value) : value;
  }
  return lower(one.returns, out, nulls, rows);
}

/** Types whose values are numbers. */
function plain(kind) {
  return kind !== "boolean" && kind !== "text" && kind !== "bytes";
}

function build(kind, values, rows = values?.length) {
  if (values?.length !== rows) throw new Error(`${values?.length} values came back for ${rows} rows`);
  const nulls = [];
  const out = plain(kind) ? new Float64Array(rows) : new Array(rows);
  for (let row = 0; row < rows; row++) {
    const value = values[row];
    if (value === null || value === undefined) nulls.push(row);
    else out[row] = plain(kind) ? number(kind, value) : value;
  }
  return lower(kind, out, nulls, rows);
}

function lower(kind, out, nulls, rows) {
  const missing = new Set(nulls);
  const val =
    kind === "boolean" ? bits(Array.from(out, Boolean))
    : kind === "text" ? varBytes(Array.from(out, (value, row) => encode(missing.has(row) ? "" : text(value))))
    : kind === "bytes" ? varBytes(Array.from(out, (value, row) => (missing.has(row) ? EMPTY : value)))
    : kind === "float64" ? out
    : Array.from(out);
  let validity = null;
  if (nulls.length > 0) {
    validity = new Uint8Array((rows + 7) >> 3).fill(255);
    for (const row of nulls) validity[row >> 3] &= ~(1 << (row & 7));
  }
  return { values: { tag: CASES[kind], val }, validity };
}

function number(kind, value) {
  if (typeof value !== "number") throw new Error(`a ${typeof value} came back where ${kind} is declared`);
  if (kind === "float64" || kind === "float32") return value;
  if (!Number.isInteger(value)) throw new Error(`${value} came back where ${kind} is declared`);
  if (kind === "int64") return exact(value);
  if (kind !== "timestamp" && value !== (value | 0)) throw new Error(`${value} does not fit into ${kind}`);
  return value;
}

function text(value) {
  if (typeof value !== "string") throw new Error(`a ${typeof value} came back where text is declared`);
  return value;
}

function exact(value) {
  if (!Number.isSafeInteger(value)) {
    throw new Invalid(`${value} is beyond 2^53, up to which JavaScript counts exactly`);
  }
  return value;
}

const EMPTY = new Uint8Array(0);

/** A bitmap of booleans, least significant bit first. */
function bits(values) {
  const out = new Uint8Array((values.length + 7) >> 3);
  for (let at = 0; at < values.length; at++) if (values[at]) out[at >> 3] |= 1 << (at & 7);
  return out;
}

function varBytes(values) {
  const offsets = new Array(values.length + 1);
  let length = 0;
  offsets[0] = 0;
  for (let at = 0; at < values.length; at++) offsets[at + 1] = length += values[at].length;
  const data = new Uint8Array(length);
  for (let at = 0; at < values.length; at++) data.set(values[at], offsets[at]);
  return { offsets, data };
}

/** The text's UTF-8: the sandbox has no TextEncoder. */
function encode(text) {
  const out = [];
  for (const letter of text.isWellFormed() ? text : text.toWellFormed()) {
    const code = letter.codePointAt(0);
    if (code < 0x80) out.push(code);
    else if (code < 0x800) out.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) out.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else out.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  return Uint8Array.from(out);
}

/** The text of valid UTF-8, which is what the host gives. */
function decode(bytes, from, to) {
  let out = "";
  for (let at = from; at < to; ) {
    const lead = bytes[at++];
    if (lead < 0x80) {
      out += String.fromCharCode(lead);
      continue;
    }
    let more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    let code = lead & (63 >> more);
    while (more-- > 0) code = (code << 6) | (bytes[at++] & 63);
    out += String.fromCodePoint(code);
  }
  return out;
}
