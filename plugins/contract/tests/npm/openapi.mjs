// Compares OpenAPI documents, a JSON list of pairs on standard input, and prints the sorts of changes in each.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(`${process.argv[2]}/`);
const { apiCompare } = require("api-smart-diff");

const found = JSON.parse(readFileSync(0, "utf8")).map(([before, after]) =>
  apiCompare(before, after)
    .diffs.filter((each) => each.path[0] !== "components") // told again where they are used
    .map((each) => each.type),
);
console.log(JSON.stringify(found));
