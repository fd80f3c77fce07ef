import { Ajv, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import type { FastifySchemaCompiler } from "fastify";

/** Bodies: nothing is converted and nothing dropped. What is not as described is refused. */
const strict = new Ajv({ coerceTypes: false, removeAdditional: false, useDefaults: false, strict: false });
/** Query strings and paths: text becomes the number that the schema asks for; unknown keys are left alone. */
const lenient = new Ajv({ coerceTypes: true, removeAdditional: false, useDefaults: true, strict: false });
for (const ajv of [strict, lenient]) addFormats.default(ajv, ["date", "date-time", "email", "uuid"]);

/** Compiles a route's schemas, each part of the request under its own rules. */
export const validatorCompiler: FastifySchemaCompiler<object> = ({ schema, httpPart }): ValidateFunction =>
  (httpPart === "body" ? strict : lenient).compile(schema);
