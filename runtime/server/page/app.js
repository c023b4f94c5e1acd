// The page of a server: draws one picture at a time, and shows the load once a second.

const POLL_MS = 1000;
const POINTS = 120;
const KEPT = 24;
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
const history = [];
let shown = null;

// ---- drawing

async function draw(event) {
  event.preventDefault();
  const prompt = byId("prompt").value.trim();
  if (!prompt) {
    showError("A prompt is needed.");
    return;
  }
  const order = { prompt, size: byId("size").value, n: 1, response_format: "b64_json" };
  if (byId("seed").value !== "") order.seed = Number(byId("seed").value);
  showError("");
  setBusy(true);
  const began = performance.now();
  try {
    const answer = await ask(order);
    const picture = answer.data[0];
    const blob = new Blob([fromBase64(picture.b64_json)], { type: `image/${answer.output_format ?? "png"}` });
    const made = {
      prompt,
      asked: order.size,
      url: URL.createObjectURL(blob),
      seed: picture.seed,
      size: picture.size,
      late: picture.late,
      wait: picture.timings.wait_ms,
      service: picture.timings.service_ms,
      total: performance.now() - began,
    };
    show(made);
    keep(made);
  } catch (error) {
    showError(error.message);
  } finally {
    setBusy(false);
  }
}

async function ask(order) {
  let response;
  try {
    response = await fetch("/v1/images/generations", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...authorization() },
      body: JSON.stringify(order),
    });
  } catch {
    throw new Error("The server can't be reached.");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  const retry = response.headers.get("Retry-After");
  const message = answer?.error?.message ?? `The server answered ${response.status}.`;
  throw new Error(retry ? `${message} (try again in ${retry} s)` : message);
}

