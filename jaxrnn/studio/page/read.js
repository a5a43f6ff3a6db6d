// Read: how surprising is each token of a text?

import { lines } from "/page/api.js";
import { colour, curves, whenSeen } from "/page/plot.js";
import { task } from "/page/task.js";
import { TokenText, showDetails, visible } from "/page/text.js";

const WINDOW = 50; // tokens that the running perplexity is a mean over

export function startRead(section, model) {
  const panel = section.querySelector(".details");
  const canvas = section.querySelector("canvas");
  const again = section.querySelector(".again");
  let rows = [], read = "", running = [], mean = [];

  const text = new TokenText(section.querySelector(".text"), model.unit === "word", show);

  function show(i) {
    const row = rows[i];
    if (!row) return;
    const facts = [];
    if (row.nats !== undefined) {
      facts.push(`probability ${(100 * Math.exp(row.nats)).toFixed(2)} %, ${(-row.nats / Math.LN2).toFixed(2)} bits`);
      facts.push(`perplexity so far ${mean[i].toFixed(2)}, of the last ${WINDOW}: ${running[i].toFixed(2)}`);
    } else {
      facts.push(i ? "not in the vocabulary" : "the first token is not predicted");
    }
    showDetails(panel, `${i + 1}: ${visible(row.token)}`, facts, row.likely, row.token);
    again.hidden = false;
    draw(i);
  }

  function draw(mark) {
    canvas.hidden = rows.length < 2;
    const all = (values) => values.map((y, x) => [x + 1, y]).filter(([, y]) => y);
    curves(canvas, [
      { points: all(running), colour: colour("--line") },
      { points: all(mean), colour: colour("--accent") },
    ], { mark: mark === undefined ? null : mark + 1, label: "tokens" });
  }

  function measure() {
    let sum = 0, count = 0;
    const sums = [[0, 0]];
    running = [];
    mean = [];
    rows.forEach((row, i) => {
      sum -= row.nats ?? 0;
      count += row.nats === undefined ? 0 : 1;
      sums.push([sum, count]);
      const [before, counted] = sums[Math.max(0, i + 1 - WINDOW)];
      mean.push(count ? Math.exp(sum / count) : 0);
      running.push(count > counted ? Math.exp((sum - before) / (count - counted)) : 0);
    });
  }

  const start = task(section, async (data, signal) => {
    read = data.get("text");
    rows = [];
    text.clear();
    panel.replaceChildren();
    await lines("/api/read", { text: read }, signal, (row) => {
      for (const each of row.rows ?? []) {
        rows.push(each);
        const surprise = each.nats === undefined ? 0 : Math.min(0.85, -each.nats / 7);
        text.add(each.token, each.known ? "" : "unknown").style.backgroundColor =
          `rgb(var(--hot) / ${surprise.toFixed(2)})`;
      }
    });
    measure();
    draw();
    return `${rows.length.toLocaleString("en")} tokens, perplexity ${mean.at(-1).toFixed(2)},`;
  });

  again.addEventListener("click", () => start(async (data, signal) => {
    const request = { prompt: read, num_read: text.place + 1, length: 120, temperature: 0.7 };
    const own = document.createElement("div");
    own.className = "continuation";
    own.textContent = "… ";
    panel.append(own);
    await lines("/api/write", request, signal, (row) => {
      if ("token" in row) own.textContent += (model.unit === "word" ? " " : "") + row.token;
    });
    return `went on from token ${(text.place + 1).toLocaleString("en")}`;
  }));
  whenSeen(canvas, () => rows.length && draw(text.place < 0 ? undefined : text.place));
}
