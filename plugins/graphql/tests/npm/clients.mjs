// Asks a service as clients of npm do. Prints what they got as JSON.
// Usage: node clients.mjs URL audit|sse|ws ...
const [url, ...what] = process.argv.slice(2);

async function audit() {
  const { serverAudits } = await import("graphql-http");
  const results = [];
  for (const each of serverAudits({ url, fetchFn: fetch })) {
    const found = await each.fn();
    results.push({ name: each.name, status: found.status, reason: found.reason ?? "" });
  }
  return results;
}

function collected(client, asked) {
  return new Promise((resolve) => {
    const items = [];
    client.subscribe(asked, {
      next: (value) => items.push(value),
      error: (error) => resolve({ items, error: Array.isArray(error) ? error : String(error) }),
      complete: () => resolve({ items }),
    });
  });
}

const ARRIVALS = { query: "subscription { arrivals(count: 3) { id author { name } } }" };
const ASKED = {
  stream: ARRIVALS,
  query: { query: "query($n: Int!) { books(count: $n) { id } }", variables: { n: 2 } },
  mutation: { query: "mutation { tick }" },
  invalid: { query: "subscription { nobody }" },
  failing: { query: "subscription { arrivals(count: 1, fail: true) { id } }" },
};

async function all(client) {
  const found = {};
  for (const [name, asked] of Object.entries(ASKED)) found[name] = await collected(client, asked);
  const side = await Promise.all([1, 2, 3].map(() => collected(client, ARRIVALS)));
  found.together = side.map((each) => each.items.length);
  found.left = await left(client);
  return found;
}

// A client that has enough after one event.
function left(client) {
  return new Promise((resolve) => {
    const stop = client.subscribe(
      { query: "subscription { arrivals(count: 100000, pause: 0.001) { id } }" },
      { next: () => { stop(); }, error: (error) => resolve(String(error)), complete: () => resolve("complete") },
    );
  });
}

async function sse() {
  const { createClient } = await import("graphql-sse");
  const found = {};
  for (const singleConnection of [false, true]) {
    const client = createClient({ url: url + "/stream", singleConnection, retryAttempts: 0 });
    found[singleConnection ? "single" : "distinct"] = await all(client);
    client.dispose();
  }
  return found;
}

async function ws() {
  const { createClient } = await import("graphql-ws");
  const { WebSocket } = await import("ws");
  const client = createClient({
    url: url.replace(/^http/, "ws"),
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    connectionParams: { authorization: "Bearer me" },
  });
  const found = await all(client);
  found.who = await collected(client, { query: "{ named }" });
  await client.dispose();
  return found;
}

const found = {};
for (const each of what) found[each] = await { audit, sse, ws }[each]();
console.log(JSON.stringify(found));
process.exit(0);
