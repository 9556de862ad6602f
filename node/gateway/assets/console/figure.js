// Numbers as people read them.

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit++; }
  return count.toFixed(unit && count < 10 ? 1 : 0) + " " + units[unit];
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h${seconds % 3600 >= 60 ? ` ${Math.floor(seconds % 3600 / 60)} min` : ""}`;
  const hours = Math.floor(seconds % 86400 / 3600);
  return `${Math.floor(seconds / 86400)} d${hours ? ` ${hours} h` : ""}`;
}

export const count = number => number === null || number === undefined ? "–" : Number(number).toLocaleString("en");

/** With three digits: 1.25 k, 31.4 M. */
export function short(number) {
  for (const [unit, sign] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(number) >= unit) return `${(number / unit).toPrecision(3)} ${sign}`;
  }
  if (number === 0 || Number.isInteger(number)) return String(number);
  return Math.abs(number) < 1e-3 ? number.toExponential(1) : String(Number(number.toPrecision(3)));
}

/** How long ago a moment in milliseconds since 1970 is. */
export const ago = ms => ms ? `${duration(Math.max(0, (Date.now() - ms) / 1000))} ago` : "never";

/** A cell as text. */
export const cellText = value => value === null || value === undefined ? "null" : typeof value === "object" ? JSON.stringify(value) : String(value);

export const isNumber = type => /^(INT|BIGINT|SMALLINT|REAL|DOUBLE|DECIMAL|UINT|U?INT\d+)/i.test(type);
