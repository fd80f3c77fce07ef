import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { generateDocs } from "./generated-docs.ts";

const PROJECT = join(import.meta.dirname, "..", "..");

for (const [path, text] of await generateDocs()) {
  const file = join(PROJECT, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  console.log(`wrote ${path}`);
}
