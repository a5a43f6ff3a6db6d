// Write: the model continues a prompt, token by token.

import { lines } from "/page/api.js";
import { task } from "/page/task.js";
import { TokenText, showDetails, visible } from "/page/text.js";

export function startWrite(section, model) {
  const form = section.querySelector("form");
  const panel = section.querySelector(".details");
  let rows = [];
  const text = new TokenText(section.querySelector(".text"), model.unit, (i) => {
    const row = rows[i - 1];
    if (!row) return showDetails(panel, model.unit, "the prompt", []);
    const probability = Math.exp(row.nats);
    const fact = `probability ${(100 * probability).toFixed(1)} %`;
    showDetails(panel, model.unit, visible(row.token, model.unit), [fact], row.likely, row.token);
  });

  const slider = form.elements.temperature;
  const showTemperature = () => { slider.nextElementSibling.value = slider.value; };
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
      const box = text.element;
      const atEnd = box.scrollTop + box.clientHeight > box.scrollHeight - 30;
      rows.push(row);
      text.add(row.token).style.backgroundColor =
        `rgb(var(--hot) / ${Math.min(0.8, -row.nats / 8).toFixed(2)})`;
      if (atEnd) box.scrollTop = box.scrollHeight; // unless somebody has scrolled back
      if (row.stop) {
        text.dropLast(row.stop);
        stopped = true;
      }
    });
    return `${rows.length} tokens${stopped ? ", stopped by its text," : ""}`;
  });
}
