import { Ajv, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import type { FastifySchemaCompiler } from "fastify";

/** Bodies: nothing is converted and nothing dropped. What is not as described is refused; nor is `1e999` a number. */
const strict = new Ajv({
  coerceTypes: false,
  removeAdditional: false,
  useDefaults: false,
  strict: false,
  strictNumbers: true,
});
/** Query strings and paths: text becomes the number that the schema asks for; unknown keys are left alone. */
const lenient = new Ajv({ coerceTypes: true, removeAdditional: false, useDefaults: true, strict: false });
for (const ajv of [strict, lenient]) addFormats.default(ajv, ["date", "date-time", "email", "uuid"]);

type Schema = { properties?: Record<string, object> };

/** A validator for what comes as a body, by whatever way. */
export function compileStrict(schema: object): ValidateFunction {
  return strict.compile(schema);
}

/** Compiles a route's schemas, each part of the request under its own rules. */
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
