// A moving chart: the last samples, newest at the right, as SVG. Its label tells it in words.

import { element, svg } from "./elements.js";
import { WINDOW } from "./series.js";

const HEIGHT = 40;

export class Chart {
  #figure;
  #values = [];
  #beside = [];
  #now = element("span", { class: "now" }, "–");
  #scale = element("span", {}, "");
  #drawing;
  #layers;

  constructor(figure) {
    this.#figure = figure;
    this.#layers = [layer(0), layer(1)];
    const floor = svg("line", { class: "floor", x2: WINDOW - 1, y1: HEIGHT, y2: HEIGHT });
    this.#drawing = svg(
      "svg",
      { viewBox: `0 0 ${WINDOW - 1} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
      this.#layers[1].group,
      this.#layers[0].group,
      floor,
    );
    const caption = element("figcaption", {}, element("span", {}, figure.title), this.#scale);
    this.node = element("figure", { class: "card", id: `chart-${figure.id}` }, caption);
    this.node.append(this.#now, this.#drawing);
    this.#tell();
  }

  push(sample) {
    const { id, beside } = this.#figure;
    keep(this.#values, sample[id]);
    if (beside) keep(this.#beside, (sample[id] ?? 0) + sample[beside]);
    this.#draw(sample);
    this.#tell();
  }

  /** Now, mean and most, as text. */
  summary() {
    const known = this.#values.filter((value) => value !== null);
    const { format } = this.#figure;
    if (!known.length) return ["–", "–", "–"];
    const now = this.#values.at(-1);
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
    return [now === null ? "–" : format(now), format(mean), format(Math.max(...known))];
  }

  #draw(sample) {
    const { format, floor, ceiling, beside, besideTitle } = this.#figure;
    const top = ceiling ?? roundUp(Math.max(floor, ...this.#values.map((value) => value ?? 0)));
    trace(this.#layers[0], this.#values, top);
    trace(this.#layers[1], this.#beside, top);
    this.#now.textContent = this.summary()[0];
    if (beside) this.#now.append(element("small", {}, `  + ${format(sample[beside])} ${besideTitle}`));
    this.#scale.textContent = ceiling ? "" : `0 – ${top.toLocaleString("en")}`;
  }

  #tell() {
    const [now, mean, most] = this.summary();
    const label = `${this.#figure.title}, last two minutes: now ${now}, mean ${mean}, most ${most}`;
    this.#drawing.setAttribute("aria-label", label);
  }
}

/** The next of 1, 2, 4, 10, 20, 40, ... */
function roundUp(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 2, 4, 10].find((step) => step * unit >= value);
}

function keep(values, value) {
  values.push(value);
  if (values.length > WINDOW) values.shift();
}

function layer(number) {
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line", "vector-effect": "non-scaling-stroke" });
  return { area, line, group: svg("g", { class: `series-${number}` }, area, line) };
}

/** Draw runs of known values; where none is known, nothing. */
function trace({ area, line }, values, top) {
  const offset = WINDOW - values.length;
  let strokes = "";
  let fills = "";
  let run = [];
  const close = () => {
    if (!run.length) return;
    const path = run.map(([x, y]) => `${x} ${y.toFixed(2)}`).join("L");
    strokes += `M${path}`;
    fills += `M${run[0][0]} ${HEIGHT}L${path}L${run.at(-1)[0]} ${HEIGHT}Z`;
    run = [];
  };
  values.forEach((value, index) => {
    if (value === null) close();
    else run.push([offset + index, HEIGHT * (1 - Math.min(1, value / top))]);
  });
  close();
  line.setAttribute("d", strokes);
  area.setAttribute("d", fills);
}
