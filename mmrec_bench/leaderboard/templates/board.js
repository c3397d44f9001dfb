// Filters: a row is shown where all words of the text are in it, and each chosen word stands in its column.
for (const form of document.querySelectorAll("form.filter")) {
  const table = form.parentElement.querySelector("table");
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  const rows = [...table.tBodies[0].rows];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const apply = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/);
    const chosen = [...form.querySelectorAll("select")].filter((select) => select.value);
    for (const row of rows) {
      const has = (select) => row.cells[names.indexOf(select.dataset.column)].textContent.split(", ").includes(select.value);
      row.hidden = !(words.every((word) => texts.get(row).includes(word)) && chosen.every(has));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    form.querySelector("output").textContent = `${shown} of ${rows.length} ${form.dataset.what}`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}

// Quantile of |t|: with t = sqrt(freedom) tan(x), the density of x is proportional to cos(x)^(freedom - 1).
const quantile = (level, freedom) => {
  const steps = 20000, sums = [0];
  const angle = (step) => (Math.PI / 2) * (step / steps);
  for (let step = 0; step < steps; step++) sums.push(sums[step] + Math.cos(angle(step + 0.5)) ** (freedom - 1));
  const wanted = level * sums[steps];
  const after = sums.findIndex((sum) => sum >= wanted);
  const before = after - (sums[after] - wanted) / (sums[after] - sums[after - 1]);
  return Math.sqrt(freedom) * Math.tan(angle(before));
};

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// Variance of the mean of an entry, its degrees of freedom, or what is missing to tell.
const spread = (entry, found) => {
  if (entry.deterministic) return { variance: 0, freedom: Infinity };
  if (!found.seeds.length) return { missing: `no values of single seeds of ${entry.title}` };
  if (found.seeds.length < 2) return { missing: `one seed of ${entry.title}` };
  const centre = mean(found.seeds), n = found.seeds.length;
  // Sums are rounded, so that the mean of equal values can differ from them.
  if (found.seeds.every((value) => value === found.seeds[0])) return { variance: 0, freedom: n - 1 };
  const variance = found.seeds.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (n - 1) / n;
  return { variance, freedom: n - 1 };
};

// Whether some seed of one gives all numbers of a seed of the other: then they hold the same run, as an entry does that
// adds seeds to an earlier one.
const shareRuns = (first, second, metrics) => {
  const runs = ({ tests }) => (tests[metrics[0]]?.seeds ?? []).map((_, seed) => metrics.map((name) => tests[name]?.seeds[seed]).join());
  const known = new Set(runs(first));
  return runs(second).some((run) => known.has(run));
};

const interval = (first, second, metric, level) => {
  const sides = [spread(first, first.tests[metric]), spread(second, second.tests[metric])];
  const missing = sides.map((side) => side.missing).filter(Boolean);
  if (missing.length) return { text: `none: ${missing.join(", ")}` };
  const variance = sides[0].variance + sides[1].variance;
  if (variance === 0) return { text: "none: neither differs between seeds, and scores of users are not at hand" };
  const freedom = variance ** 2 / sides.reduce((sum, side) => sum + side.variance ** 2 / side.freedom, 0);
  const half = quantile(level, freedom) * Math.sqrt(variance);
  const difference = first.tests[metric].mean - second.tests[metric].mean;
  return { low: difference - half, high: difference + half };
};

const comparison = document.querySelector(".compare");
if (comparison) {
  const { level, metrics, entries } = JSON.parse(document.querySelector("#values").textContent);
  const selects = [...comparison.querySelectorAll("select")];
  const body = comparison.querySelector("tbody");
  const signed = (value) => (value < 0 ? "" : "+") + value.toFixed(4);
  const add = (row, tag, text, value) => {
    const cell = document.createElement(tag);
    cell.textContent = text;
    if (tag === "th") cell.scope = "row";
    if (value !== undefined) Object.assign(cell, { className: "number", title: String(value) }).dataset.value = value;
    row.append(cell);
    return cell;
  };
  const show = () => {
    const pair = selects.map((select) => entries[select.value]);
    const alike = pair[0] === pair[1] ? "the same entry" : shareRuns(...pair, metrics) ? "runs of the two are the same" : "";
    body.replaceChildren();
    for (const metric of metrics) {
      const means = pair.map((entry) => entry.tests[metric]?.mean);
      const row = body.insertRow();
      add(row, "th", metric);
      for (const value of means) value === undefined ? add(row, "td", "-") : add(row, "td", value.toFixed(4), value);
      if (means.includes(undefined)) {
        const lacking = pair.filter((_, side) => means[side] === undefined).map((entry) => entry.title);
        add(row, "td", "-");
        add(row, "td", `none: ${lacking.join(" and ")} lacks it`);
        continue;
      }
      add(row, "td", signed(means[0] - means[1]), means[0] - means[1]);
      const found = alike ? { text: `none: ${alike}` } : interval(...pair, metric, level);
      const cell = add(row, "td", found.text ?? `[${signed(found.low)}, ${signed(found.high)}]`);
      if (!found.text) Object.assign(cell.dataset, { low: found.low, high: found.high });
    }
  };
  selects[1].selectedIndex = 1;
  comparison.addEventListener("input", show);
  comparison.hidden = false;
  show();
}
