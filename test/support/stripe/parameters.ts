import type { Given } from "./form.ts";
import { Invalid, invalid } from "./refusals.ts";

/** How a field is read. It throws Stripe's refusal of what does not fit. */
export type Rule = { read(value: Given, path: string): unknown; required?: true };

/** A rule for each field that the SDK's types, and so Stripe's documentation, name: no more and no less. */
export type Rules<P> = { [Field in keyof Required<P>]: Rule };

/** Documented by Stripe, and not played here: a test that sends it would otherwise prove nothing. */
export class NotPlayed extends Error {
  override name = "NotPlayed";
}

/** Reads a request's fields by their rules. */
export function readFields<P>(rules: Rules<P>, given: Record<string, Given>, within = ""): P {
  const known = rules as Record<string, Rule>;
  const at = (name: string) => (within === "" ? name : `${within}[${name}]`);
  const unknown = Object.keys(given).filter((name) => known[name] === undefined);
  if (unknown.length > 0) {
    const names = unknown.map(at);
    const message = `Received unknown parameter${names.length > 1 ? "s" : ""}: ${names.join(", ")}`;
    throw new Invalid(400, {
      type: "invalid_request_error",
      code: "parameter_unknown",
      message,
      param: names[0] ?? "",
    });
  }
  for (const [name, { required }] of Object.entries(known)) {
    if (required && given[name] === undefined) {
      throw invalid(`Missing required param: ${at(name)}.`, at(name), "parameter_missing");
    }
  }
  const fields = Object.entries(given).map(([name, value]) => [name, known[name]?.read(value, at(name))]);
  return Object.fromEntries(fields) as P;
}

export const required = (rule: Rule): Rule => ({ ...rule, required: true });

export const text: Rule = {
  read(value, path) {
    if (typeof value !== "string") throw invalid(`Invalid string: ${JSON.stringify(value)}`, path);
    if (value === "") {
      const message = `You passed an empty string for '${path}'. We assume empty values are an attempt to unset a parameter; however '${path}' cannot be unset. You should remove '${path}' from your request or supply a non-empty value.`;
      throw invalid(message, path, "parameter_invalid_empty");
    }
    if (value.length > 5_000) throw invalid(`Invalid string: ${value.slice(0, 20)}…; too long`, path);
    return value;
  },
};

export const address: Rule = {
  read(value, path) {
    const url = text.read(value, path) as string;
    if (!URL.canParse(url)) throw invalid("Not a valid URL", path, "url_invalid");
    return url;
  },
};

export const integer = (min: number, max = Number.MAX_SAFE_INTEGER): Rule => ({
  read(value, path) {
    if (typeof value !== "string" || !/^-?\d+$/.test(value)) {
      throw invalid(
        `Invalid integer: ${JSON.stringify(value).slice(1, -1)}`,
        path,
        "parameter_invalid_integer",
      );
    }
    const number = Number(value);
    const bound = (said: string) => invalid(`This value must be ${said}.`, path, "parameter_invalid_integer");
    if (number < min) throw bound(`greater than or equal to ${min}`);
    if (number > max) throw bound(`less than or equal to ${max}`);
    return number;
  },
});

export const flag: Rule = {
  read(value, path) {
    if (value !== "true" && value !== "false") throw invalid(`Invalid boolean: ${String(value)}`, path);
    return value === "true";
  },
};

export const oneOf = (...values: string[]): Rule => ({
  read(value, path) {
    if (typeof value === "string" && values.includes(value)) return value;
    const [last] = values.slice(-1);
    const all = values.length > 1 ? `${values.slice(0, -1).join(", ")} or ${last}` : last;
    throw invalid(`Invalid ${path}: must be ${values.length > 1 ? "one of " : ""}${all}`, path);
  },
});

export const hash = (rules: Record<string, Rule>): Rule => ({
  read(value, path) {
    if (typeof value === "string" || Array.isArray(value)) throw invalid("Invalid object", path);
    return readFields(rules, value, path);
  },
});

export const listOf = (rule: Rule): Rule => ({
  read(value, path) {
    if (!Array.isArray(value)) throw invalid("Invalid array", path);
    return value.map((item, i) => rule.read(item, `${path}[${i}]`));
  },
});

/** What the first of the rules takes that fits. */
export const either = (first: Rule, second: Rule): Rule => ({
  read(value, path) {
    try {
      return first.read(value, path);
    } catch (error) {
      if (!(error instanceof Invalid)) throw error;
      return second.read(value, path);
    }
  },
});

/** An empty value unsets the field. */
export const unsettable = (rule: Rule): Rule => ({
  read: (value, path) => (value === "" ? "" : rule.read(value, path)),
});

/** At most 50 keys of 40 characters, each with 500: an empty value takes a key away. */
export const metadata: Rule = {
  read(value, path) {
    if (value === "") return "";
    if (typeof value === "string" || Array.isArray(value)) throw invalid("Invalid hash", path);
    const entries = Object.entries(value);
    if (entries.length > 50) throw invalid("You can specify at most 50 metadata keys", path);
    for (const [key, item] of entries) {
      if (key.length > 40) throw invalid("Metadata keys can be at most 40 characters", path);
      if (typeof item !== "string" || item.length > 500) {
        throw invalid("Metadata values must be strings of at most 500 characters", `${path}[${key}]`);
      }
    }
    return value;
  },
};

export const range: Rule = either(
  integer(0),
  hash({ gt: integer(0), gte: integer(0), lt: integer(0), lte: integer(0) }),
);

export const notPlayed: Rule = {
  read(_value, path) {
    throw new NotPlayed(`this counterpart does not play ${path}`);
  },
};

export const expand: Rule = listOf(text);

export const pagination = {
  limit: integer(1, 100),
  starting_after: text,
  ending_before: text,
  expand,
};
