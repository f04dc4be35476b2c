// The reference page: reads the OpenAPI document and shows it. Everything in the document is data:
// it becomes text nodes and attributes of our own choice, never markup, a script or a style.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options", "trace", "query"];
const FORMS = ["multipart/form-data", "application/x-www-form-urlencoded"];
const JSON_TYPE = /[/+]json$/;
const HTTP_LINK = /^https?:\/\//i;

/** An element with attributes and children; strings become text. */
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) {
      element.setAttribute(key, String(value));
    }
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return element;
}

/** The little of CommonMark that summaries use: paragraphs, lists, code, emphasis and web links. */
function prose(text, inline) {
  if (!text) return [];
  if (inline) return spans(String(text));
  const blocks = [];
  for (const block of String(text).split(/\n\s*\n/)) {
    const lines = block.split("\n");
    if (lines.every((line) => /^\s*[-*] |^\s{2,}\S/.test(line)) && /^\s*[-*] /.test(lines[0])) {
      const items = block.split(/^\s*[-*] /m).filter(Boolean);
      blocks.push(make("ul", {}, items.map((item) => make("li", {}, spans(item.trim())))));
    } else if (/^\s*```/.test(block)) {
      blocks.push(make("pre", {}, block.replace(/^\s*```.*\n?|```\s*$/g, "")));
    } else {
      blocks.push(make("p", {}, spans(block)));
    }
  }
  return blocks;
}

function spans(text) {
  const found = [];
  const pattern = /(`+)([^`]+)\1|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)\s]+)\)/g;
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    found.push(text.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[2]) found.push(make("code", {}, match[2]));
    else if (match[3]) found.push(make("strong", {}, match[3]));
    else if (match[4]) found.push(make("em", {}, match[4]));
    else found.push(link(match[6], match[5]));
  }
  found.push(text.slice(at));
  return found;
}

/** A link to the web; anything else, `javascript:` above all, stays text. */
function link(href, text) {
  if (!HTTP_LINK.test(href)) return text;
  return make("a", { href, rel: "noreferrer noopener", target: "_blank" }, text);
}

/** What a reference leads to within the document. */
function follow(spec, value) {
  for (let hops = 0; value && typeof value.$ref === "string" && hops < 50; hops += 1) {
    if (!value.$ref.startsWith("#/")) return value;
    let found = spec;
    for (const part of value.$ref.slice(2).split("/")) {
      const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
      found = found && Object.hasOwn(found, key) ? found[key] : undefined;
    }
    if (found === undefined) return value;
    value = found;
  }
  return value;
}

function nameOf(schema) {
  return schema && typeof schema.$ref === "string" ? schema.$ref.split("/").pop() : "";
}

// Schemas

/** A type in a few words: `string (email)`, `array of Book`, `A or B`. */
function typeWords(spec, schema) {
  if (schema === true || schema === undefined) return ["anything"];
  if (schema === false) return ["nothing"];
  const name = nameOf(schema);
  if (name) return [make("a", { href: `#schema-${name}` }, name)];
  const choices = schema.oneOf || schema.anyOf;
  if (choices) {
    return choices.flatMap((each, index) => [index ? " or " : "", ...typeWords(spec, each)]);
  }
  if (schema.allOf) {
    return schema.allOf.flatMap((each, index) => [index ? " and " : "", ...typeWords(spec, each)]);
  }
  if (schema.type === "array") return ["array of ", ...typeWords(spec, schema.items)];
  if (Object.hasOwn(schema, "const")) return [make("code", {}, JSON.stringify(schema.const))];
  const types = [schema.type || (schema.properties ? "object" : "anything")].flat().join(" or ");
  return [schema.format ? `${types} (${schema.format})` : types];
}

const LIMITS = [
  ["minimum", "≥"], ["exclusiveMinimum", ">"], ["maximum", "≤"], ["exclusiveMaximum", "<"],
  ["minLength", "length ≥"], ["maxLength", "length ≤"], ["minItems", "items ≥"],
  ["maxItems", "items ≤"], ["multipleOf", "multiple of"], ["pattern", "matches"],
];

function limits(schema) {
  const words = LIMITS.filter(([key]) => schema[key] !== undefined).map(
    ([key, sign]) => `${sign} ${schema[key]}`,
  );
  const named = (schema.enum || []).map((each) => JSON.stringify(each));
  if (named.length) words.push(`one of ${named.join(", ")}`);
  if (schema.default !== undefined) words.push(`default ${JSON.stringify(schema.default)}`);
  if (schema.uniqueItems) words.push("no two alike");
  if (schema.readOnly) words.push("read only");
  if (schema.writeOnly) words.push("write only");
  return words.length ? make("span", { class: "limits" }, words.join(" · ")) : null;
}

/** The members of a schema as nested lists; what is deep opens when it is asked for. */
function schemaTree(spec, schema, depth = 0) {
  const whole = follow(spec, schema);
  if (!whole || typeof whole !== "object") return make("div", {}, typeWords(spec, schema));
  const parts = [];
  if (whole.description && depth === 0) parts.push(...prose(whole.description));
  const inner = whole.type === "array" ? follow(spec, whole.items) : whole;
  const members = Object.entries((inner && inner.properties) || {});
  if (members.length) {
    const required = new Set(inner.required || []);
    parts.push(
      make("ul", { class: "members" }, members.map(([name, member]) =>
        memberItem(spec, name, member, required.has(name), depth))),
    );
  }
  for (const choice of whole.oneOf || whole.anyOf || []) {
    if (follow(spec, choice).properties) parts.push(closed(spec, choice, depth));
  }
  const rest = whole.additionalProperties;
  if (rest && typeof rest === "object") {
    parts.push(make("p", {}, "every other member: ", typeWords(spec, rest)));
  }
  const extra = limits(whole);
  if (extra) parts.push(extra);
  return make("div", { class: "schema" }, parts);
}

function memberItem(spec, name, member, required, depth) {
  const whole = follow(spec, member);
  const head = [
    make("code", { class: "name" }, name), " ",
    make("span", { class: "type" }, typeWords(spec, member)), " ",
    required ? make("span", { class: "required" }, "required") : null, " ",
    whole.deprecated ? make("span", { class: "badge" }, "deprecated") : null, " ",
    limits(whole),
  ];
  const item = make("li", {}, head, make("div", { class: "note" }, prose(whole.description, true)));
  const deeper = whole.type === "array" ? follow(spec, whole.items || {}) : whole;
  if (deeper && deeper.properties) item.append(closed(spec, member, depth));
  return item;
}

function closed(spec, schema, depth) {
  const details = make("details", { class: "deeper" },
    make("summary", {}, typeWords(spec, schema)));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) {
      details.append(schemaTree(spec, schema, depth + 1));
    }
  });
  return details;
}

