// Write: the model continues a prompt, token by token.

import { lines } from "/page/api.js";
import { task } from "/page/task.js";
import { TokenText, showDetails, visible } from "/page/text.js";

export function startWrite(section, model) {
  const form = section.querySelector("form");
  const panel = section.querySelector(".details");
  let rows = [];
  const text = new TokenText(section.querySelector(".text"), model.unit === "word", (i) => {
    const row = rows[i - 1];
    if (!row) return showDetails(panel, "the prompt", []);
    const probability = Math.exp(row.nats);
    const fact = `probability ${(100 * probability).toFixed(1)} %`;
    showDetails(panel, visible(row.token), [fact], row.likely, row.token);
  });

  const slider = form.elements.temperature;
  const showTemperature = () => { slider.previousElementSibling.value = slider.value; };
  slider.addEventListener("input", showTemperature);
  showTemperature();

  task(section, async (data, signal) => {
    rows = [];
    text.clear();
    panel.replaceChildren();
    text.add(data.get("prompt"), "given");
    let stopped = false;
    const number = (name) => (data.get(name) === "" ? null : Number(data.get(name)));
    const request = {
      prompt: data.get("prompt"),
      length: number("length"),
      temperature: number("temperature"),
      top_k: number("top_k"),
      top_p: number("top_p"),
      seed: number("seed"),
      stop: data.get("stop") ? [data.get("stop")] : [],
    };
    await lines("/api/write", request, signal, (row) => {
      if (!("token" in row)) return;
      rows.push(row);
      text.add(row.token).style.backgroundColor =
        `rgb(var(--hot) / ${Math.min(0.8, -row.nats / 8).toFixed(2)})`;
      text.element.scrollTop = text.element.scrollHeight;
      if (row.stop) {
        text.dropLast(row.stop);
        stopped = true;
      }
    });
    return `${rows.length} tokens${stopped ? ", stopped by its text," : ""}`;
  });
}
