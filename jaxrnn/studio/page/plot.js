// Curves on a canvas.

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Fits a canvas to its size on the screen; returns its context and size in CSS pixels.
export function context(canvas, width = canvas.clientWidth, height = canvas.clientHeight) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const drawing = canvas.getContext("2d");
  drawing.scale(scale, scale);
  return { drawing, width, height };
}

// Draws when an element is shown or gets another size, and when the theme changes.
export function whenSeen(element, draw) {
  const ifSeen = () => { if (element.clientWidth) draw(); };
  new ResizeObserver(ifSeen).observe(element);
  document.addEventListener("theme", ifSeen);
}

// Draws curves, each {points: [[x, y], ...], colour, dash, thin}, with y on a logarithmic scale.
export function curves(canvas, all, { mark = null, label = "" } = {}) {
  if (!canvas.clientWidth) return; // it is hidden
  const { drawing, width, height } = context(canvas);
  const points = all.flatMap((each) => each.points);
  if (!points.length) return;
  const [left, right, top, bottom] = [52, 10, 10, 24];
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  const least = (values) => values.reduce((a, b) => Math.min(a, b));
  const most = (values) => values.reduce((a, b) => Math.max(a, b));
  const [x0, x1] = [least(xs), Math.max(most(xs), least(xs) + 1)];
  const [y0, y1] = [Math.log(least(ys)) - 0.05, Math.log(most(ys)) + 0.05];
  const toX = (x) => left + (x - x0) / (x1 - x0) * (width - left - right);
  const toY = (y) => height - bottom - (Math.log(y) - y0) / (y1 - y0) * (height - top - bottom);
  drawing.font = "12px system-ui";
  drawing.fillStyle = colour("--faint");
  drawing.strokeStyle = colour("--line");
  for (const tick of ticks(Math.exp(y0), Math.exp(y1))) {
    drawing.beginPath();
    drawing.moveTo(left, toY(tick));
    drawing.lineTo(width - right, toY(tick));
    drawing.stroke();
    drawing.fillText(Number(tick.toPrecision(3)).toLocaleString("en"), 4, toY(tick) + 4);
  }
  drawing.fillText(String(x0), left, height - 6);
  drawing.fillText(`${x1} ${label}`, width - right - drawing.measureText(`${x1} ${label}`).width, height - 6);
  for (const each of all) {
    drawing.strokeStyle = each.colour;
    drawing.setLineDash(each.dash ?? []);
    drawing.lineWidth = each.thin ? 0.7 : 1.8;
    drawing.beginPath();
    const every = Math.max(1, Math.floor(each.points.length / width)); // about a point a pixel
    each.points.forEach(([x, y], i) => {
      if (i % every === 0) drawing[i ? "lineTo" : "moveTo"](toX(x), toY(y));
    });
    if (each.points.length === 1) drawing.arc(toX(each.points[0][0]), toY(each.points[0][1]), 2, 0, 7);
    drawing.stroke();
  }
  drawing.setLineDash([]);
  if (mark !== null) {
    drawing.strokeStyle = colour("--accent");
    drawing.beginPath();
    drawing.moveTo(toX(mark), top);
    drawing.lineTo(toX(mark), height - bottom);
    drawing.stroke();
  }
}

// A few round numbers between two others.
function ticks(low, high) {
  const steps = [1, 1.5, 2, 3, 5, 7];
  const all = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    all.push(...steps.map((step) => step * 10 ** power));
  }
  const inside = all.filter((tick) => tick >= low && tick <= high);
  return inside.length > 1 ? inside : [low * 1.02, high / 1.02];
}
