// The frame of the page: its tabs, its theme, and what it says about the model.

import { json } from "/page/api.js";
import { startInside } from "/page/inside.js";
import { startRead } from "/page/read.js";
import { showError } from "/page/task.js";
import { startTraining } from "/page/training.js";
import { startWrite } from "/page/write.js";

history.replaceState(null, "", "/"); // the token is in the cookie now

const tabs = [...document.querySelectorAll("[role=tab]")];
function open(tab) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.ariaSelected = chosen;
    each.tabIndex = chosen ? 0 : -1;
    document.getElementById(each.getAttribute("aria-controls")).hidden = !chosen;
  }
}
tabs.forEach((tab, i) => {
  tab.addEventListener("click", () => open(tab));
  tab.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    const next = tabs[(i + move + tabs.length) % tabs.length];
    open(next);
    next.focus();
  });
});

const theme = (name) => { if (name) document.documentElement.dataset.theme = name; };
theme(localStorage.getItem("theme"));
document.getElementById("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  theme(dark ? "light" : "dark");
  localStorage.setItem("theme", document.documentElement.dataset.theme);
  document.dispatchEvent(new Event("theme"));
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.dispatchEvent(new Event("theme"));
});

function describe(model) {
  document.getElementById("run").textContent = `· ${model.run}, step ${model.step.toLocaleString("en")}`;
  document.getElementById("about").textContent =
    `${model.model}, ${model.parameters.toLocaleString("en")} parameters, ${model.vocabulary.toLocaleString("en")} ${model.unit}s`;
}

const panel = (name) => document.getElementById(name);
try {
  const model = await json("/api/model");
  describe(model);
  startWrite(panel("write"), model);
  startRead(panel("read"), model);
  startInside(panel("inside"), model);
  startTraining(panel("training"), model, describe);
  document.body.dataset.ready = "yes";
} catch (error) {
  document.getElementById("about").textContent = "";
  showError(error.message);
}
