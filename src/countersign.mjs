// The way in without npm: `node src/countersign.mjs serve`. A Node that is too old cannot load `main.ts` at all, and is
// told so here in one line.
import "./check-runtime.mjs";

if (process.exitCode === undefined) await import("./main.ts");
