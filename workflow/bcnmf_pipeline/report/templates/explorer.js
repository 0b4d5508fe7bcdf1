// A map of samples: colours by label, annotation, target score, topic or gene; zoom, hover, classes on and off.
const COLOURS = [
  "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377",
  "#332288", "#44aa99", "#999933", "#882255", "#ddaa33", "#777777",
];
const RAMP = [[253, 231, 37], [94, 201, 98], [33, 145, 140], [59, 82, 139], [68, 1, 84]].reverse();
const REST = "#bdbdbd";

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
function words(text) {
  const raw = bytes(text);
  return Uint16Array.from({ length: raw.length / 2 }, (_, i) => raw[2 * i] | (raw[2 * i + 1] << 8));
}
function ramp(share) {
  const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const low = Math.min(Math.floor(place), RAMP.length - 2);
  const part = place - low;
  const mix = RAMP[low].map((value, i) => Math.round(value + part * (RAMP[low + 1][i] - value)));
  return `rgb(${mix.join(",")})`;
}
function element(tag, attributes = {}, text = "") {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}
function chooser(name, id, options) {
  const label = element("label", { for: id }, name);
  const select = element("select", { id });
  options.forEach((option, i) => select.append(element("option", { value: i }, option)));
  label.append(select);
  return [label, select];
}

