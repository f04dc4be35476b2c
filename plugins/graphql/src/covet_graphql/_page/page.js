"use strict";
const part = (id) => document.getElementById(id);
const place = document.body.dataset;
const url = new URL(place.path, location.href);
const streams = place.stream ? new URL(place.stream, location.href) : null;
let running = null;

function parsed(id) {
  const text = part(id).value.trim();
  if (!text) return undefined;
  try {
    const value = JSON.parse(text);
    if (typeof value === "object" && !Array.isArray(value)) return value ?? undefined;
  } catch (error) {
    throw new Error(`The ${id} are no JSON: ${error.message}`);
  }
  throw new Error(`The ${id} have to be a JSON object.`);
}

function show(value) {
  part("answer").textContent = typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

async function ask(request, headers, signal) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/graphql-response+json, application/json;q=0.9", ...headers },
    body: JSON.stringify(request),
    signal,
  });
  return received(answer);
}

// What a proxy or the server itself answers in place of GraphQL is shown as it is.
async function received(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${answer.status} ${answer.statusText}\n${text}`.trim());
  }
}

// A subscription, or an answer in parts: blocks of server-sent events, each "event: next" with an answer.
async function listen(request, headers, signal) {
  const answer = await fetch(streams, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream", ...headers },
    body: JSON.stringify(request),
    signal,
  });
  if (!answer.ok || !(answer.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
    show(await received(answer));
    return;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  show("");
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
      if (block.includes("event: next")) part("answer").append(JSON.stringify(JSON.parse(data), null, 2) + "\n");
    }
  }
}

async function run() {
  if (running) running.abort();
  const mine = (running = new AbortController());
  part("stop").disabled = false;
  part("answer").setAttribute("aria-busy", "true");
  try {
    const query = part("query").value;
    const request = { query, variables: parsed("variables") };
    const headers = parsed("headers");
    const many = /^\s*subscription\b|@(defer|stream)\b/m.test(query);
    if (many && streams) await listen(request, headers, mine.signal);
    else show(await ask(request, headers, mine.signal));
  } catch (error) {
    if (error.name !== "AbortError") show(error.message);
  }
  if (running !== mine) return;
  running = null;
  part("stop").disabled = true;
  part("answer").setAttribute("aria-busy", "false");
}

const named = (type) =>
  type.kind === "NON_NULL" ? named(type.ofType) + "!" : type.kind === "LIST" ? "[" + named(type.ofType) + "]" : type.name;

const OF = "kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";
const SCHEMA = `{ __schema { types { kind name description enumValues { name description }
  fields { name description type { ${OF} } args { name type { ${OF} } } }
  inputFields { name description type { ${OF} } } possibleTypes { name } } } }`;

function line(text, note) {
  const item = document.createElement("li");
  const code = document.createElement("code");
  code.textContent = text;
  item.append(code);
  if (note) {
    const small = document.createElement("small");
    small.textContent = note;
    item.append(small);
  }
  return item;
}

async function describe() {
  const found = await ask({ query: SCHEMA }, parsed("headers"));
  part("types").replaceChildren();
  if (!found.data) {
    part("types").textContent = "The schema may not be asked for: 'introspection' is off.";
    return;
  }
  const roots = ["Query", "Mutation", "Subscription"];
  const types = found.data.__schema.types.filter((each) => !each.name.startsWith("__"));
  types.sort((a, b) => (roots.includes(b.name) - roots.includes(a.name)) || a.name.localeCompare(b.name));
  for (const type of types) {
    const list = document.createElement("ul");
    for (const field of type.fields ?? type.inputFields ?? []) {
      const args = (field.args ?? []).map((each) => `${each.name}: ${named(each.type)}`).join(", ");
      list.append(line(`${field.name}${args ? `(${args})` : ""}: ${named(field.type)}`, field.description));
    }
    for (const value of type.enumValues ?? []) list.append(line(value.name, value.description));
    if (type.kind !== "OBJECT") for (const each of type.possibleTypes ?? []) list.append(line(each.name));
    const details = document.createElement("details");
    details.open = roots.includes(type.name);
    const summary = document.createElement("summary");
    summary.textContent = type.name;
    details.append(summary, list);
    if (type.description) summary.title = type.description;
    part("types").append(details);
  }
}

// Types in which something has the words that are looked for stay, and are open.
function find() {
  const words = part("find").value.trim().toLowerCase();
  for (const type of part("types").children) {
    const found = !words || type.textContent.toLowerCase().includes(words);
    type.hidden = !found;
    if (words) type.open = found;
  }
}

part("find").addEventListener("input", find);
part("run").addEventListener("click", run);
part("stop").addEventListener("click", () => running && running.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
  }
});
const look = () => describe().catch((error) => { part("types").textContent = error.message; });
// A schema may be shown to those alone who say who they are.
part("headers").addEventListener("change", look);
look();
