// Keeps the parts marked data-live fresh: asks for the same page with its ETag and merges what changed.

const CALM_MS = 3000;
const BUSY_MS = 1000;
const LONGEST_MS = 8000;
const ANSWER_MS = 6000;
const LOST_AFTER = 2; // failures in a row

export function startLive(morph) {
  const regions = () => document.querySelectorAll("[data-live][id]");
  if (!document.getElementById("age")) return { refresh: () => location.reload() };
  let etag = "";
  let seen = Date.now();
  let failures = 0;
  let timer;
  let asking;

  async function ask() {
    asking?.abort();
    asking = new AbortController();
    const stop = setTimeout(() => asking.abort(), ANSWER_MS);
    const asked = location.href;
    try {
      const answer = await fetch(asked, {
        headers: { "X-Live": "1", ...(etag && { "If-None-Match": etag }) },
        cache: "no-store",
        redirect: "manual",
        signal: asking.signal,
      });
      if (answer.status === 401) return location.assign("/login?ended=1");
      if (answer.status === 404) return location.reload();
      if (answer.status === 200 && asked === location.href) {
        const complete = merge(new DOMParser().parseFromString(await answer.text(), "text/html"));
        // what was held back must come again, so the page must not count as unchanged
        etag = complete ? (answer.headers.get("ETag") ?? "") : "";
      } else if (answer.status !== 304) {
        throw new Error(`status ${answer.status}`);
      }
      seen = Date.now();
      failures = 0;
      if (document.querySelector("[data-retry]")) return location.reload();
    } catch (error) {
      if (error.name === "AbortError" && asked !== location.href) return;
      failures += 1;
    } finally {
      clearTimeout(stop);
      schedule();
    }
  }

  function merge(fresh) {
    let complete = true;
    for (const region of regions()) {
      const source = fresh.getElementById(region.id);
      if (source) complete = morph(region, source) && complete;
    }
    document.dispatchEvent(new CustomEvent("merged"));
    return complete;
  }

  function schedule() {
    clearTimeout(timer);
    if (document.hidden) return;
    const busy = document.querySelector('[data-live][data-busy="1"]');
    const pause = failures ? Math.min(BUSY_MS * 2 ** failures, LONGEST_MS) : busy ? BUSY_MS : CALM_MS;
    timer = setTimeout(ask, pause);
  }

  function showAge() {
    const seconds = Math.round((Date.now() - seen) / 1000);
    const old = failures >= LOST_AFTER && !document.hidden;
    const age = document.getElementById("age");
    age.hidden = false;
    age.classList.toggle("old", old);
    age.textContent = old ? age.dataset.old.replace("{n}", seconds) : age.dataset.fresh;
    const lost = document.getElementById("lost");
    lost.hidden = !old;
    if (old) lost.textContent = lost.dataset.text.replace("{n}", seconds);
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
  setInterval(showAge, 1000);
  schedule();
  return {
    refresh() {
      etag = "";
      ask();
    },
  };
}
