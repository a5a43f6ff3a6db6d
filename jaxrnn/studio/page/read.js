// Read: how surprising is each token of a text?

import { lines } from "/page/api.js";
import { colour, curves, whenSeen } from "/page/plot.js";
import { task } from "/page/task.js";
import { TokenText, showDetails, visible } from "/page/text.js";

const WINDOW = 50; // tokens that the running perplexity is a mean over

export function startRead(section, model) {
  const { unit } = model;
  const panel = section.querySelector(".details");
  const canvas = section.querySelector("canvas");
  const again = section.querySelector(".again");
  const continuation = section.querySelector(".continuation");
  let rows = [], read = "", chosen = -1;
  let sums = [[0, 0]]; // after each token: (nats, tokens judged)
  let mean = [], running = []; // points of the curves

  const text = new TokenText(section.querySelector(".text"), unit, (i, isChosen) => {
    if (isChosen) {
      chosen = i;
      again.hidden = false;
      again.textContent = `Go on from token ${(i + 1).toLocaleString("en")}`;
    }
    show(i);
  });

  const written = new TokenText(continuation, unit, () => {});

  function perplexity(from, to) {
    const count = sums[to][1] - sums[from][1];
    return count ? Math.exp((sums[to][0] - sums[from][0]) / count) : null;
  }

  function show(i) {
    const row = rows[i];
    const facts = [];
    if (row.nats !== undefined) {
      facts.push(`probability ${(100 * Math.exp(row.nats)).toFixed(2)} %, ${(-row.nats / Math.LN2).toFixed(2)} bits`);
      facts.push(`perplexity so far ${perplexity(0, i + 1).toFixed(2)}, of the last ${WINDOW}: ${perplexity(Math.max(0, i + 1 - WINDOW), i + 1).toFixed(2)}`);
    } else {
      facts.push(i ? "not in the vocabulary" : "the first token is not predicted");
    }
    showDetails(panel, unit, `${i + 1}: ${visible(row.token, unit)}`, facts, row.likely, row.token);
    draw();
  }

  function draw() {
    canvas.hidden = mean.length < 2;
    curves(canvas, [
      { points: running, colour: colour("--faint"), thin: true },
      { points: mean, colour: colour("--accent") },
    ], { mark: text.place < 0 ? null : text.place + 1, label: "tokens" });
  }

  function add(row) {
    const i = rows.length, [nats, count] = sums[i];
    rows.push(row);
    sums.push(row.nats === undefined ? [nats, count] : [nats - row.nats, count + 1]);
    const before = Math.max(0, i + 1 - WINDOW);
    if (perplexity(0, i + 1)) mean.push([i + 1, perplexity(0, i + 1)]);
    if (perplexity(before, i + 1)) running.push([i + 1, perplexity(before, i + 1)]);
    const surprise = row.nats === undefined ? 0 : Math.min(0.85, -row.nats / 7);
    text.add(row.token, row.known ? "" : "unknown").style.backgroundColor =
      `rgb(var(--hot) / ${surprise.toFixed(2)})`;
  }

  const start = task(section, async (data, signal) => {
    read = data.get("text");
    [rows, sums, mean, running, chosen] = [[], [[0, 0]], [], [], -1];
    text.clear();
    panel.replaceChildren();
    again.hidden = continuation.hidden = true;
    draw();
    await lines("/api/read", { text: read }, signal, (line) => {
      for (const row of line.rows ?? []) add(row);
      draw();
    });
    const all = perplexity(0, rows.length);
    return `${rows.length.toLocaleString("en")} tokens${all ? `, perplexity ${all.toFixed(2)}` : ""},`;
  });

  again.addEventListener("click", () => start(async (data, signal) => {
    const place = chosen + 1;
    const request = { prompt: read, num_read: place, length: 120, temperature: 0.7 };
    written.clear();
    continuation.hidden = false;
    written.add("… ", "given");
    await lines("/api/write", request, signal, (row) => {
      if ("token" in row) written.add(row.token);
    });
    return `went on from token ${place.toLocaleString("en")}`;
  }));
  whenSeen(canvas.parentElement, () => rows.length && draw());
}
