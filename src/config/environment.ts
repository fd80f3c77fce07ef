import { readFileSync } from "node:fs";

const KEY_BYTES = 32;

/** Their values may stand in a file instead, which `NAME_FILE` names, as orchestrators mount secrets (docs/contract.md §8). */
export const SECRETS: readonly string[] = [
  "COUNTERSIGN_TOKEN",
  "DATABASE_DIRECT_URL",
  "DATABASE_MIGRATE_URL",
  "DATABASE_URL",
  "OPERATOR_API_KEY",
  "RECEIPT_SIGNING_KEY",
  "SECRETS_KEY",
  "SESSION_SECRET",
  "SMTP_URL",
  "STRIPE_PUBLISHABLE_KEY",
  "STRIPE_SECRET_KEY",
  "STRIPE_WEBHOOK_SECRET",
];

/** Reads variables one by one and collects every fault, so that a start that fails says all of them at once. */
export class Environment {
  readonly faults: string[] = [];
  readonly #variables: NodeJS.ProcessEnv;
  /** What the files of secrets hold: each is read once, and its fault noted once. */
  readonly #contents = new Map<string, string | undefined>();

  constructor(variables: NodeJS.ProcessEnv) {
    this.#variables = variables;
  }

  /** Notes one fault, as a line for the operator. Never put a secret's value into it. */
  fault(line: string): void {
    this.faults.push(line.replaceAll(/\s+/g, " "));
  }

  /** The variable, or the content of the file that `NAME_FILE` names; an empty one counts as absent, as compose files pass those. */
  optional(name: string): string | undefined {
    const value = this.#variables[name]?.trim() || undefined;
    if (!SECRETS.includes(name)) return value;
    if (!this.#contents.has(name)) this.#contents.set(name, this.#readFile(`${name}_FILE`, value));
    return value ?? this.#contents.get(name);
  }

  #readFile(name: string, value: string | undefined): string | undefined {
    const path = this.#variables[name]?.trim();
    if (!path) return undefined;
    if (value !== undefined) {
      this.fault(`${name} is set beside ${name.replace(/_FILE$/, "")}: remove one of them`);
      return undefined;
    }
    try {
      const content = readFileSync(path, "utf8").trim();
      if (content !== "") return content;
      this.fault(`${name} names an empty file: ${path}`);
    } catch (error) {
      this.fault(`${name} cannot be read: ${(error as NodeJS.ErrnoException).code ?? error}, ${path}`);
    }
    return undefined;
  }

  text(name: string, fallback: string): string {
    return this.optional(name) ?? fallback;
  }

  list(name: string): string[] {
    return (this.optional(name) ?? "")
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "");
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.optional(name);
    if (value === undefined) return fallback;
    if (value === "true" || value === "1") return true;
    if (value !== "false" && value !== "0") this.fault(`${name} must be true or false, not ${value}`);
    return false;
  }

  integer(name: string, fallback: number, { min, max }: { min: number; max: number }): number {
    const value = this.optional(name);
    if (value === undefined) return fallback;
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= min && number <= max) return number;
    this.fault(`${name} must be a whole number from ${min} to ${max}, not ${value}`);
    return fallback;
  }

  /** An amount of money in major units, as `1000` or `1000.00`; returned in whole cents. */
  cents(name: string, fallback: number, { max }: { max: number }): number {
    const value = this.optional(name);
    if (value === undefined) return fallback;
    const [, whole = "", decimals = ""] = /^(\d{1,12})(?:\.(\d{1,2}))?$/.exec(value) ?? [];
    const cents = Number(whole) * 100 + Number(decimals.padEnd(2, "0"));
    if (whole !== "" && cents <= max) return cents;
    this.fault(
      `${name} must be an amount from 0 to ${(max / 100).toFixed(2)}, such as 1000.00, not ${value}`,
    );
    return fallback;
  }

  optionalInteger(name: string, range: { min: number; max: number }): number | undefined {
    return this.optional(name) === undefined ? undefined : this.integer(name, range.min, range);
  }

  oneOf<const T extends string>(name: string, allowed: readonly T[], fallback: T): T {
    const value = this.optional(name);
    if (value === undefined) return fallback;
    const found = allowed.find((item) => item === value);
    if (found === undefined) this.fault(`${name} must be one of ${allowed.join(", ")}, not ${value}`);
    return found ?? fallback;
  }

  /** An address of one of the protocols. Its value is not repeated in the fault: it may hold a password. */
  url(name: string, protocols: readonly string[]): string | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    if (URL.canParse(value) && protocols.includes(new URL(value).protocol)) return value;
    this.fault(`${name} must be an address that begins with ${protocols.map((p) => `${p}//`).join(" or ")}`);
    return undefined;
  }

  /** A Postgres's address. One over a socket may leave the host out: `postgres://user@/name?host=/run/postgresql`. */
  postgres(name: string): string | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    if (!/^postgres(ql)?:\/\//.test(value)) {
      this.fault(`${name} must be an address that begins with postgres:// or postgresql://`);
    } else if (!URL.canParse(value.replace("@/", "@socket/"))) {
      this.fault(
        `${name} cannot be read: user and password are percent-encoded in it (%2F for /, %3F for ?, %23 for #), or the password goes into PGPASSWORD`,
      );
    } else {
      return value;
    }
    return undefined;
  }

  /** Secrets of 32 random bytes in base64, the newest first; an older one may follow for rotation. */
  keyBytes(name: string, { required }: { required: boolean }): Buffer[] {
    const keys = this.list(name).map((item) => Buffer.from(item, "base64"));
    if (keys.length === 0 && required) {
      this.fault(
        `${name} is missing: set 32 random bytes in base64, as \`openssl rand -base64 32\` prints them`,
      );
    }
    if (keys.some((key) => key.length !== KEY_BYTES)) {
      this.fault(`${name} must be 32 bytes in base64, as \`openssl rand -base64 32\` prints them`);
    }
    return keys;
  }
}
