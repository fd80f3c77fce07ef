import { hash } from "node:crypto";
import type { Db } from "../database/connection.ts";
import { type ExactLimit, exactLimit } from "../database/exact-limits.ts";
import { addressBucket } from "../lib/addresses.ts";
import { Problem } from "../lib/problems.ts";
import { MINUTE_SECONDS } from "../lib/time.ts";
import { countSignIn } from "../metrics/metrics.ts";
import type { Device } from "./device-cookie.ts";
import type { PasswordLane } from "./password-queue.ts";

export const ATTEMPTS_PER_EMAIL = 10;
export const ATTEMPTS_PER_ADDRESS = 50;
export const ATTEMPTS_PER_DEVICE = 10;
const WINDOW_SECONDS = 15 * MINUTE_SECONDS;

/** An attempt that was counted. */
export type Counted = {
  /** The lane of the password queue that the attempt belongs to. */
  lane: PasswordLane;
  /**
   * Takes the attempt back, as it succeeded. The count of the email, person or device is reset; the address gets one
   * attempt back.
   */
  forgive(): Promise<void>;
};

export type Attempts = ReturnType<typeof createAttempts>;

/**
 * Counts attempts to prove an identity, in windows of 15 minutes: 10 per email and 50 per address. A browser in which
 * the person has signed in before has 10 of its own per email, and a signed-in person has 10 of their own, so that
 * strangers cannot lock them out. Attempts that succeed are not counted.
 */
export function createAttempts(db: Db) {
  const limit = (name: string, points: number) => exactLimit(db, { name, points, seconds: WINDOW_SECONDS });
  const emails = limit("email", ATTEMPTS_PER_EMAIL);
  const addresses = limit("address", ATTEMPTS_PER_ADDRESS);
  const devices = limit("device", ATTEMPTS_PER_DEVICE);
  const people = limit("person", ATTEMPTS_PER_EMAIL);

  async function countStranger(address: string): Promise<Counted> {
    const bucket = addressBucket(address);
    await addresses.count(bucket);
    return { lane: "stranger", forgive: () => addresses.giveBack(bucket) };
  }

  return {
    /**
     * Counts one attempt before it is made. The address is counted first, so that a caller over that limit uses up no
     * email's attempts. A device that has used up its own attempts counts as a stranger.
     * @throws Problem rate_limited {retryAfterSeconds}
     */
    count: counting("password", async (email: string, address: string, device?: Device) => {
      const key = keyOf(email);
      const known = device?.knows(email) ? await countOwn(devices, `${device.id}:${key}`) : undefined;
      if (known !== undefined) return known;
      const counted = await countStranger(address);
      await emails.count(key);
      const forgive = async () => {
        await emails.forget(key);
        await counted.forgive();
      };
      return { ...counted, forgive };
    }),
    /**
     * Counts one attempt with a passkey by address or device: its owner is unknown until it is checked. So failed
     * attempts in a person's name do not lock their passkeys out.
     * @throws Problem rate_limited {retryAfterSeconds}
     */
    countPasskey: counting(
      "passkey",
      async (address: string, device?: Device) =>
        (device && (await countOwn(devices, device.id))) ?? countStranger(address),
    ),
    /**
     * Counts one proof by a signed-in person.
     * @throws Problem rate_limited {retryAfterSeconds}
     */
    async countProof(userId: string): Promise<Counted> {
      await people.count(userId);
      return { lane: "known", forgive: () => people.forget(userId) };
    },
  };
}

/** Has the metrics count the sign-ins that a limit refuses. */
function counting<Args extends unknown[]>(
  by: "password" | "passkey",
  count: (...args: Args) => Promise<Counted>,
): (...args: Args) => Promise<Counted> {
  return (...args) =>
    count(...args).catch((error: unknown) => {
      if (error instanceof Problem && error.problem === "rate_limited") countSignIn(by, "limited");
      throw error;
    });
}

/** Counts under a key of the caller's own. @returns `undefined` when that limit is used up */
async function countOwn(limit: ExactLimit, key: string): Promise<Counted | undefined> {
  try {
    await limit.count(key);
  } catch (error) {
    if (error instanceof Problem && error.problem === "rate_limited") return undefined;
    throw error;
  }
  return { lane: "known", forgive: () => limit.forget(key) };
}

function keyOf(email: string): string {
  return hash("sha256", email.trim().toLowerCase(), "base64url");
}
