// Asks the browser for a passkey. Requests and answers are converted by hand: `toJSON()` throws "Illegal invocation" on
// the credentials of some password managers, and older browsers have neither it nor `parse…FromJSON`.

const CLOSED = "The passkey prompt was closed, timed out, or found no passkey of yours. Try again.";
const NOT_THIS_DEVICE =
  "This device can’t provide the kind of passkey that is needed here. Use another device.";
const SENTENCES = {
  AbortError: CLOSED,
  NotAllowedError: CLOSED,
  ConstraintError: NOT_THIS_DEVICE,
  NotSupportedError: NOT_THIS_DEVICE,
  InvalidStateError: "This device already has a passkey of yours for this service.",
  SecurityError: "This browser doesn’t allow passkeys at this address. Open this page in another browser.",
};
const NO_CREDENTIAL = "The browser returned no passkey. Use the device or password manager that holds yours.";
const UNREADABLE = "The passkey’s answer couldn’t be read. Use another device or password manager.";
const UNEXPECTED = "Something went wrong in this browser. Try again, or open this page in another browser.";
const UNREACHED = "The service couldn’t be reached. Check your connection, then try again.";
export const TOO_OLD =
  "This browser can’t use passkeys here. Update it, or open this page in another browser.";

/** Whether this browser has passkeys at all. */
export const usable =
  typeof window.PublicKeyCredential === "function" && typeof navigator.credentials?.get === "function";

/** Why no passkey has answered; the message is for the person. */
export class PasskeyFault extends Error {}

/** What to tell the person about anything that was thrown on the way to a passkey's answer. */
export function sentenceFor(error) {
  return error instanceof PasskeyFault ? error.message : UNEXPECTED;
}

/** Sends a form to this service, and follows no redirect. Throws PasskeyFault if no response comes. */
export async function post(url, body) {
  try {
    return await fetch(url, { method: "POST", body, redirect: "manual" });
  } catch {
    throw new PasskeyFault(UNREACHED);
  }
}

/** Creates a passkey by the service's options. Returns it as JSON text; throws PasskeyFault. */
export async function createPasskey(options) {
  const publicKey = {
    ...options,
    challenge: toBytes(options.challenge),
    user: { ...options.user, id: toBytes(options.user.id) },
    excludeCredentials: withBytes(options.excludeCredentials),
  };
  const credential = await prompt(() => navigator.credentials.create({ publicKey }));
  return serialise(credential, (response) => ({
    attestationObject: toText(response.attestationObject),
    transports: transportsOf(response),
  }));
}

/**
 * Asks one of the person's passkeys by the service's options. Returns its answer as JSON text; throws PasskeyFault.
 * `how` goes to the browser as it is: `mediation`, `signal`.
 */
export async function askPasskey(options, how) {
  const publicKey = {
    ...options,
    challenge: toBytes(options.challenge),
    allowCredentials: withBytes(options.allowCredentials),
  };
  const credential = await prompt(() => navigator.credentials.get({ publicKey, ...how }));
  return serialise(credential, (response) => ({
    authenticatorData: toText(response.authenticatorData),
    signature: toText(response.signature),
    ...(response.userHandle?.byteLength > 0 && { userHandle: toText(response.userHandle) }),
  }));
}

async function prompt(show) {
  let credential;
  try {
    credential = await show();
  } catch (error) {
    throw new PasskeyFault(SENTENCES[error?.name] ?? UNEXPECTED);
  }
  if (!credential) throw new PasskeyFault(NO_CREDENTIAL);
  return credential;
}

function serialise({ rawId, response }, read) {
  try {
    const id = toText(rawId);
    const clientDataJSON = toText(response.clientDataJSON);
    return JSON.stringify({
      id,
      rawId: id,
      type: "public-key",
      response: { clientDataJSON, ...read(response) },
    });
  } catch {
    throw new PasskeyFault(UNREADABLE);
  }
}

function transportsOf(response) {
  try {
    return [...response.getTransports()];
  } catch {
    // It only helps the browser find the passkey later.
    return [];
  }
}

function withBytes(credentials = []) {
  return credentials.map((credential) => ({ ...credential, id: toBytes(credential.id) }));
}

function toText(buffer) {
  const binary = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function toBytes(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
