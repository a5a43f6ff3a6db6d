// A text of tokens: each can be coloured, pointed at, and reached with the arrow keys.

const BLOCK = 200; // tokens in a block: the browser lays out only the blocks that are in view

const SIGNS = { "\n": "↵", " ": "␣", "\t": "⇥" };
export const visible = (token) => [...token].map((c) => SIGNS[c] ?? c).join("");

export class TokenText {
  constructor(element, spaced, onToken) {
    Object.assign(this, { element, spaced, onToken });
    this.clear();
    const at = (event) => event.target.closest?.("b");
    element.addEventListener("mouseover", (event) => at(event) && this.select(at(event)));
    element.addEventListener("click", (event) => at(event) && this.select(at(event), true));
    element.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!move || !this.tokens.length) return;
      event.preventDefault();
      const next = Math.min(this.tokens.length - 1, Math.max(0, this.place + move));
      this.select(this.tokens[next], false, true);
    });
  }

  clear() {
    this.element.replaceChildren();
    this.tokens = [];
    this.place = -1;
  }

  add(token, kind = "") {
    if (this.tokens.length % BLOCK === 0) this.element.append(document.createElement("span"));
    const node = document.createElement("b");
    node.textContent = (this.spaced && this.tokens.length ? " " : "") + token;
    node.className = kind;
    node.i = this.tokens.length;
    this.tokens.push(node);
    this.element.lastChild.append(node);
    return node;
  }

  dropLast(count) {
    for (const node of this.tokens.splice(this.tokens.length - count)) node.remove();
  }

  select(node, chosen = false, scroll = false) {
    if (node.i === this.place && !chosen) return;
    this.tokens[this.place]?.classList.remove("at");
    this.place = node.i;
    node.classList.add("at");
    if (scroll) node.scrollIntoView({ block: "nearest" });
    this.onToken(node.i, chosen);
  }

  // `share` of a token is in -1..1: blue below zero, red above.
  paint(share) {
    this.tokens.forEach((node, i) => {
      const value = share(i);
      node.style.backgroundColor = !value ? "" :
        `rgb(var(${value > 0 ? "--hot" : "--cold"}) / ${Math.min(1, Math.abs(value)).toFixed(2)})`;
    });
  }
}

// Fills a panel with a title, lines of text, and the likely tokens with their probabilities.
export function showDetails(panel, title, facts, likely = [], taken = null) {
  const heading = document.createElement("strong");
  heading.textContent = title;
  const table = document.createElement("table");
  for (const [token, probability] of likely) {
    const row = table.insertRow();
    row.className = token === taken ? "taken" : "";
    row.insertCell().textContent = visible(token);
    const bar = document.createElement("meter");
    bar.value = probability;
    row.insertCell().append(bar);
    row.insertCell().textContent = `${(100 * probability).toFixed(1)} %`;
  }
  const lines = facts.map((fact) => {
    const line = document.createElement("div");
    line.textContent = fact;
    return line;
  });
  panel.replaceChildren(heading, ...lines, table);
}
