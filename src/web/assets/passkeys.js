// Lets a browser create a passkey, or answer with one. The service issues the challenge on the click. The answer goes to
// it in the page's own form; whatever it refuses, the page that it answers with says why.
import { askPasskey, createPasskey, PasskeyFault, post, sentenceFor, TOO_OLD, usable } from "./webauthn.js";

const NOT_ACCEPTED = "This passkey wasn’t accepted. Use another, or your password.";
const STALE = "The service couldn’t take this. Wait a minute, then reload the page.";
/** A challenge counts for 5 minutes. */
const OFFER_LASTS = 4 * 60_000;
const CEREMONIES = { create: createPasskey, get: askPasskey };

/** The passkey's answer, as JSON text; empty where the service answers the form with a page that says what is wrong. */
async function run(ceremony, url, body, how) {
  const response = await post(url, body);
  const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
  if (!isJson) return "";
  const answer = await response.json();
  if (!response.ok) throw new PasskeyFault(answer.error);
  return ceremony(answer, how);
}

// Forms whose button asks for a passkey before they are sent.
function startForm(form) {
  const status = form.querySelector(".passkey-said");
  if (!usable) {
    status.textContent = TOO_OLD;
    return;
  }
  let asking = false;
  const offered = new AbortController();
  const credential = form.elements.namedItem("credential");
  const signature = form.elements.namedItem("signature");
  const ask = async (submitter) => {
    asking = true;
    offered.abort();
    status.textContent = "";
    try {
      const sent = () => new URLSearchParams(new FormData(form, submitter));
      const { passkey, options, sign } = form.dataset;
      // What was created already is not created again when its signature failed.
      if (!signature || credential.value === "")
        credential.value = await run(CEREMONIES[passkey], options, sent());
      if (signature && credential.value !== "") {
        status.textContent = "Now use a passkey that you already have, to sign the new one.";
        signature.value = await run(askPasskey, sign, sent());
      }
      submit(form, submitter);
    } catch (error) {
      status.textContent = sentenceFor(error);
    } finally {
      asking = false;
    }
  };
  form.querySelector("button[type=submit]").disabled = false;
  form.addEventListener("submit", (event) => {
    if (event.submitter?.hasAttribute("data-unsigned")) return;
    event.preventDefault();
    if (!asking) void ask(event.submitter);
  });
  if ("autofill" in form.dataset)
    void canOffer().then((can) => can && !asking && offer(form, offered.signal));
}

// Lists passkeys among what the browser fills in, beside the button. A browser asks for one passkey at a time, so the
// button ends the offer.
async function offer(form, stop) {
  const fresh = AbortSignal.timeout(OFFER_LASTS);
  const how = { mediation: "conditional", signal: AbortSignal.any([stop, fresh]) };
  try {
    const answer = await run(askPasskey, form.dataset.options, new URLSearchParams(new FormData(form)), how);
    if (stop.aborted || answer === "") return;
    form.elements.namedItem("credential").value = answer;
    form.submit();
  } catch {
    if (fresh.aborted && !stop.aborted) await offer(form, stop);
  }
}

async function canOffer() {
  return "any" in AbortSignal && (await PublicKeyCredential.isConditionalMediationAvailable?.()) === true;
}

// Past the listener above, and with what its button says.
function submit(form, submitter) {
  if (submitter?.name) {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name: submitter.name, value: submitter.value });
    form.append(field);
  }
  form.submit();
}

// In place of a password: the form around it may then be sent without one.
function startPresence(place) {
  const { presence: url, token } = place.dataset;
  const status = place.querySelector("[role=status]");
  const button = place.querySelector("button");
  if (!usable) {
    button.hidden = true;
    status.textContent = TOO_OLD;
    return;
  }
  const prove = async () => {
    button.disabled = true;
    status.textContent = "";
    try {
      const body = new URLSearchParams({ form_token: token });
      const credential = await run(askPasskey, `${url}/options`, body);
      if (credential === "") throw new PasskeyFault(STALE);
      body.set("credential", credential);
      const { ok, status: code } = await post(url, body);
      if (!ok) throw new PasskeyFault(code === 422 ? NOT_ACCEPTED : STALE);
      if ("reload" in place.dataset) return location.reload();
      waivePassword(place.closest("form"));
      button.hidden = true;
      status.textContent = "Confirmed with your passkey. You can continue.";
    } catch (error) {
      status.textContent = sentenceFor(error);
    } finally {
      button.disabled = false;
    }
  };
  button.disabled = false;
  button.addEventListener("click", () => void prove());
}

function waivePassword(form) {
  const password = form.elements.namedItem("password");
  if (!password) return;
  password.value = "";
  password.required = false;
  password.closest(".field").hidden = true;
}

for (const form of document.querySelectorAll("form[data-passkey]")) startForm(form);
for (const place of document.querySelectorAll("[data-presence]")) startPresence(place);
