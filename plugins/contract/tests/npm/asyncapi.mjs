// Reads AsyncAPI documents, a JSON list of texts on standard input, and prints what is wrong with each.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(`${process.argv[2]}/`);
const { Parser } = require("@asyncapi/parser");

const found = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  const { document, diagnostics } = await new Parser().parse(text);
  found.push({
    parsed: document !== undefined,
    operations: document ? document.operations().all().map((each) => each.id()) : [],
    errors: diagnostics
      .filter((each) => each.severity === 0)
      .map((each) => `${each.code} ${each.path.join(".")}: ${each.message}`),
  });
}
console.log(JSON.stringify(found));
