import { type RefusalName, refusalRows } from "../agent-auth/refusals.ts";
import type { ProblemName, ProblemRow } from "../lib/problems.ts";
import { type Call, refusalExample, refusalSchemaName } from "./problem-examples.ts";

const JSON_TYPE = "application/json";

type Example = { summary?: string; value: object };
type Ref = { $ref: string };
type Answer = { description: string; headers: object; content: object };

/**
 * The refusals of one document: answers that several calls share, and the examples of all, as components, so that a call
 * only refers to them.
 */
export class RefusalAnswers {
  readonly examples: Record<string, Example> = {};
  readonly #uses: { name: string; answer: Answer; in: Record<string, object>; status: number }[] = [];

  /** Puts how a call answers the problems of one status into its `responses`. */
  describe(
    rows: readonly ProblemRow[],
    call: Call,
    headers: Record<string, object>,
    responses: Record<string, object>,
  ): void {
    const refs = rows.map(({ name }) => schemaRef(refusalSchemaName(name)));
    const examples = rows.map(({ name }) => {
      const example = refusalExample(name, call);
      // Its message and field are the call's own.
      return [name, name === "bad_request" ? example : this.#example(variantOf(name, call), example)];
    });
    const answer = {
      description: rows.length === 1 ? (rows[0]?.message ?? "") : `Refused: ${listNames(rows)}.`,
      headers,
      content: {
        [JSON_TYPE]: {
          // Of two that both fit, such as a missing scope that the claim would bring, either will do.
          schema: rows.length === 1 ? refs[0] : { anyOf: refs },
          examples: Object.fromEntries(examples),
        },
      },
    };
    const name = rows.map(({ name }) => refusalSchemaName(variantOf(name, call))).join("Or");
    const status = rows[0]?.status ?? 400;
    responses[status] = answer;
    this.#uses.push({ name, answer, in: responses, status });
  }

  /** Replaces answers that several calls give by references. @returns them, by their names */
  share(): Record<string, object> {
    const shared: Record<string, object> = {};
    const same = Map.groupBy(this.#uses, ({ name, answer }) => `${name} ${JSON.stringify(answer)}`);
    for (const uses of same.values()) {
      const [first] = uses;
      if (first === undefined || uses.length === 1 || first.name in shared) continue;
      shared[first.name] = first.answer;
      for (const { name, in: responses, status } of uses)
        responses[status] = { $ref: `#/components/responses/${name}` };
    }
    return shared;
  }

  /** How a call of agent registration answers the refusals of one status, in OAuth's shape. */
  describeOAuth(names: readonly RefusalName[], headers: Record<string, object>): Answer {
    const rows = refusalRows.filter(({ name }) => names.includes(name));
    const examples = rows.map(({ name, message }) => {
      const value = { error: name, error_description: message };
      return [name, this.#example(`oauth_${name}`, { value })];
    });
    return {
      description: `Refused: ${listNames(rows)}.`,
      headers,
      content: {
        [JSON_TYPE]: { schema: schemaRef("OAuthError"), examples: Object.fromEntries(examples) },
      },
    };
  }

  #example(name: string, example: Example): Ref {
    const shared = this.examples[name];
    if (shared !== undefined && JSON.stringify(shared) !== JSON.stringify(example))
      throw new TypeError(`the example ${name} has two values`);
    this.examples[name] = example;
    return { $ref: `#/components/examples/${name}` };
  }
}

/** The problem by its name; what was not found, and what is being paid for, by the id in the address as well. */
function variantOf(name: ProblemName, { idName }: Call): string {
  const named = name === "not_found" || name === "payment_in_progress";
  return named && idName !== undefined ? `${name}_${snakeCase(idName)}` : name;
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function schemaRef(name: string): Ref {
  return { $ref: `#/components/schemas/${name}` };
}

function listNames(rows: readonly { name: ProblemName | RefusalName }[]): string {
  return rows.map(({ name }) => `\`${name}\``).join(", ");
}
