/** `npm run bench -- <name> [--quick]`: by default `run`, what a fund request costs. */
const NAMES = ["run", "against", "growth", "webhooks", "waiters", "limits"];

const [first = ""] = process.argv.slice(2);
const named = !first.startsWith("-") && first !== "";
if (named) process.argv.splice(2, 1);
const name = named ? first : "run";
if (!NAMES.includes(name))
  throw new TypeError(`There is no benchmark ${name}: use one of ${NAMES.join(", ")}.`);
await import(`./${name}.ts`);