/** A value that fits: what the document gives as an example, else the simplest there is. */
function exampleOf(spec, schema, depth = 0) {
  const whole = follow(spec, schema);
  if (!whole || typeof whole !== "object" || depth > 6) return null;
  if (Array.isArray(whole.examples) && whole.examples.length) return whole.examples[0];
  for (const key of ["example", "default", "const"]) {
    if (whole[key] !== undefined) return whole[key];
  }
  if (whole.enum) return whole.enum[0];
  const choices = whole.oneOf || whole.anyOf;
  if (choices) {
    const first = choices.find((each) => follow(spec, each).type !== "null") || choices[0];
    return exampleOf(spec, first, depth + 1);
  }
  const type = [whole.type].flat()[0];
  if (type === "object" || whole.properties) {
    const found = {};
    for (const [name, member] of Object.entries(whole.properties || {})) {
      if (!member.readOnly) found[name] = exampleOf(spec, member, depth + 1);
    }
    return found;
  }
  if (type === "array") return [exampleOf(spec, whole.items, depth + 1)];
  if (type === "integer" || type === "number") return whole.minimum ?? 0;
  if (type === "boolean") return false;
  if (type === "null") return null;
  const texts = {
    date: "2026-01-31", "date-time": "2026-01-31T12:00:00Z", email: "reader@example.org",
    uri: "https://example.org", uuid: "3f2b8c1e-7a54-4d0b-9c6a-1f0e5d4c3b2a",
  };
  return texts[whole.format] || (type === "string" ? "text" : null);
}

// Operations

function operationsOf(spec) {
  const found = [];
  for (const [path, item] of Object.entries(spec.paths || {})) {
    for (const method of METHODS) {
      const operation = Object.hasOwn(item, method) ? item[method] : undefined;
      if (!operation) continue;
      const shared = item.parameters || [];
      const parameters = [...shared, ...(operation.parameters || [])].map((each) =>
        follow(spec, each));
      const id = `${method}-${path}`.replace(/[^A-Za-z0-9-]+/g, "-");
      found.push({ path, method, operation, parameters, id });
    }
  }
  return found;
}

function groups(spec, operations) {
  const found = new Map((spec.tags || []).map((tag) => [tag.name, []]));
  for (const each of operations) {
    for (const tag of each.operation.tags || ["others"]) {
      if (!found.has(tag)) found.set(tag, []);
      found.get(tag).push(each);
    }
  }
  return [...found].filter(([, members]) => members.length);
}

