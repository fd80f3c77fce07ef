import type { CDPSession, Page } from "playwright-core";
import type { Authenticator } from "./authenticator.ts";

export type VirtualAuthenticator = {
  /** Puts a person's passkey into it. */
  add(passkey: Authenticator, userId: string): Promise<void>;
  /** Whether it recognises its owner. */
  recognise(owner: boolean): Promise<void>;
  /** Whether somebody answers its prompts, or lets them be. */
  answer(prompts: boolean): Promise<void>;
  /** How often it has answered a prompt so far. */
  answered(): number;
};

/** Gives the page's browser an authenticator as phones and laptops have one, by Chromium's own means for tests. */
export async function plugIn(
  page: Page,
  { recognises = true }: { recognises?: boolean } = {},
): Promise<VirtualAuthenticator> {
  const cdp: CDPSession = await page.context().newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: recognises,
      isUserVerified: recognises,
      automaticPresenceSimulation: true,
    },
  });
  let answered = 0;
  for (const event of ["WebAuthn.credentialAdded", "WebAuthn.credentialAsserted"] as const) {
    cdp.on(event, () => {
      answered += 1;
    });
  }
  return {
    add: async (passkey, userId) => {
      const base64 = (bytes: Buffer | Uint8Array): string => Buffer.from(bytes).toString("base64");
      await cdp.send("WebAuthn.addCredential", {
        authenticatorId,
        credential: {
          credentialId: base64(passkey.credentialId),
          isResidentCredential: true,
          rpId: "localhost",
          privateKey: base64(passkey.privateKey.export({ format: "der", type: "pkcs8" })),
          userHandle: base64(Buffer.from(userId)),
          signCount: 0,
        },
      });
      // Adding it by hand is nobody's answer.
      answered = 0;
    },
    recognise: async (isUserVerified) => {
      await cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified });
    },
    answer: async (enabled) => {
      await cdp.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId, enabled });
    },
    answered: () => answered,
  };
}
