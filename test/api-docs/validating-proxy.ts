import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Description } from "../fuzz/description.ts";
import type { Operation } from "../fuzz/requests.ts";
import { fromNewAddress } from "../support/agents.ts";
import type { FetchedTools } from "../support/fetched-tools.ts";
import { startForwarder } from "../support/forwarder.ts";
import { freePort, launch, waitUntil } from "../support/process.ts";

/** The package, as `fetchTools` takes it. */
export const PRISM = { "@stoplight/prism-cli": "5.16.0" };
const PROGRAM = "node_modules/@stoplight/prism-cli/dist/index.js";
/** It loads slowly on a busy machine. */
const START = 240_000;
const PROBLEM = "application/problem+json";

/** A header that names which of the services a request is for. */
export const UPSTREAM = "x-upstream";

type Sent = { token?: string | undefined; body?: object; form?: Record<string, string>; upstream?: string };

/** What Prism finds wrong, and where. Requests are wrong on purpose. */
type Violation = { location: ["request" | "response", ...string[]]; message: string };

/** Prism in front of the service, for one of the documents, and what it says of the answers. */
export class ValidatingProxy {
  readonly description: Description;
  /** What the document does not describe of an answer. */
  readonly undescribed: string[] = [];
  /** `method path status` of every answer, with the path as the document has it. */
  readonly answers: string[] = [];
  origin = "";

  constructor(description: Description) {
    this.description = description;
  }

  /** Has requests pass through. @param prism its address */
  async open(prism: string): Promise<this> {
    const port = await startForwarder(
      () => ({ origin: prism }),
      ({ method = "", url = "" }, { statusCode, headers }) => {
        this.answers.push(`${this.#operationOf(method, url)} ${statusCode}`);
        // Prism says it in a header, or answers itself.
        const said = violationsIn(String(headers["sl-violations"] ?? "[]"));
        if (headers["content-type"] === PROBLEM) said.push("there is no such call");
        this.undescribed.push(...said.map((fault) => `${method} ${url} ${statusCode}: ${fault}`));
      },
    );
    this.origin = `http://127.0.0.1:${port}`;
    return this;
  }

  async call(method: string, path: string, { token, body, form, upstream }: Sent = {}): Promise<any> {
    const response = await fetch(`${this.origin}${path}`, {
      method,
      headers: {
        ...fromNewAddress(),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(upstream === undefined ? {} : { [UPSTREAM]: upstream }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(form === undefined ? {} : { body: new URLSearchParams(form) }),
    });
    return response.json();
  }

  /** Calls an operation with ids that nothing has, and a body of its type. */
  callAnyhow({ method, path, body, bodyType }: Operation, sent: Sent): Promise<any> {
    const json = bodyType === "application/json";
    return this.call(method.toUpperCase(), path.replaceAll(/\{\w+\}/g, "some-id"), {
      ...sent,
      ...(body === undefined ? {} : json ? { body: {} } : { form: { token: "x", grant_type: "x" } }),
    });
  }

  #operationOf(method: string, path: string): string {
    const [asked = ""] = path.split("?");
    const matches = this.description.operations.filter(
      (operation) =>
        operation.method === method.toLowerCase() &&
        new RegExp(`^${operation.path.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(asked),
    );
    return `${method} ${matches.find((operation) => operation.path === asked)?.path ?? matches[0]?.path}`;
  }
}

/** What of an answer is not as described. Prism gives no list if it were a long one. */
function violationsIn(header: string): string[] {
  if (!header.startsWith("[")) return [header];
  const violations: Violation[] = JSON.parse(header);
  return violations
    .filter(({ location }) => location[0] === "response")
    .map(({ location, message }) => `${location.join(".")} ${message}`);
}

/**
 * Starts Prism. @param document an OpenAPI document, as it is served @param service where requests go on to
 */
export async function startPrism(
  { folder }: FetchedTools,
  { name, document, description }: { name: string; document: string; description: Description },
  service: string,
): Promise<ValidatingProxy> {
  const file = join(folder, `${name}.json`);
  await writeFile(file, document);
  const port = await freePort();
  launch(
    // The story asks for refusals: what it sends is wrong at times.
    ["proxy", file, service, "--port", String(port), "--validate-request=false"],
    { NODE_OPTIONS: "" },
    join(folder, PROGRAM),
  );
  const prism = `http://127.0.0.1:${port}`;
  await waitUntil(async () => (await fetch(prism)).status > 0, "Prism answers", START);
  return new ValidatingProxy(description).open(prism);
}
