// Asks every two seconds how the runs stand, and writes it into the page as text: nothing that a run says becomes HTML.
"use strict";

const EVERY = 2000, WHILE_HIDDEN = 15000;
const part = (id) => document.getElementById(id);
const cells = new Map(); // a run's key to the parts of its button
let layout = "", chosen = null, heard = null;

function element(kind, text, ...children) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

async function ask(place) {
  const answer = await fetch(place, { cache: "no-store" });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function drawRuns(seen) {
  say(part("summary"), seen.summary);
  say(part("left"), seen.left);
  part("share").value = seen.share;
  const wanted = JSON.stringify([seen.tasks, seen.backbones, seen.reports, seen.runs.map((run) => [run.key, run.label])]);
  if (wanted !== layout) {
    layout = wanted;
    layOut(seen);
  }
  for (const run of seen.runs) drawRun(run, cells.get(run.key));
  if (chosen === null) choose((seen.runs.find((run) => run.state === "running") ?? seen.runs[0])?.key ?? null);
}

function layOut(seen) {
  cells.clear();
  const rows = new Map();
  const head = element("tr", undefined, element("th", "backbone"), ...seen.tasks.map((task) => element("th", task)));
  const body = element("tbody");
  for (const backbone of seen.backbones) {
    const row = seen.tasks.map(() => element("td"));
    rows.set(backbone, row);
    body.append(element("tr", undefined, element("th", backbone), ...row));
  }
  for (const run of seen.runs) {
    const made = { number: element("b"), bar: element("progress"), line: element("small") };
    made.button = element("button", undefined, made.number, element("span", run.label), made.bar, made.line);
    made.button.addEventListener("click", () => { choose(run.key); renew(); });
    cells.set(run.key, made);
    rows.get(run.backbone)[seen.tasks.indexOf(run.task)].append(made.button);
  }
  part("matrix").replaceChildren(element("thead", undefined, head), body);
  part("reports").replaceChildren(...seen.reports.flatMap((report) => {
    const link = element("a", report.name);
    link.href = "report.html?key=" + encodeURIComponent(report.key);
    return [link, " "];
  }));
  choose(chosen);
}

function drawRun(run, cell) {
  const running = run.state === "running";
  cell.button.className = run.state;
  cell.button.title = run.line;
  say(cell.number, run.state === "done" ? run.number : running ? Math.floor(run.share * 100) + "%" : run.state);
  say(cell.line, run.state === "done" ? "" : run.line);
  cell.bar.hidden = !running;
  cell.bar.value = run.share;
  if (run.key === chosen) {
    say(part("title"), `${run.task}, ${run.backbone}, ${run.label}: ${run.state}`);
    say(part("line"), run.line);
  }
}

function choose(key) {
  chosen = key;
  for (const [other, cell] of cells) cell.button.setAttribute("aria-pressed", String(other === key));
}

function drawDetail(run) {
  part("detail").hidden = false;
  const facts = run.facts ?? [];
  part("facts").replaceChildren(...facts.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
  const lines = [...(run.problem ? [run.problem] : []), ...(run.attempts ?? []).map((reason) => `failed try: ${reason}`)];
  part("attempts").replaceChildren(...lines.map((line) => element("li", line)));
  part("curves").replaceChildren(...(run.curves ?? []).map(drawCurve));
  const log = part("log"), atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
  say(log, (run.log ?? []).join("\n"));
  log.hidden = !log.textContent;
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function drawCurve({ name, points }) {
  const [steps, values] = [0, 1].map((axis) => points.map((point) => point[axis]));
  const [left, right, low, high] = [steps, values].flatMap((all) => [Math.min(...all), Math.max(...all)]);
  const place = ([step, value]) => {
    const x = (step - left) / (right - left || 1), y = (value - low) / (high - low || 1);
    return `${(x * 240).toFixed(1)},${(118 - y * 116).toFixed(1)}`;
  };
  const [drawing, line] = ["svg", "polyline"].map((kind) => document.createElementNS("http://www.w3.org/2000/svg", kind));
  drawing.setAttribute("viewBox", "0 0 240 120");
  drawing.setAttribute("preserveAspectRatio", "none");
  line.setAttribute("points", points.map(place).join(" "));
  drawing.append(line);
  const short = (value) => Number(value.toPrecision(4));
  const caption = `${name}: now ${short(values.at(-1))}, from ${short(low)} to ${short(high)}, to step ${right}`;
  return element("figure", undefined, drawing, element("figcaption", caption));
}

async function renew() {
  const contact = part("contact");
  try {
    drawRuns(await ask("runs.json"));
    const key = chosen;
    if (key !== null) {
      const run = await ask("run.json?key=" + encodeURIComponent(key));
      if (key === chosen) drawDetail(run);
    }
    heard = new Date();
    contact.className = "";
    say(contact, `as of ${heard.toLocaleTimeString()}`);
  } catch (error) {
    contact.className = "lost";
    const since = heard ? `this is what was seen at ${heard.toLocaleTimeString()}` : "nothing was seen yet";
    say(contact, `no answer (${error.message}); ${since}; asking again`);
  }
}

async function follow() {
  await renew();
  setTimeout(follow, document.hidden ? WHILE_HIDDEN : EVERY);
}

if (location.search) history.replaceState(null, "", location.pathname); // The token is in the cookie now.
follow();