function operationSection(spec, each, credentials) {
  const { operation, method, path, parameters } = each;
  const section = make("details", { class: "operation", id: each.id },
    make("summary", {},
      make("span", { class: `method ${method}` }, method.toUpperCase()), " ",
      make("code", { class: operation.deprecated ? "path old" : "path" }, path), " ",
      make("span", { class: "summary" }, prose(operation.summary, true))));
  section.addEventListener("toggle", () => {
    if (!section.open || section.childElementCount > 1) return;
    section.append(make("div", { class: "inside" },
      operation.deprecated ? make("p", { class: "badge" }, "deprecated") : null,
      prose(operation.description),
      operation.externalDocs
        ? make("p", {}, link(operation.externalDocs.url, "More about it")) : null,
      securityNote(operation.security ?? spec.security),
      parametersList(spec, parameters),
      bodyPart(spec, operation),
      responsesPart(spec, operation),
      callbacksPart(spec, operation),
      tryIt(spec, each, credentials)));
  });
  return section;
}

function securityNote(security) {
  if (!security || !security.length) return null;
  const words = security.map((each) =>
    Object.entries(each).map(([name, scopes]) =>
      scopes.length ? `${name} with ${scopes.join(", ")}` : name).join(" and ") || "nothing");
  return make("p", { class: "security" }, `Credentials: ${words.join(", or ")}`);
}

function parametersList(spec, parameters) {
  if (!parameters.length) return null;
  return [make("h4", {}, "Parameters"), make("ul", { class: "members" }, parameters.map((each) =>
    make("li", {},
      make("code", { class: "name" }, each.name), " ",
      make("span", { class: "place" }, each.in), " ",
      make("span", { class: "type" }, typeWords(spec, each.schema)), " ",
      each.required ? make("span", { class: "required" }, "required") : null, " ",
      limits(follow(spec, each.schema || {})),
      make("div", { class: "note" }, prose(each.description, true)))))];
}

function contentParts(spec, content) {
  return Object.entries(content || {}).map(([type, media]) => {
    const schema = media["x-itemSchema"] || media.itemSchema || media.schema || {};
    const stream = media["x-itemSchema"] || media.itemSchema ? "a stream of " : "";
    const examples = Object.entries(media.examples || {}).map(([name, example]) =>
      make("details", {}, make("summary", {}, `Example: ${name}`),
        make("pre", {}, JSON.stringify(follow(spec, example).value, null, 2))));
    return make("div", { class: "media" },
      make("p", {}, make("code", {}, type), ": ", stream, typeWords(spec, schema)),
      schemaTree(spec, schema, 1), examples);
  });
}

function bodyPart(spec, operation) {
  if (!operation.requestBody) return null;
  const body = follow(spec, operation.requestBody);
  return [make("h4", {}, body.required ? "Body" : "Body (may be left out)"),
    prose(body.description), contentParts(spec, body.content)];
}

function responsesPart(spec, operation) {
  return [make("h4", {}, "Answers"), Object.entries(operation.responses || {}).map(
    ([status, given]) => {
      const response = follow(spec, given);
      const details = make("details", { class: "answer" },
        make("summary", {}, make("span", { class: `status s${status[0]}` }, status), " ",
          prose(response.description, true)));
      details.addEventListener("toggle", () => {
        if (!details.open || details.childElementCount > 1) return;
        const headers = Object.entries(response.headers || {});
        details.append(make("div", {},
          headers.length ? make("ul", { class: "members" }, headers.map(([name, header]) =>
            make("li", {}, make("code", { class: "name" }, name), " ",
              prose(follow(spec, header).description, true)))) : null,
          contentParts(spec, response.content)));
      });
      return details;
    })];
}

function callbacksPart(spec, operation) {
  const found = Object.entries(operation.callbacks || {});
  if (!found.length) return null;
  return [make("h4", {}, "Requests it leads to"), found.map(([name, given]) =>
    make("div", {}, Object.entries(follow(spec, given)).map(([url, item]) =>
      sentRequest(spec, name, url, item))))];
}

function sentRequest(spec, name, url, item) {
  return METHODS.filter((method) => item[method]).map((method) =>
    make("div", { class: "sent" },
      make("p", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), " ",
        make("strong", {}, name), " ", url ? make("code", {}, url) : null),
      prose(item[method].summary), prose(item[method].description), bodyPart(spec, item[method])));
}

// Trying an operation

function field(label, input) {
  return make("label", { class: "field" }, make("span", {}, label), input);
}

