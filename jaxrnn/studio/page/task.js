// Forms that start computations.  The server runs one at a time, so the latest one wins: it first
// stops what is running, whichever form has started that.

import { json } from "/page/api.js";

let stopper = null; // of the computation that is running
let ended = Promise.resolve(); // when it has ended, on the server too
let latest = 0;

async function stop() {
  stopper?.abort();
  await ended;
}

// Makes a form compute `run` when it is submitted; returns a function that starts that, or another.
export function task(section, run) {
  const form = section.querySelector("form");
  const cancel = form.querySelector(".cancel");
  const status = form.querySelector(".status");

  async function work(compute) {
    stopper = new AbortController();
    cancel.disabled = false;
    status.textContent = "working …";
    showError("");
    const begin = performance.now();
    try {
      const said = await compute(new FormData(form), stopper.signal);
      status.textContent = `${said} in ${((performance.now() - begin) / 1000).toFixed(1)} s`;
    } catch (error) {
      stopper.abort();
      status.textContent = "stopping …";
      if (!error.refused) await json("/api/cancel", {}).catch(() => {});
      status.textContent = error.name === "AbortError" ? "stopped" : "";
      if (error.name !== "AbortError") showError(error.message);
    } finally {
      stopper = null;
      cancel.disabled = true;
    }
  }

  async function start(compute = run) {
    const mine = ++latest;
    await stop();
    if (mine !== latest) return;
    ended = work(compute);
    await ended;
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); start(); });
  cancel.addEventListener("click", stop);
  document.addEventListener("keydown", (event) => {
    if (section.hidden) return;
    if (event.key === "Escape") stop();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  return start;
}

export function showError(message) {
  const line = document.getElementById("error");
  line.textContent = message;
  line.hidden = !message;
}
