// Look inside: the units and gates of a layer over a text.

import { frames } from "/page/api.js";
import { colour, context, whenSeen } from "/page/plot.js";
import { task } from "/page/task.js";
import { TokenText, showDetails, visible } from "/page/text.js";

const CELL = { width: 6, height: 3 }; // of a token and a unit, in pixels

export function startInside(section, model) {
  const form = section.querySelector("form");
  const { layer, array, unit } = form.elements;
  const panel = section.querySelector(".details");
  const map = section.querySelector(".map");
  const canvas = map.querySelector("canvas");
  let values = null, units = 0, tokens = [], limit = 1;

  const text = new TokenText(section.querySelector(".text"), model.unit, (i, chosen) => {
    if (values) show(i);
    if (chosen) map.scrollLeft = i * CELL.width - map.clientWidth / 2;
  });
  const option = (name, value) => new Option(name, value);
  layer.replaceChildren(...model.layers.map((each, i) => option(`${each.name}: ${each.cell}`, i)));
  const listArrays = () => {
    const chosen = array.value;
    array.replaceChildren(...model.layers[layer.value].arrays.map((name) => option(name, name)));
    if (model.layers[layer.value].arrays.includes(chosen)) array.value = chosen;
  };
  listArrays();

  const at = (i, k) => values[i * units + k];
  const chosenUnit = () => Math.min(units - 1, Math.max(0, Math.trunc(Number(unit.value)) || 0));

  function show(i) {
    const k = chosenUnit();
    const strongest = [...Array(units).keys()].sort((a, b) => Math.abs(at(i, b)) - Math.abs(at(i, a)));
    const named = strongest.slice(0, 6).map((each) => `unit ${each}: ${at(i, each).toFixed(3)}`);
    showDetails(panel, model.unit, `${i + 1}: ${visible(tokens[i], model.unit)}`, [`unit ${k}: ${at(i, k).toFixed(3)}`, "strongest:", ...named]);
  }

  function paint() {
    const k = chosenUnit();
    let most = 1e-9;
    for (let i = 0; i < tokens.length; i++) most = Math.max(most, Math.abs(at(i, k)));
    text.paint((i) => 0.85 * at(i, k) / most);
    draw();
    if (text.place >= 0) show(text.place);
  }

  // Draws the columns that are in view.
  function draw() {
    if (!values || map.hidden) return;
    const width = map.clientWidth, height = units * CELL.height;
    const { drawing } = context(canvas, width, height);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const first = Math.floor(map.scrollLeft / CELL.width);
    const count = Math.min(tokens.length - first, Math.ceil(width / CELL.width) + 1);
    const image = new ImageData(count, units);
    const [hot, cold] = ["--hot", "--cold"].map((name) => colour(name).split(" ").map(Number));
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < units; k++) {
        const share = at(first + i, k) / limit, place = 4 * (k * count + i);
        image.data.set(share > 0 ? hot : cold, place);
        image.data[place + 3] = 255 * Math.min(1, Math.abs(share));
      }
    }
    const small = new OffscreenCanvas(count, units);
    small.getContext("2d").putImageData(image, 0, 0);
    drawing.imageSmoothingEnabled = false;
    const left = first * CELL.width - map.scrollLeft;
    drawing.drawImage(small, left, 0, count * CELL.width, height);
    drawing.strokeStyle = colour("--accent");
    drawing.strokeRect(0.5, chosenUnit() * CELL.height - 0.5, width - 1, CELL.height + 1);
  }

  function ranksTable(ranks) {
    const rows = ranks.map(({ feature, best }) => {
      const block = document.createElement("div");
      block.textContent = `${feature} `;
      for (const [k, correlation] of best) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = `${k}: ${correlation.toFixed(2)}`;
        button.addEventListener("click", () => { unit.value = k; paint(); });
        block.append(button);
      }
      return block;
    });
    const heading = document.createElement("div");
    heading.textContent = "Units that follow the text (unit: correlation)";
    section.querySelector(".ranks").replaceChildren(heading, ...rows);
  }

  const run = task(section, async (data, signal) => {
    const request = { text: data.get("text"), layer: Number(layer.value), array: array.value };
    const found = await frames("/api/inside", request, signal);
    ({ tokens, units } = found[0].header);
    values = new Float32Array(tokens.length * units);
    let filled = 0;
    for (const { values: part } of found) {
      values.set(part, filled);
      filled += part.length;
    }
    limit = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
    unit.max = units - 1;
    unit.value = chosenUnit();
    map.hidden = section.querySelector("#map-hint").hidden = false;
    const spacer = map.querySelector(".spacer");
    spacer.style.width = `${tokens.length * CELL.width}px`;
    spacer.style.height = `${units * CELL.height}px`;
    text.clear();
    for (const token of tokens) text.add(token);
    ranksTable(found.map(({ header }) => header).filter(({ feature }) => feature));
    paint();
    return `${tokens.length.toLocaleString("en")} tokens, ${units} units`;
  });

  layer.addEventListener("change", () => { listArrays(); if (values) run(); });
  array.addEventListener("change", () => values && run());
  unit.addEventListener("input", () => values && paint());
  map.addEventListener("scroll", draw);
  whenSeen(map, draw);
  map.addEventListener("keydown", (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!move || !values) return;
    event.preventDefault();
    unit.value = Math.min(units - 1, Math.max(0, chosenUnit() + move));
    const top = chosenUnit() * CELL.height;
    map.scrollTop = Math.min(top, Math.max(map.scrollTop, top + CELL.height - map.clientHeight));
    paint();
  });
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    unit.value = Math.floor((event.clientY - box.top) / CELL.height);
    const i = Math.floor((event.clientX - box.left + map.scrollLeft) / CELL.width);
    if (i < tokens.length) text.select(text.tokens[i], false, true);
    paint();
  });
}
