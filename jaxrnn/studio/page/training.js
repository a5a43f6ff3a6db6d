// Training: the curve of the run, which may still be going on.

import { json } from "/page/api.js";
import { colour, curves, whenSeen } from "/page/plot.js";
import { showError } from "/page/task.js";

const EVERY = 2000; // milliseconds between two looks

const CURVES = [
  ["perplexity", "training", "--accent", []],
  ["validation_perplexity", "validation", "--ink", [6, 4]],
  ["held_out_perplexity", "held out", "--error", [2, 3]],
];

export function startTraining(section, model, onReload) {
  const canvas = section.querySelector("canvas");
  const status = section.querySelector(".status");
  let rows = [];

  function draw() {
    const drawn = CURVES.map(([name, label, variable, dash]) => ({
      label,
      colour: colour(variable),
      dash,
      points: rows.filter((row) => row[name] != null).map((row) => [row.epoch, row[name]]),
    })).filter((each) => each.points.length);
    curves(canvas, drawn, { label: "epochs" });
    section.querySelector(".legend").replaceChildren(...drawn.map((each) => {
      const item = document.createElement("span");
      const line = document.createElement("i");
      line.style.backgroundColor = each.colour;
      item.append(line, `${each.label}: ${each.points.at(-1)[1].toPrecision(4)}`);
      return item;
    }));
    const table = section.querySelector("table");
    table.replaceChildren();
    for (const [name, value] of Object.entries(rows.at(-1) ?? {})) {
      const row = table.insertRow();
      row.insertCell().textContent = name.replaceAll("_", " ");
      row.insertCell().textContent = typeof value === "number" ? Number(value.toPrecision(6)).toLocaleString("en") : value;
    }
  }

  async function look() {
    if (!section.hidden && !document.hidden) {
      try {
        const before = rows.at(-1)?.epoch;
        ({ rows } = await json("/api/training"));
        const last = rows.at(-1)?.epoch;
        if (last !== before) draw();
        status.textContent = last ? `epoch ${last}, looked at ${new Date().toLocaleTimeString()}` : "no epoch yet";
      } catch (error) {
        status.textContent = error.message;
      }
    }
    setTimeout(look, EVERY);
  }

  const reload = section.querySelector(".reload");
  const said = section.querySelector(".said");
  reload.addEventListener("click", async () => {
    reload.disabled = true;
    said.textContent = "loading …";
    try {
      const model = await json("/api/reload", {});
      onReload(model);
      said.textContent = `loaded step ${model.step.toLocaleString("en")} at ${new Date().toLocaleTimeString()}`;
    } catch (error) {
      said.textContent = "";
      showError(error.message);
    } finally {
      reload.disabled = false;
    }
  });
  whenSeen(canvas, draw);
  look();
}
