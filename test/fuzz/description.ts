import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { Answer } from "../support/fixtures.ts";
import { inlineComponents } from "../support/openapi.ts";
import type { Operation } from "./requests.ts";
import type { Schema } from "./values.ts";

const METHODS = ["get", "post", "put", "patch", "delete"];

/** An OpenAPI document, as something that answers can be held against. */
export class Description {
  readonly operations: readonly Operation[];
  readonly #document: any;
  readonly #ajv = addFormats.default(new Ajv2020({ strict: false, allErrors: true }));
  readonly #validators = new Map<string, ValidateFunction>();

  constructor(given: any) {
    const document = inlineComponents(given);
    this.#document = document;
    this.#ajv.addSchema(document, "openapi");
    this.operations = Object.entries<any>(document.paths).flatMap(([path, item]) =>
      METHODS.filter((method) => item[method] !== undefined).map((method) =>
        this.#toOperation(path, method, item[method]),
      ),
    );
  }

  /** What of an answer the document does not describe; nothing, if it describes it all. */
  faultsOf({ path, method }: Operation, answer: Answer): string[] {
    const faults: string[] = [];
    if (answer.status >= 500) faults.push(`answered ${answer.status}`);
    const described = this.#document.paths[path][method].responses[answer.status];
    if (described === undefined) return [...faults, `status ${answer.status} is not described`];
    faults.push(...headerFaults(described.headers ?? {}, answer));
    const media = Object.keys(described.content ?? {})[0];
    if (media === undefined) return answer.text === "" ? faults : [...faults, "a body is not described"];
    if (!String(answer.headers["content-type"]).startsWith(media)) faults.push(`it is no ${media}`);
    faults.push(...this.#bodyFaults(path, method, answer, media));
    if (answer.status >= 400) faults.push(...refusalFaults(described.content[media], answer));
    return faults;
  }

  #bodyFaults(path: string, method: string, { status, body }: Answer, media: string): string[] {
    const escaped = (part: string) => part.replaceAll("~", "~0").replaceAll("/", "~1");
    const pointer = ["paths", path, method, "responses", String(status), "content", media, "schema"]
      .map(escaped)
      .join("/");
    const validate =
      this.#validators.get(pointer) ?? this.#ajv.compile({ $ref: `openapi#/${encodeURI(pointer)}` });
    this.#validators.set(pointer, validate);
    return validate(body)
      ? []
      : (validate.errors ?? []).map(({ instancePath, message }) => `body${instancePath} ${message}`);
  }

  #toOperation(path: string, method: string, operation: any): Operation {
    const [bodyType, media] = Object.entries<any>(operation.requestBody?.content ?? {})[0] ?? [];
    return {
      path,
      method,
      parameters: (operation.parameters ?? []).map((parameter: any) => ({
        ...parameter,
        schema: this.#resolve(parameter.schema),
      })),
      body: media === undefined ? undefined : this.#resolve(media.schema),
      bodyType: bodyType ?? "application/json",
    };
  }

  #resolve(schema: any): Schema {
    const name = /^#\/components\/schemas\/(.+)$/.exec(schema?.$ref ?? "")?.[1];
    return name === undefined ? schema : this.#document.components.schemas[name];
  }
}

/** Headers that clients go by: each that comes is described, and each that is promised comes, in its form. */
const CLIENT_HEADERS = [
  "RateLimit",
  "RateLimit-Policy",
  "Retry-After",
  "WWW-Authenticate",
  "Idempotent-Replayed",
  "Link",
  "ETag",
];

function headerFaults(described: Record<string, any>, { headers }: Answer): string[] {
  const faults = CLIENT_HEADERS.filter(
    (name) => headers[name.toLowerCase()] !== undefined && !described[name],
  ).map((name) => `the header ${name} is not described`);
  for (const [name, { required, schema }] of Object.entries(described)) {
    const value = headers[name.toLowerCase()];
    if (value === undefined) {
      if (required) faults.push(`there is no ${name}`);
    } else if (
      schema.type === "integer" ? !/^\d+$/.test(String(value)) : schema.enum?.includes(value) === false
    )
      faults.push(`the header ${name} is ${value}`);
  }
  return faults;
}

/** A refusal's code and reason are among those that the document shows for its status. */
function refusalFaults({ examples = {} }: any, { body, status }: Answer): string[] {
  const shown = Object.values<any>(examples).map(({ value }) => value);
  const codes = new Set(shown.map(({ code, error }) => code ?? error));
  const reasons = new Set(
    shown.map(({ details }) => details?.reason).filter((reason) => reason !== undefined),
  );
  const faults: string[] = [];
  if (!codes.has(body.code ?? body.error))
    faults.push(`code ${body.code ?? body.error} is not shown for ${status}`);
  const reason = body.details?.reason;
  if (reason !== undefined && !reasons.has(reason))
    faults.push(`reason ${reason} is not shown for ${status}`);
  return faults;
}
