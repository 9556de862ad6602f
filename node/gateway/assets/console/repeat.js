// What is asked again and again while it is seen.

/** Calls `ask` now and every so often while the part is seen and the page is in front. */
export function repeat(ask, every) {
  let timer = null;
  let busy = false;
  async function once() {
    if (busy || document.hidden) return;
    busy = true;
    try { await ask(); } finally { busy = false; }
  }
  return {
    seen() { once(); timer ??= setInterval(once, every); },
    left() { clearInterval(timer); timer = null; },
  };
}
