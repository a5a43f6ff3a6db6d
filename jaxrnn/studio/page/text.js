// A text of tokens: each can be coloured, pointed at, and reached with the arrow keys.

const BLOCK = 200; // tokens after which a line ends a block: only blocks in view are laid out

const SIGNS = { "\n": "↵", " ": "␣", "\t": "⇥" };

// Returns a token as one can see it; of bytes, those that are no characters as \xe5.
export function visible(token, unit) {
  return [...token].map((c) => (unit === "byte" && c >= "\x7f"
    ? `\\x${c.charCodeAt(0).toString(16)}` : SIGNS[c] ?? c)).join("");
}

export class TokenText {
  constructor(element, unit, onToken) {
    Object.assign(this, { element, unit, onToken });
    this.clear();
    const at = (event) => event.target.closest?.("b");
    element.addEventListener("mouseover", (event) => at(event) && this.select(at(event)));
    element.addEventListener("click", (event) => at(event) && this.select(at(event), true));
    element.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!move || !this.tokens.length) return;
      event.preventDefault();
      const next = Math.min(this.tokens.length - 1, Math.max(0, this.place + move));
      this.select(this.tokens[next], true, true);
    });
  }

  clear() {
    this.element.replaceChildren();
    this.tokens = [];
    this.block = null;
    this.place = -1;
    this.decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // of bytes
  }

  // What a token adds to the text: of bytes, a character once it is complete.
  spell(token) {
    if (this.unit === "byte") {
      return this.decoder.decode(Uint8Array.of(token.charCodeAt(0)), { stream: true });
    }
    return (this.unit === "word" && this.tokens.length ? " " : "") + token;
  }

  add(token, kind = "") {
    const full = this.block?.childElementCount >= BLOCK && this.tokens.at(-1).textContent.endsWith("\n");
    if (!this.block || full) {
      this.block = document.createElement("span");
      this.element.append(this.block);
    }
    const node = document.createElement("b");
    node.textContent = kind === "given" ? token : this.spell(token);
    node.className = kind;
    node.i = this.tokens.length;
    this.tokens.push(node);
    this.block.append(node);
    return node;
  }

  dropLast(count) {
    for (const node of this.tokens.splice(this.tokens.length - count)) node.remove();
  }

  // Shows a token; `chosen` if it was clicked, or reached by the keys.
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
export function showDetails(panel, unit, title, facts, likely = [], taken = null) {
  const heading = document.createElement("strong");
  heading.textContent = title;
  const table = document.createElement("table");
  for (const [token, probability] of likely) {
    const row = table.insertRow();
    row.className = token === taken ? "taken" : "";
    row.insertCell().textContent = visible(token, unit);
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