function tryIt(spec, each, credentials) {
  const { operation, method, parameters } = each;
  const inputs = parameters.filter((given) => given.in !== "cookie").map((given) => {
    const schema = follow(spec, given.schema || {});
    const shown = given.required ? exampleOf(spec, schema) : schema.default;
    const input = make("input", {
      value: shown === undefined || shown === null ? "" : [shown].flat().join(","),
      placeholder: given.required ? "required" : "left out", autocomplete: "off",
    });
    return { given, schema, input };
  });
  const body = operation.requestBody ? follow(spec, operation.requestBody) : null;
  const types = body ? Object.keys(body.content || {}) : [];
  const select = make("select", {}, types.map((type) => make("option", {}, type)));
  const text = make("textarea", { rows: 8, spellcheck: "false" });
  if (types.length) {
    const media = body.content[types[0]];
    const named = Object.values(media.examples || {})[0];
    const item = media["x-itemSchema"] || media.itemSchema;
    const value = named ? follow(spec, named).value : exampleOf(spec, item || media.schema);
    const raw = !JSON_TYPE.test(types[0]) && !FORMS.includes(types[0]) && !item;
    if (raw) text.value = typeof value === "string" ? value : "";
    else text.value = JSON.stringify(value, null, item ? 0 : 2) + (item ? "\n" : "");
  }
  const output = make("div", { class: "output", "aria-live": "polite" });
  const send = make("button", { type: "button" }, "Send");
  send.addEventListener("click", async () => {
    send.disabled = true;
    output.replaceChildren("…");
    try {
      const request = requestOf(spec, each, inputs, select.value, text.value, credentials);
      await perform(request, method, output);
    } catch (error) {
      output.replaceChildren(make("p", { class: "failed" }, String(error.message || error)));
    } finally {
      send.disabled = false;
    }
  });
  return make("div", { class: "try" }, make("h4", {}, "Try it"),
    inputs.map(({ given, input }) => field(`${given.name} (${given.in})`, input)),
    types.length ? [field("Content-Type", select), field("Body", text)] : null, send, output);
}

/** The URL and the options of `fetch` for what the form holds. */
function requestOf(spec, each, inputs, type, text, credentials) {
  const headers = {};
  const query = new URLSearchParams();
  let path = each.path;
  for (const { given, schema, input } of inputs) {
    const value = input.value;
    if (given.in === "path") {
      path = path.replace(`{${given.name}}`, encodeURIComponent(value));
    } else if (value === "") {
      continue;
    } else if (given.in === "query") {
      const values = schema.type === "array" ? value.split(",") : [value];
      for (const one of values) query.append(given.name, one.trim());
    } else {
      headers[given.name] = value;
    }
  }
  if (credentials.value) headers.Authorization = `Bearer ${credentials.value}`;
  const options = { method: each.method.toUpperCase(), headers, credentials: "same-origin" };
  if (type && !["GET", "HEAD"].includes(options.method) && text !== "") {
    if (FORMS.includes(type)) {
      // The browser says Content-Type itself: only it knows the boundary.
      const body = follow(spec, each.operation.requestBody);
      options.body = formOf(spec, body.content[type].schema, type, text);
    } else {
      headers["Content-Type"] = type;
      options.body = text;
    }
  }
  const server = (spec.servers && spec.servers[0] && spec.servers[0].url) || "";
  const found = new URL(spec.url || ".", "http://nowhere.invalid/");
  const base = server || found.pathname.replace(/[^/]*$/, "");
  const search = query.toString();
  const url = base.replace(/\/$/, "") + path + (search ? `?${search}` : "");
  return { url, options };
}

/** A form of the JSON object that stands in the field; what the document calls a file is one. */
function formOf(spec, schema, type, text) {
  const form = type === FORMS[0] ? new FormData() : new URLSearchParams();
  const members = follow(spec, schema || {}).properties || {};
  for (const [name, value] of Object.entries(JSON.parse(text))) {
    const member = follow(spec, members[name] || {});
    const one = member.type === "array" ? follow(spec, member.items || {}) : member;
    for (const each of [value].flat()) {
      if (each === null) continue;
      const written = typeof each === "object" ? JSON.stringify(each) : String(each);
      if (one.contentMediaType) form.append(name, new Blob([written]), name);
      else form.append(name, written);
    }
  }
  return form;
}

