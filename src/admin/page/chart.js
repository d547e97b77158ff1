// Small drawings, in SVG: a window to scale, a row of bars, resumes against gaps. All of them are described in words beside.

const SVG = "http://www.w3.org/2000/svg";

/** An element of SVG with these attributes. */
function draw(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Puts drawings in the place of those that are there, unless they are the same. */
function show(svg, key, parts) {
  if (svg.dataset.drawn === key) return;
  svg.dataset.drawn = key;
  svg.replaceChildren(...parts());
}

const round = (value) => Math.round(value * 10) / 10;

/** Between nothing and all of it. */
const part = (value, of) => (of > 0 ? Math.min(1, Math.max(0, value / of)) : 0);

const WIDE = 200;

/**
 * A window: how much of each bound it has, from the low edge at the left of the bar to the fence at its right. `behind` is
 * how many events the client that is furthest behind has yet to take.
 */
export function drawWindow(svg, window, behind) {
  svg.setAttribute("viewBox", `0 0 ${WIDE} 26`);
  svg.setAttribute("preserveAspectRatio", "none");
  const fill = round(part(window.events, window.events_limit) * WIDE);
  const bytes = round(part(window.bytes, window.bytes_limit) * WIDE);
  const age = round(part(window.oldest_seconds ?? 0, window.age_limit_seconds) * WIDE);
  const at = round(WIDE - part(behind, window.events_limit) * WIDE);
  show(svg, [fill, bytes, age, behind > 0 && at].join(), () => {
    const bar = (kind, y, height, width) => [
      draw("rect", { class: "track", x: 0, y, width: WIDE, height }),
      draw("rect", { class: kind, x: WIDE - width, y, width, height }),
    ];
    const marks = [draw("rect", { class: "edge", x: WIDE - 2, y: 5, width: 2, height: 13 })];
    if (fill > 0) {
      marks.push(draw("rect", { class: "edge", x: Math.max(0, WIDE - fill), y: 5, width: 2, height: 13 }));
    }
    if (behind > 0) {
      const x = Math.min(WIDE - 5, Math.max(5, at));
      marks.push(draw("path", { class: "behind", d: `M${x - 5} 0h10l-5 7z` }));
    }
    return [...bar("fill", 6, 11, fill), ...bar("bytes", 19, 3, bytes), ...bar("age", 23, 3, age), ...marks];
  });
}

/** A bar for each minute, now at the right; `most` is what a whole bar stands for. */
export function drawMinutes(svg, counts, minutes, most) {
  const step = WIDE / minutes;
  svg.setAttribute("viewBox", `0 0 ${WIDE} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  show(svg, `${minutes}:${most}:${counts.join()}`, () => [
    draw("rect", { class: "ground", x: 0, y: 19, width: WIDE, height: 1 }),
    ...bars(counts, minutes).map(([at, count]) => {
      // One is seen beside a thousand.
      const height = round(Math.max(3, part(count, most) * 19));
      return draw("rect", { class: "bar", x: round(at * step), y: 19 - height, width: round(step * 0.8), height });
    }),
  ]);
}

/** The counts that are not zero, with the minute that each is of. */
function bars(counts, minutes) {
  const first = minutes - counts.length;
  return counts.map((count, at) => [first + at, count]).filter(([, count]) => count > 0);
}

const MARGINS = { left: 40, right: 4, top: 12, bottom: 20 };

/** Resumes above the line, gaps of all reasons below it, on one scale. */
export function drawAnswers(svg, series, minutes) {
  // As large as it stands there, so that its words are as large as others.
  const size = { width: svg.clientWidth || 720, height: svg.clientHeight || 200, ...MARGINS };
  const { width, height, left, right, top, bottom } = size;
  const up = stacked(series.filter((one) => one.up));
  const down = stacked(series.filter((one) => !one.up));
  const [highest, lowest] = [up, down].map((all) => Math.max(0, ...all.flatMap((one) => one.ends)));
  const all = highest + lowest || 1;
  const room = height - top - bottom;
  const axis = round(top + (highest || (lowest ? 0 : 1)) * (room / all));
  const step = (width - left - right) / minutes;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const key = JSON.stringify([width, height, minutes, series.map((one) => one.counts)]);
  const bar = (one, sign) =>
    one.counts.flatMap((count, at) => {
      if (count === 0) return [];
      const from = ((one.ends[at] - count) * room) / all;
      const tall = Math.max(2, (count * room) / all);
      const y = round(sign > 0 ? axis - from - tall : axis + from);
      const x = round(left + (minutes - one.counts.length + at) * step);
      return [draw("rect", { class: one.name, x, y, width: round(step * 0.82), height: round(tall) })];
    });
  show(svg, key, () => [
    ...patterns(),
    ...up.flatMap((one) => bar(one, 1)),
    ...down.flatMap((one) => bar(one, -1)),
    draw("rect", { class: "ground", x: left, y: axis - 0.5, width: width - left - right, height: 1 }),
    ...labels(size, axis, highest, lowest),
  ]);
}

/** Where each count ends, when those before it stand below it. */
function stacked(series) {
  const sums = [];
  return series.map((one) => {
    const ends = one.counts.map((count, at) => (sums[at] = (sums[at] ?? 0) + count));
    return { ...one, ends };
  });
}

/** What is told by colour is told by a pattern, too. */
function patterns() {
  const lines = { "gap-expired": "M0 0h6v6H0z", "gap-generation": "M-1 7L7-1M2 10L10 2", "gap-ahead": "M0 1h6M0 4h6" };
  const all = Object.entries(lines).map(([id, d]) => {
    const pattern = draw("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
    pattern.append(draw("path", { class: `pattern ${id}`, d }));
    return pattern;
  });
  const defs = draw("defs", {});
  defs.append(...all);
  return [defs];
}

function labels({ width, height, left, right, top, bottom }, axis, highest, lowest) {
  const label = (words, x, y, anchor) => {
    const text = draw("text", { x, y, "text-anchor": anchor });
    text.textContent = words;
    return text;
  };
  const all = [
    label("an hour ago", left, height - 5, "start"),
    label("30 min", (left + width - right) / 2, height - 5, "middle"),
    label("now", width - right, height - 5, "end"),
  ];
  if (highest > 0) all.push(label(highest, left - 6, top + 4, "end"));
  if (lowest > 0 || highest > 0) all.push(label("0", left - 6, axis + 4, "end"));
  if (lowest > 0 && height - bottom - axis > 14) all.push(label(lowest, left - 6, height - bottom, "end"));
  return all;
}
