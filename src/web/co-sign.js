// Lets a passkey sign what the page shows. The service issues the challenge on the click, and checks what comes back;
// whatever it refuses, it is the page that it answers with that says why.
(() => {
  const form = document.querySelector("form[data-co-sign]");
  const said = document.querySelector("#co-sign-said");
  const button = form.querySelector("button");
  const byPassword = form.querySelector("details");
  const password = form.elements.namedItem("password");
  let asking = false;

  function say(message) {
    said.textContent = message;
  }

  if (typeof window.PublicKeyCredential?.parseRequestOptionsFromJSON !== "function") {
    // Where a password may do, the form is sent as it is.
    if (button.disabled)
      say("This browser is too old for passkeys here. Update it, or open this page in another.");
    return;
  }
  button.disabled = false;

  // Past the listener below, and never without this field: what a passkey did not answer confirms nothing.
  function send(assertion) {
    if (password) password.disabled = true;
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name: "assertion", value: assertion });
    form.append(field);
    form.submit();
  }

  async function ask() {
    const body = new URLSearchParams(new FormData(form));
    body.delete("password");
    const answer = await fetch(form.dataset.coSign, { method: "POST", body, redirect: "manual" });
    if (!answer.ok) return send("");
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await answer.json());
    const credential = await navigator.credentials.get({ publicKey }).catch(() => undefined);
    if (credential) return send(JSON.stringify(credential.toJSON()));
    say("Nothing was confirmed: no passkey has answered. Press the button to be asked again.");
    asking = false;
  }

  form.addEventListener("submit", (event) => {
    // A field that the browser has filled in by itself, out of sight, is not a choice.
    if (byPassword?.contains(event.submitter) || (byPassword?.open && password.value)) return;
    event.preventDefault();
    if (asking) return;
    asking = true;
    say("");
    ask().catch(() => {
      say("Nothing was confirmed: the service could not be reached. Try again.");
      asking = false;
    });
  });

  // Whoever comes back to the page finds it as it was left, and may press again.
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    asking = false;
    form.elements.namedItem("assertion")?.remove();
    if (password) password.disabled = false;
  });
})();
