// Calls the library as clients of npm do, of each server, and prints what they got as JSON.
// Usage: node clients.mjs TOLD, a JSON object: folder, file, servers by name {plain, tls}, ca, certificate, key.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import * as onNode from "@connectrpc/connect-node";
import * as onWeb from "@connectrpc/connect-web";
import grpcWeb from "grpc-web";
import xhr2 from "xhr2";

globalThis.XMLHttpRequest = xhr2;
const told = JSON.parse(process.argv[2]);
const pem = Object.fromEntries(["ca", "certificate", "key"].map((each) => [each, readFileSync(told[each])]));
const definition = loadSync(told.file, { includeDirs: [told.folder], keepCase: true, longs: Number, enums: String });
const Books = grpc.loadPackageDefinition(definition).library.v1.Books;
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(`${told.folder}/all.binpb`)));
const DETAILS = "grpc-status-details-bin";

// What a call that fails says: its code, and its details in base64.
async function failing(call, read) {
  try {
    await call();
    return { code: 0 };
  } catch (error) {
    return read(error);
  }
}

async function all(stream) {
  const found = [];
  for await (const each of stream) found.push(each);
  return found;
}

const opened = (answers, event) => new Promise((resolve) => { answers.once(event, resolve); });

// @grpc/grpc-js: all kinds of calls.
async function official(target, credentials, name) {
  const client = new Books(target, credentials);
  const ask = (method, message, metadata = new grpc.Metadata(), options = {}) =>
    new Promise((resolve, reject) => {
      client[method](message, metadata, options, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  const read = (error) => ({
    code: error.code,
    details: error.metadata?.get(DETAILS)[0]?.toString("base64") ?? "",
  });
  const found = {};
  found.unary = (await ask("GetBook", { id: 7 })).title;
  found.stream = (await all(client.ListBooks({ count: 200 }))).map((each) => each.id);
  found.sent = await new Promise((resolve, reject) => {
    const books = client.Import((error, answer) => (error ? reject(error) : resolve(answer.value)));
    for (let id = 1; id <= 100; id++) books.write({ id, title: "t" });
    books.end();
  });
  const chat = client.Chat();
  found.both = [];
  for (let line = 0; line < 5; line++) {
    const answer = opened(chat, "data");
    chat.write({ value: `line ${line}` });
    found.both.push((await answer).value);
  }
  chat.end();
  await opened(chat, "status");
  found.error = await failing(() => ask("GetBook", { id: 200 }), read);
  found.midway = await failing(() => all(client.ListBooks({ count: 5, fail_at: 2 })), read);
  found.deadline = await failing(
    () => ask("Wait", { name: `${name} late` }, new grpc.Metadata(), { deadline: Date.now() + 200 }), read);
  const watching = client.Watch({ name });
  await opened(watching, "data");
  const ended = opened(watching, "error");
  watching.cancel();
  found.cancelled = (await ended).code;
  const metadata = new grpc.Metadata();
  metadata.set("x-text", "hi");
  metadata.add("x-data-bin", Buffer.from([0, 255]));
  metadata.add("x-data-bin", Buffer.from([1]));
  found.metadata = await new Promise((resolve, reject) => {
    const heard = {};
    const call = client.Tell({}, metadata, (error, answer) => {
      if (error) reject(error);
      heard.value = answer?.value;
    });
    call.on("metadata", (each) => {
      heard.leading = each.get("x-leading");
      heard.binary = each.get("x-leading-bin").map((value) => value.toString("hex"));
    });
    call.on("status", (each) => {
      heard.trailing = each.metadata.get("x-trailing-bin").map((value) => value.toString("utf8"));
      resolve(heard);
    });
  });
  found.who = await failing(async () => { found.added = (await ask("AddBook", { id: 1, title: "Emma" })).value; }, read);
  client.close();
  const squeezing = new Books(target, credentials, { "grpc.default_compression_algorithm": 2 });
  const title = "long ".repeat(20_000);
  found.compressed = await new Promise((resolve, reject) => {
    squeezing.Echo({ id: 1, title }, (error, answer) => (error ? reject(error) : resolve(answer.title === title)));
  });
  squeezing.close();
  return found;
}

// A transport of Connect's; `streams` says whether it can send streams, too.
async function connect(transport, name, streams) {
  const client = createClient(registry.getService("library.v1.Books"), transport);
  const read = (error) => ({
    code: error.code,
    details: (error.details ?? []).map((each) => [each.type, Buffer.from(each.value).toString("base64")]),
  });
  const found = {};
  found.unary = (await client.getBook({ id: 7n })).title;
  found.stream = (await all(client.listBooks({ count: 200n }))).map((each) => Number(each.id));
  found.error = await failing(() => client.getBook({ id: 200n }), read);
  found.midway = await failing(() => all(client.listBooks({ count: 5n, failAt: 2n })), read);
  found.deadline = await failing(() => client.wait({ name: `${name} late` }, { timeoutMs: 200 }), read);
  const heard = {};
  heard.value = (await client.tell({}, {
    headers: { "x-text": "hi", "x-data-bin": "AP8" },
    onHeader: (each) => { heard.leading = each.get("x-leading"); },
    onTrailer: (each) => { heard.trailing = each.get("x-trailing-bin"); },
  })).value;
  found.metadata = heard;
  const enough = new AbortController();
  found.cancelled = await failing(async () => {
    for await (const _ of client.watch({ name }, { signal: enough.signal })) enough.abort();
  }, read);
  if (!streams) return found;
  async function* books() {
    for (let id = 1n; id <= 100n; id++) yield { id, title: "t" };
  }
  found.sent = Number((await client.import(books())).value);
  async function* lines() {
    yield { value: "one" };
    yield { value: "two" };
  }
  found.both = (await all(client.chat(lines()))).map((each) => each.value);
  return found;
}

// The package grpc-web, in either of its formats.
async function browser(url, format, name) {
  const client = new grpcWeb.GrpcWebClientBase({ format });
  const methods = Books.service;
  const described = (method, kind) => {
    const { path, requestSerialize, responseDeserialize } = methods[method];
    return [`${url}${path}`, new grpcWeb.MethodDescriptor(
      path, kind, Object, Object, requestSerialize, (bytes) => responseDeserialize(Buffer.from(bytes)))];
  };
  const ask = (method, message, metadata = {}) => {
    const [address, descriptor] = described(method, grpcWeb.MethodType.UNARY);
    return client.unaryCall(address, message, metadata, descriptor);
  };
  const list = (method, message) => new Promise((resolve) => {
    const [address, descriptor] = described(method, grpcWeb.MethodType.SERVER_STREAMING);
    const items = [];
    const stream = client.serverStreaming(address, message, {}, descriptor);
    stream.on("data", (each) => { items.push(each); });
    stream.on("error", (error) => { resolve({ items, ...read(error) }); });
    stream.on("end", () => { resolve({ items }); });
  });
  const read = (error) => ({ code: error.code, details: error.metadata?.[DETAILS] ?? "" });
  const found = {};
  found.unary = (await ask("GetBook", { id: 7 })).title;
  found.stream = (await list("ListBooks", { count: 200 })).items.map((each) => each.id);
  found.error = await failing(() => ask("GetBook", { id: 200 }), read);
  const { items, ...rest } = await list("ListBooks", { count: 5, fail_at: 2 });
  found.midway = { ...rest, items: items.length };
  found.deadline = await failing(
    () => ask("Wait", { name: `${name} late` }, { deadline: String(Date.now() + 200) }), read);
  found.metadata = { value: (await ask("Tell", {}, { "x-text": "hi" })).value };
  return found;
}

async function of(server, { plain, tls }) {
  const open = `http://127.0.0.1:${plain}`;
  const nodeOptions = { ca: pem.ca, cert: pem.certificate, key: pem.key };
  const certified = grpc.credentials.createSsl(pem.ca, pem.key, pem.certificate);
  const found = {};
  found["grpc-js"] = await official(`127.0.0.1:${plain}`, grpc.credentials.createInsecure(), "grpc-js");
  found["grpc-js tls"] = await official(`127.0.0.1:${tls}`, certified, "grpc-js tls");
  const [http2, secure, http1, fetching] = [
    onNode.createGrpcTransport({ baseUrl: open }),
    onNode.createGrpcTransport({ baseUrl: `https://127.0.0.1:${tls}`, nodeOptions }),
    onNode.createGrpcWebTransport({ baseUrl: open, httpVersion: "1.1" }),
    onWeb.createGrpcWebTransport({ baseUrl: open }),
  ];
  found["connect-node"] = await connect(http2, "connect-node", true);
  found["connect-node tls"] = await connect(secure, "connect-node tls", true);
  found["connect-node web"] = await connect(http1, "connect-node web", false);
  found["connect-web"] = await connect(fetching, "connect-web", false);
  for (const format of ["text", "binary"]) {
    found[`grpc-web ${format}`] = await browser(open, format, `grpc-web ${format}`);
  }
  return found;
}

const servers = Object.entries(told.servers);
const answers = await Promise.all(servers.map(([name, ports]) => of(name, ports)));
console.log(JSON.stringify(Object.fromEntries(servers.map(([name], at) => [name, answers[at]]))));
process.exit(0);