function authorization() {
  const key = byId("key").value;
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function show(made) {
  shown = made;
  const image = new Image();
  image.src = made.url;
  image.alt = made.prompt;
  byId("frame").replaceChildren(image);
  byId("frame").classList.remove("empty");
  const save = document.createElement("a");
  save.href = made.url;
  save.download = `${made.seed}-${made.size}.png`;
  save.textContent = "save";
  const times = `waited ${ms(made.wait)}, drawn in ${ms(made.service)}${made.late ? ", late" : ""}`;
  byId("caption").replaceChildren(`${made.size}, seed ${made.seed}: ${times} · `, save);
}

function keep(made) {
  history.unshift(made);
  while (history.length > KEPT) {
    // A picture that is shown keeps its data until another one is.
    const old = history.pop();
    if (old !== shown) URL.revokeObjectURL(old.url);
  }
  byId("none").hidden = true;
  byId("recent").replaceChildren(...history.map(thumbnail));
}

function thumbnail(made) {
  const button = document.createElement("button");
  button.type = "button";
  button.title = `${made.prompt} (${made.size}, seed ${made.seed})`;
  const image = new Image();
  image.src = made.url;
  image.alt = "";
  const name = document.createElement("span");
  name.textContent = made.prompt;
  button.append(image, name);
  button.addEventListener("click", () => {
    byId("prompt").value = made.prompt;
    byId("seed").value = made.seed;
    byId("size").value = made.asked;
    show(made);
  });
  return button;
}

function setBusy(busy) {
  byId("go").disabled = busy;
  byId("go").textContent = busy ? "Drawing…" : "Draw";
  byId("frame").classList.toggle("busy", busy);
}

function showError(message) {
  byId("error").textContent = message;
  byId("error").hidden = !message;
}

// ---- load

const samples = [];

async function poll() {
  try {
    const response = await fetch("/status", { headers: authorization() });
    if (response.status === 401) {
      byId("key-field").hidden = false;
      setState("needs a key", "away");
    } else if (response.ok) {
      update(await response.json());
    } else {
      setState("not serving", "away");
    }
  } catch {
    setState("can't be reached", "away");
  }
  setTimeout(poll, POLL_MS);
}

function update(found) {

  byId("key-field").hidden = !found.auth;
  byId("served").textContent = `${found.model}, ${found.precision} on ${found.target}, policy ${found.policy}`;
  setState(found.state, found.state);
  fillSizes(found.sizes);
  samples.push({ waiting: found.queue.length, p95: found.recent.p95_ms });
  if (samples.length > POINTS) samples.shift();
  byId("waiting").textContent = found.queue.length;
  byId("in-use").textContent = found.size_in_use ?? "–";
  byId("rate").textContent = found.rate_per_s.toFixed(1);
  byId("p95").replaceChildren(found.recent.p95_ms === null ? "–" : ms(found.recent.p95_ms));
  const tile = byId("p95-tile").classList;
  tile.toggle("over", found.recent.p95_ms > found.objective_ms);
  tile.toggle("within", found.recent.p95_ms !== null && found.recent.p95_ms <= found.objective_ms);
  drawChart(byId("p95-chart"), samples.map((one) => one.p95), found.objective_ms, ms);
  drawChart(byId("queue-chart"), samples.map((one) => one.waiting), null, String);
  drawShares(found);
  const counts = found.counts;
  byId("counts").textContent =
    `${counts.arrived} came: ${counts.done} in time, ${counts.late} late, ${counts.shed} dropped, ` +
    `${counts.refused} refused, ${counts.cancelled} cancelled, ${counts.error} failed`;
  byId("workers").textContent = found.workers.map(workerWords).join(" · ");
}

function workerWords(worker) {
  const size = worker.size ? ` at ${worker.size}` : "";
  const restarts = worker.restarts ? `, restarts ${worker.restarts}` : "";
  return `worker ${worker.number}: ${worker.state}${size}${restarts}`;
}

function setState(words, kind) {
  const badge = byId("state");
  if (badge.textContent !== words) badge.textContent = words;
  badge.className = `badge ${kind}`;
}

function fillSizes(sizes) {
  const select = byId("size");
  if (select.options.length === sizes.length + 1) return;
  const chosen = select.value;
  select.replaceChildren(
    new Option("auto", "auto"),
    ...sizes.map((size) => new Option(`${size} × ${size}`, `${size}x${size}`)),
  );
  select.value = chosen;
  if (select.selectedIndex < 0) select.value = "auto";
}

function drawShares(found) {
  const total = found.recent.count;
  const rows = found.sizes.map((size) => {
    const share = total ? (found.recent.sizes[size] ?? 0) / total : 0;
    const row = document.createElement("div");
    row.className = "share";
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = share;
    bar.setAttribute("aria-label", `${size} pixels`);
    const name = document.createElement("span");
    name.textContent = size;
    const percent = document.createElement("span");
    percent.textContent = `${Math.round(100 * share)} %`;
    row.append(name, bar, percent);
    return row;
  });
  byId("shares").replaceChildren(...rows);
}

// A line over the last two minutes, newest at the right; gaps where nothing is known.
function drawChart(svg, values, goal, words) {
  const { width, height } = svg.viewBox.baseVal;
  const known = values.filter((value) => value !== null);
  const top = 1.15 * Math.max(1, goal ?? 0, ...known);
  const x = (index) => width - ((values.length - 1 - index) * width) / (POINTS - 1);
  const y = (value) => height - 6 - (value / top) * (height - 12);
  const parts = [];
  for (const run of runs(values)) {
    const points = run.map(([index, value]) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`);
    const [first, last] = [x(run[0][0]), x(run.at(-1)[0])];
    parts.push(shape("polygon", { class: "fill", points: `${first},${height} ${points.join(" ")} ${last},${height}` }));
    parts.push(shape("polyline", { class: "line", points: points.join(" ") }));
  }
  if (goal !== null) {
    parts.push(shape("line", { class: "goal", x1: 0, x2: width, y1: y(goal), y2: y(goal) }));
    parts.push(label(8, y(goal) > height / 2 ? y(goal) - 7 : y(goal) + 20, `objective ${words(goal)}`));
  } else {
    parts.push(label(8, 20, `most ${words(Math.max(0, ...known))}`));
  }
  svg.replaceChildren(...parts);
}

function runs(values) {
  const found = [];
  let run = [];
  values.forEach((value, index) => {
    if (value !== null) run.push([index, value]);
    else if (run.length) {
      found.push(run);
      run = [];
    }
  });
  if (run.length) found.push(run);
  return found;
}

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function label(x, y, words) {
  const text = shape("text", { x, y });
  text.textContent = words;
  return text;
}

function ms(value) {
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${Math.round(value)} ms`;
}

byId("form").addEventListener("submit", draw);
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    byId("form").requestSubmit();
  }
});
poll();
