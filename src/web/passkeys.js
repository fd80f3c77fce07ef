// Lets a browser make a passkey, or answer with one. The service issues the challenge on the click. What comes back goes
// to it in the page's own form, and whatever it refuses, it is the page that it answers with that says why.
(() => {
  const NO_ANSWER = "Nothing was done: no passkey has answered. Press the button to be asked again.";
  const UNREACHED = "Nothing was done: the service could not be reached. Try again.";
  const TOO_OLD = "This browser is too old for passkeys here. Update it, or open this page in another.";
  const CEREMONIES = {
    create: {
      read: (options) => PublicKeyCredential.parseCreationOptionsFromJSON(options),
      ask: (publicKey) => navigator.credentials.create({ publicKey }),
    },
    get: {
      read: (options) => PublicKeyCredential.parseRequestOptionsFromJSON(options),
      ask: (publicKey) => navigator.credentials.get({ publicKey }),
    },
  };
  const able = typeof window.PublicKeyCredential?.parseCreationOptionsFromJSON === "function";

  const sayIn = (status) => (message) => {
    status.textContent = message;
  };

  // `undefined`: refused, and said why. Throws what the browser does when nobody answers.
  async function run({ read, ask }, url, body, say) {
    const answer = await fetch(url, { method: "POST", body, redirect: "manual" }).catch(() => undefined);
    if (answer === undefined) return say(UNREACHED);
    // Signed out meanwhile: the page leads to sign-in, and back.
    if (answer.type === "opaqueredirect") return location.reload();
    const json = answer.headers.get("content-type")?.startsWith("application/json") ?? false;
    if (!json) return { page: true };
    const said = await answer.json();
    if (!answer.ok) return say(said.error);
    return ask(read(said)).then(
      (credential) => ({ credential: JSON.stringify(credential.toJSON()) }),
      ({ name }) =>
        say(name === "InvalidStateError" ? "This device has a passkey of yours already." : NO_ANSWER),
    );
  }

  // Forms whose button asks for a passkey before they are sent.
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const say = sayIn(form.querySelector(".passkey-said"));
    const ceremony = CEREMONIES[form.dataset.passkey];
    let asking = false;
    const ask = async () => {
      const body = new URLSearchParams(new FormData(form));
      const found = await run(ceremony, form.dataset.options, body, say);
      asking = false;
      if (found === undefined) return;
      form.elements.namedItem("credential").value = found.credential ?? "";
      form.submit();
    };
    if (!able) {
      say(TOO_OLD);
      continue;
    }
    form.querySelector("button[type=submit]").disabled = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (asking) return;
      asking = true;
      say("");
      void ask();
    });
  }

  // In place of a password, to show that it is you: the form that stands around it may then be sent without one.
  for (const place of document.querySelectorAll("[data-presence]")) {
    const { presence: url, token } = place.dataset;
    const say = sayIn(place.querySelector("[role=status]"));
    const button = place.querySelector("button");
    const prove = async () => {
      const body = new URLSearchParams({ form_token: token });
      const found = await run(CEREMONIES.get, `${url}/options`, body, say);
      if (found === undefined) return false;
      body.set("credential", found.credential ?? "");
      const proved = await fetch(url, { method: "POST", body, redirect: "manual" }).catch(() => undefined);
      if (!proved?.ok) say("Nothing was done: this passkey was not accepted. Use your password.");
      return proved?.ok;
    };
    if (!able) continue;
    button.disabled = false;
    button.addEventListener("click", () => {
      button.disabled = true;
      say("");
      void prove().then((proved) => {
        button.disabled = false;
        if (!proved) return;
        const password = place.closest("form").elements.namedItem("password");
        if (password) {
          password.value = "";
          password.required = false;
          password.closest(".field").hidden = true;
        }
        button.hidden = true;
        say("Your passkey has shown that it is you. Go on.");
      });
    });
  }
})();