class Explorer {
  constructor(root, data) {
    this.data = data;
    this.root = root;
    this.maps = data.maps.map((map) => ({
      ...map, x: words(map.x), y: words(map.y), topics: map.topics.map(bytes),
      scores: map.scores.map((one) => ({ ...one, values: bytes(one.values) })),
    }));
    this.classes = data.classes.map((one) => ({ ...one, codes: words(one.codes), off: new Set() }));
    this.genes = data.genes.map((gene) => ({ ...gene, values: bytes(gene.values) }));
    this.build();
    this.mapSelect.value = String(data.start);
    this.setMap(data.start);
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    document.addEventListener("themechange", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  build() {
    const id = this.root.dataset.source;
    const controls = element("div", { class: "controls" });
    const [mapLabel, mapSelect] = chooser("Map", `${id}-map`, this.maps.map((map) => map.name));
    const [colourLabel, colourSelect] = chooser("Colour", `${id}-colour`, []);
    this.colourSelect = colourSelect;
    this.mapSelect = mapSelect;
    const reset = element("button", { type: "button", class: "copy" }, "Whole map");
    controls.append(mapLabel, colourLabel, reset);
    const stage = element("div", { class: "stage" });
    this.canvas = element("canvas", {
      tabindex: "0", role: "img",
      "aria-label": `Map of ${this.data.n} samples. Arrow keys move, plus and minus zoom, zero shows all.`,
    });
    this.tip = element("div", { class: "tip", role: "status", hidden: "" });
    stage.append(this.canvas, this.tip);
    this.keys = element("div", { class: "keys" });
    const note = element("p", { class: "soft" }, this.data.note);
    this.root.append(controls, stage, this.keys, note);
    mapSelect.addEventListener("change", () => this.setMap(Number(mapSelect.value)));
    colourSelect.addEventListener("change", () => this.setColour(Number(colourSelect.value)));
    reset.addEventListener("click", () => this.whole());
    this.listen();
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.25 : 0.8, ...this.place(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      this.drag = this.place(event);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointerup", () => { this.drag = null; });
    canvas.addEventListener("pointermove", (event) => {
      const here = this.place(event);
      if (this.drag) {
        this.move(here[0] - this.drag[0], here[1] - this.drag[1]);
        this.drag = here;
      } else {
        this.hover(...here);
      }
    });
    canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    canvas.addEventListener("keydown", (event) => {
      const step = 40;
      const act = {
        ArrowLeft: () => this.move(step, 0), ArrowRight: () => this.move(-step, 0),
        ArrowUp: () => this.move(0, step), ArrowDown: () => this.move(0, -step),
        "+": () => this.zoom(1.25), "=": () => this.zoom(1.25), "-": () => this.zoom(0.8),
        "0": () => this.whole(), Escape: () => { this.tip.hidden = true; },
      }[event.key];
      if (act) { event.preventDefault(); act(); }
    });
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  setMap(index) {
    this.map = this.maps[index];
    const chosen = this.colouring ? this.colouring.name : "";
    const topics = this.map.topics.map((values, i) => ({
      name: `${this.map.noun} ${i + 1}`, values, low: this.map.low[i], high: this.map.high[i],
    }));
    this.colourings = [...this.classes, ...this.map.scores, ...topics, ...this.genes];
    this.colourSelect.replaceChildren(
      ...this.colourings.map((one, i) => element("option", { value: i }, one.name)),
    );
    const same = this.colourings.findIndex((one) => one.name === chosen);
    this.colourSelect.value = String(Math.max(same, 0));
    this.view = { scale: 1, x: 0, y: 0 };
    this.setColour(Math.max(same, 0));
  }

  setColour(index) {
    this.colouring = this.colourings[index];
    const one = this.colouring;
    this.keys.replaceChildren();
    if (one.codes) {
      one.names.forEach((name, code) => this.keys.append(this.key(one, name, code)));
    } else {
      const bar = element("span", { class: "ramp", role: "img", "aria-label": "Colours from low to high" });
      bar.style.background = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(ramp).join(",")})`;
      this.keys.append(element("span", {}, one.low), bar, element("span", {}, one.high));
    }
    this.paint();
    this.draw();
  }

  key(one, name, code) {
    const button = element("button", { type: "button", "aria-pressed": "true" });
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = COLOURS[code] || REST;
    button.append(swatch, document.createTextNode(name));
    button.setAttribute("aria-pressed", String(!one.off.has(code)));
    button.addEventListener("click", () => {
      if (!one.off.delete(code)) one.off.add(code);
      button.setAttribute("aria-pressed", String(!one.off.has(code)));
      this.draw();
    });
    return button;
  }

  // Colours of all samples, and the order in which they are drawn: the same few strings.
  paint() {
    const one = this.colouring;
    const n = this.data.n;
    this.fill = new Array(n);
    for (let i = 0; i < n; i++) {
      this.fill[i] = one.codes ? COLOURS[one.codes[i]] || REST : ramp(one.values[i] / 255);
    }
    this.order = Array.from({ length: n }, (_, i) => i);
    if (!one.codes) this.order.sort((a, b) => one.values[a] - one.values[b]);
  }

  visible(i) {
    return !this.colouring.codes || !this.colouring.off.has(this.colouring.codes[i]);
  }

  // Where a sample is, in pixels of the page.
  point(i) {
    const box = this.size;
    const side = Math.min(box.width, box.height) - 24;
    const { scale, x, y } = this.view;
    return [
      box.width / 2 + ((this.map.x[i] / 65535 - 0.5) * side + x) * scale,
      box.height / 2 - ((this.map.y[i] / 65535 - 0.5) * side - y) * scale,
    ];
  }

  draw() {
    const density = window.devicePixelRatio || 1;
    this.size = { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
    this.canvas.width = Math.round(this.size.width * density);
    this.canvas.height = Math.round(this.size.height * density);
    const context = this.canvas.getContext("2d");
    context.scale(density, density);
    const radius = Math.max(1.4, Math.min(4, 160 / Math.sqrt(this.data.n))) * Math.sqrt(this.view.scale);
    const edge = Math.max(1, 2 * radius);
    for (const i of this.order) {
      if (!this.visible(i)) continue;
      const [x, y] = this.point(i);
      if (x < -9 || y < -9 || x > this.size.width + 9 || y > this.size.height + 9) continue;
      context.fillStyle = this.fill[i];
      if (this.data.n > 4000) {
        context.fillRect(x - radius, y - radius, edge, edge);
      } else {
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.fill();
      }
    }
  }

  move(dx, dy) {
    this.view.x += dx / this.view.scale;
    this.view.y += dy / this.view.scale;
    this.draw();
  }

  zoom(factor, x = this.size.width / 2, y = this.size.height / 2) {
    const scale = Math.min(Math.max(this.view.scale * factor, 1), 60);
    const [cx, cy] = [x - this.size.width / 2, y - this.size.height / 2];
    this.view.x += cx / scale - cx / this.view.scale;
    this.view.y += cy / scale - cy / this.view.scale;
    this.view.scale = scale;
    this.draw();
  }

  whole() {
    this.view = { scale: 1, x: 0, y: 0 };
    this.draw();
  }

  hover(x, y) {
    let best = -1;
    let nearest = 64;
    for (let i = 0; i < this.data.n; i++) {
      if (!this.visible(i)) continue;
      const [px, py] = this.point(i);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < nearest) { nearest = distance; best = i; }
    }
    this.tip.hidden = best < 0;
    if (best < 0) return;
    const lines = [this.data.samples[best]];
    for (const one of this.classes) lines.push(`${one.name}: ${one.names[one.codes[best]]}`);
    let top = 0;
    this.map.topics.forEach((values, k) => {
      if (values[best] > this.map.topics[top][best]) top = k;
    });
    lines.push(`strongest: ${this.map.noun} ${top + 1} (relative to each one's largest)`);
    this.tip.replaceChildren(...lines.map((line) => element("div", {}, line)));
    const right = x > this.size.width / 2;
    this.tip.style.left = right ? "" : `${x + 14}px`;
    this.tip.style.right = right ? `${this.size.width - x + 14}px` : "";
    this.tip.style.top = `${Math.min(y + 10, this.size.height - 80)}px`;
  }
}

for (const root of document.querySelectorAll(".explorer")) {
  const data = JSON.parse(document.getElementById(root.dataset.source).textContent);
  root.explorer = new Explorer(root, data);
}
