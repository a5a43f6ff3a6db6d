// A form that starts a computation, a button and a key that stop it, and a line that says how it goes.
// `task` returns a function that starts the same, or another one that it is given.

import { json } from "/page/api.js";

export function task(section, run) {
  const form = section.querySelector("form");
  const submit = form.querySelector("[type=submit]");
  const cancel = form.querySelector(".cancel");
  const status = form.querySelector(".status");
  let stopper = null;

  async function start(compute = run) {
    if (stopper) return;
    stopper = new AbortController();
    submit.disabled = true;
    cancel.disabled = false;
    status.textContent = "working …";
    showError("");
    const begin = performance.now();
    try {
      const said = await compute(new FormData(form), stopper.signal);
      const seconds = ((performance.now() - begin) / 1000).toFixed(1);
      status.textContent = `${said} in ${seconds} s`;
    } catch (error) {
      status.textContent = error.name === "AbortError" ? "stopped" : "";
      if (error.name !== "AbortError") showError(error.message);
    } finally {
      stopper = null;
      submit.disabled = false;
      cancel.disabled = true;
    }
  }

  function stop() {
    if (!stopper) return;
    stopper.abort();
    json("/api/cancel", {}).catch(() => {});
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); start(); });
  cancel.addEventListener("click", stop);
  section.addEventListener("keydown", (event) => {
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
