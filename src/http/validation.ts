import { Ajv, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import type { FastifySchemaCompiler, FastifySchemaValidationError } from "fastify";
import { badField, Problem } from "../lib/problems.ts";

/** Bodies: nothing is converted or dropped; anything unexpected is rejected, `1e999` too. */
const strict = new Ajv({
  coerceTypes: false,
  removeAdditional: false,
  useDefaults: false,
  strict: false,
  strictNumbers: true,
});
/** Query strings and paths: numbers are converted; unknown keys are ignored. */
const lenient = new Ajv({ coerceTypes: true, removeAdditional: false, useDefaults: true, strict: false });
for (const ajv of [strict, lenient]) addFormats.default(ajv, ["date", "date-time", "email", "uuid"]);

/** One error of a validator. */
type ValidationError = Pick<FastifySchemaValidationError, "instancePath" | "params" | "message">;

type Schema = { properties?: Record<string, object> };

/** A validator for bodies. */
export function compileStrict(schema: object): ValidateFunction {
  return strict.compile(schema);
}

/** Compiles a route's schemas: each part of a request has its own rules. */
export const validatorCompiler: FastifySchemaCompiler<Schema> = ({ schema, httpPart }): ValidateFunction => {
  if (httpPart === "body") return strict.compile(schema);
  return lenient.compile(httpPart === "headers" ? asNodeReadsHeaders(schema) : schema);
};

/** With the headers' names in lower case, as the request has them. */
function asNodeReadsHeaders(schema: Schema): Schema {
  const properties = Object.entries(schema.properties ?? {});
  return {
    ...schema,
    properties: Object.fromEntries(properties.map(([name, of]) => [name.toLowerCase(), of])),
  };
}

/** 400 that names the first invalid field; `context` if the whole part is invalid. */
export function fromValidation(errors: readonly ValidationError[], context = "body"): Problem {
  const first = errors[0];
  if (first === undefined) return new Problem("bad_request");
  const path = first.instancePath.split("/").filter((part) => part !== "");
  // Validated in lower case, and named as it is written.
  if (context === "headers")
    path.splice(
      0,
      1,
      (path[0] ?? "").replaceAll(/\b[a-z]/g, (c) => c.toUpperCase()),
    );
  const { missingProperty, additionalProperty } = first.params;
  for (const name of [missingProperty, additionalProperty]) if (typeof name === "string") path.push(name);
  const field = path.join(".") || context;
  if (typeof missingProperty === "string") return badField(field, `\`${field}\` is required.`);
  if (typeof additionalProperty === "string")
    return badField(field, `\`${field}\` is not a field of this call.`);
  return badField(field, `\`${field}\` ${first.message ?? "is not valid"}.`);
}
