import { kyselyAdapter } from "@better-auth/kysely-adapter";
import type { BetterAuthOptions } from "better-auth";
import { betterAuth } from "better-auth/minimal";
import type { Logger } from "pino";
import type { Db } from "../database/connection.ts";
import { newId } from "../lib/ids.ts";
import { cookieName, isSecure } from "./cookie.ts";
import { hashSessionTokens } from "./hashed-tokens.ts";
import type { SessionKeys } from "./keys.ts";

export const PASSWORD_AT_LEAST = 12;
export const PASSWORD_AT_MOST = 128;
/** A session ends after 7 days at the latest; `store.ts` ends it after 12 idle hours, too. */
export const SESSION_SECONDS = 7 * 24 * 60 * 60;
/** Ours alone: what the server knows to be the caller's address, whatever headers the caller sent. */
export const ADDRESS_HEADER = "x-countersign-address";

export type Auth = ReturnType<typeof createAuth>;

/**
 * The kept library behind sign-in: it compares passwords, makes sessions and signs cookies. None of its routes
 * is mounted; our forms call its functions, behind our limits.
 */
export function createAuth({
  db,
  keys,
  publicUrl,
  logger,
}: {
  db: Db;
  keys: SessionKeys;
  publicUrl: string;
  logger: Logger;
}) {
  const adapter = kyselyAdapter(db.withSchema("auth") as never, { type: "postgres", transaction: true });
  return betterAuth({
    baseURL: publicUrl,
    trustedOrigins: [publicUrl],
    secret: keys.cookies[0] ?? "",
    database: (options: BetterAuthOptions) => hashSessionTokens(adapter(options)),
    telemetry: { enabled: false },
    rateLimit: { enabled: false },
    logger: {
      disableColors: true,
      level: "error",
      // Its further arguments may hold what was sent.
      log: (level, message) => logger[level]({ library: "better-auth" }, message),
    },
    emailAndPassword: {
      enabled: true,
      disableSignUp: true,
      minPasswordLength: PASSWORD_AT_LEAST,
      maxPasswordLength: PASSWORD_AT_MOST,
    },
    user: {
      modelName: "users",
      fields: { emailVerified: "email_verified", createdAt: "created_at", updatedAt: "updated_at" },
    },
    session: {
      modelName: "sessions",
      fields: {
        userId: "user_id",
        expiresAt: "expires_at",
        ipAddress: "ip_address",
        userAgent: "user_agent",
        createdAt: "created_at",
        updatedAt: "updated_at",
      },
      expiresIn: SESSION_SECONDS,
      disableSessionRefresh: true,
      cookieCache: { enabled: false },
    },
    account: {
      modelName: "credentials",
      fields: {
        accountId: "account_id",
        providerId: "provider_id",
        userId: "user_id",
        accessToken: "access_token",
        refreshToken: "refresh_token",
        idToken: "id_token",
        accessTokenExpiresAt: "access_token_expires_at",
        refreshTokenExpiresAt: "refresh_token_expires_at",
        createdAt: "created_at",
        updatedAt: "updated_at",
      },
    },
    verification: {
      modelName: "verifications",
      fields: { expiresAt: "expires_at", createdAt: "created_at", updatedAt: "updated_at" },
    },
    advanced: {
      // Off, as it would prefix `__Secure-`; our name says `__Host-`, and the attribute follows PUBLIC_URL.
      useSecureCookies: false,
      cookies: {
        session_token: {
          name: cookieName(publicUrl),
          attributes: { httpOnly: true, sameSite: "lax", path: "/", secure: isSecure(publicUrl) },
        },
      },
      database: { generateId: () => newId(), validateSchema: false },
      ipAddress: { ipAddressHeaders: [ADDRESS_HEADER] },
    },
  });
}
