import type { CDPSession, Page } from "playwright-core";
import type { Authenticator } from "./authenticator.ts";

export type VirtualAuthenticator = {
  /** Puts a person's passkey into it. */
  add(passkey: Authenticator, userId: string): Promise<void>;
  /** Whether it recognises its owner. */
  recognise(owner: boolean): Promise<void>;
  /** Whether its prompts are answered. */
  answer(prompts: boolean): Promise<void>;
  /** How often it has answered a prompt so far. */
  answered(): number;
};

/**
 * Gives the page's browser an authenticator as phones and laptops have one, by Chromium's own means for tests.
 * @param options.autofill whether the browser lists passkeys on a field; this authenticator then picks the first at once
 */
export async function plugIn(
  page: Page,
  {
    recognises = true,
    transport = "internal",
    autofill = false,
  }: { recognises?: boolean; transport?: "internal" | "usb"; autofill?: boolean } = {},
): Promise<VirtualAuthenticator> {
  if (!autofill)
    await page.addInitScript(() => {
      PublicKeyCredential.isConditionalMediationAvailable = async () => false;
    });
  const cdp: CDPSession = await page.context().newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport,
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
      // Adding it by hand answers no prompt.
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

/**
 * Has the page's credentials come from a password manager that is built as several are: what it returns has the
 * browser's prototypes but is none of its objects, so that `toJSON()` and `getTransports()` throw "Illegal invocation".
 */
export async function answerAsPasswordManager(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const copy = (original: object, keys: readonly string[]): object => {
      const values = Object.fromEntries(
        keys.map((key) => [key, { value: Reflect.get(original, key), enumerable: true }]),
      );
      return Object.create(Object.getPrototypeOf(original), values);
    };
    const asManager = (credential: unknown): unknown => {
      if (!(credential instanceof PublicKeyCredential)) return credential;
      const fields = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
      const response = copy(credential.response, fields);
      const made = copy(credential, ["id", "rawId", "type", "authenticatorAttachment"]);
      return Object.defineProperty(made, "response", { value: response });
    };
    const { credentials } = navigator;
    const create = credentials.create.bind(credentials);
    const get = credentials.get.bind(credentials);
    credentials.create = async (options) => asManager(await create(options)) as Credential;
    credentials.get = async (options) => asManager(await get(options)) as Credential;
  });
}

/** Has the page's browser answer every passkey prompt by throwing, or by returning nothing, until it is told to stop. */
export async function failPrompts(
  page: Page,
  error: { name: string } | null,
): Promise<{ stop(): Promise<void> }> {
  await page.evaluate((thrown) => {
    const { credentials } = navigator;
    const fail = async (): Promise<null> => {
      if (thrown !== null) throw new DOMException("told to", thrown.name);
      return null;
    };
    Object.defineProperties(credentials, {
      create: { value: fail, configurable: true },
      get: { value: fail, configurable: true },
    });
  }, error);
  return {
    stop: () =>
      page.evaluate(() => {
        Reflect.deleteProperty(navigator.credentials, "create");
        Reflect.deleteProperty(navigator.credentials, "get");
      }),
  };
}