async function perform({ url, options }, method, output) {
  const began = performance.now();
  const response = await fetch(url, options);
  const shown = make("pre", {}, "");
  const took = make("span", { class: "limits" }, "");
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  output.replaceChildren(
    make("p", {}, make("span", { class: `status s${String(response.status)[0]}` },
      response.status), " ", response.statusText, " ", took),
    make("details", {}, make("summary", {}, "Headers"), make("pre", {}, headers)),
    shown,
    make("details", {}, make("summary", {}, "As a command"), make("pre", {}, curl(url, options))));
  const reader = response.body ? response.body.getReader() : null;
  const decoder = new TextDecoder();
  let text = "";
  // A stream may never end: what has come is shown, and no more than this much.
  while (reader && text.length < 1e6) {
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    shown.textContent = text;
    if (done) break;
  }
  if (reader && text.length >= 1e6) await reader.cancel();
  took.textContent = `${Math.round(performance.now() - began)} ms`;
  if (/json/.test(response.headers.get("content-type") || "")) {
    try {
      shown.textContent = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      shown.textContent = text;
    }
  }
}

/** A command for a POSIX shell: single quotes keep everything but themselves. */
function curl(url, options) {
  const quote = (value) => `'${String(value).replaceAll("'", "'\\''")}'`;
  const words = ["curl", "-X", options.method, quote(new URL(url, location.href).href)];
  for (const [name, value] of Object.entries(options.headers)) {
    words.push("-H", quote(`${name}: ${name === "Authorization" ? "Bearer TOKEN" : value}`));
  }
  if (typeof options.body === "string") words.push("--data-binary", quote(options.body));
  else if (options.body !== undefined) {
    const flag = options.body instanceof FormData ? "-F" : "--data-urlencode";
    for (const [name, value] of options.body) {
      words.push(flag, quote(`${name}=${typeof value === "string" ? value : "@FILE"}`));
    }
  }
  return words.join(" ");
}

// The page

function navigation(tagged) {
  const filter = make("input", { type: "search", placeholder: "Filter", "aria-label": "Filter" });
  const list = make("div", {}, tagged.map(([tag, members]) =>
    make("section", {}, make("h3", {}, tag), make("ul", {}, members.map((each) =>
      make("li", { "data-words": `${each.method} ${each.path} ${each.operation.summary || ""}` },
        make("a", { href: `#${each.id}` },
          make("span", { class: `method ${each.method}` }, each.method.toUpperCase()), " ",
          each.path)))))));
  filter.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase();
    for (const item of list.querySelectorAll("li")) {
      item.hidden = !item.getAttribute("data-words").toLowerCase().includes(wanted);
    }
  });
  return make("nav", {}, filter, list, make("p", {}, make("a", { href: "#schemas" }, "Schemas")));
}

function schemasPart(spec) {
  const schemas = Object.entries((spec.components && spec.components.schemas) || {});
  if (!schemas.length) return null;
  return make("section", { id: "schemas" }, make("h2", {}, "Schemas"),
    schemas.map(([name, schema]) => {
      const details = make("details", { class: "operation", id: `schema-${name}` },
        make("summary", {}, make("code", {}, name), " ", typeWords(spec, schema)));
      details.addEventListener("toggle", () => {
        if (details.open && details.childElementCount === 1) {
          details.append(make("div", { class: "inside" }, schemaTree(spec, schema)));
        }
      });
      return details;
    }));
}

function webhooksPart(spec) {
  const hooks = Object.entries(spec.webhooks || {});
  if (!hooks.length) return null;
  return make("section", {}, make("h2", {}, "Webhooks"),
    hooks.map(([name, item]) => sentRequest(spec, name, "", follow(spec, item))));
}

/** What the page consists of. */
function reference(spec) {
  const operations = operationsOf(spec);
  const tagged = groups(spec, operations);
  const token = make("input", { type: "password", placeholder: "none", autocomplete: "off" });
  const secured = operations.some(({ operation }) => (operation.security || []).length);
  const info = spec.info || {};
  return [navigation(tagged), make("main", {},
    make("header", {}, make("h1", {}, info.title || "API", " ",
      make("small", {}, info.version || "")), prose(info.description),
      secured ? field("Bearer token", token) : null),
    tagged.map(([tag, members]) => make("section", {}, make("h2", {}, tag),
      members.map((each) => operationSection(spec, each, token)))),
    webhooksPart(spec), schemasPart(spec))];
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
  }
}

async function start() {
  const place = document.getElementById("reference");
  const url = new URL(place.getAttribute("data-document"), location.href);
  try {
    const response = await fetch(url, { credentials: "same-origin" });
    if (!response.ok) throw new Error(`${url.pathname} answers ${response.status}`);
    const spec = await response.json();
    spec.url = url.href;
    place.replaceChildren(...reference(spec).filter(Boolean));
    window.addEventListener("hashchange", openTarget);
    openTarget();
  } catch (error) {
    place.replaceChildren(make("p", { class: "failed" }, String(error.message || error)));
  }
}

if (typeof document !== "undefined") start();
