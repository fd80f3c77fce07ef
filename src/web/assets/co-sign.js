// Lets a passkey sign what the page shows. The service issues the challenge on the click and checks the answer; whatever
// it refuses, the page that it answers with says why.
import { askPasskey, post, sentenceFor, TOO_OLD, usable } from "./webauthn.js";

const form = document.querySelector("form[data-co-sign]");
const status = document.querySelector("#co-sign-said");
const button = form.querySelector("button");
const byPassword = form.querySelector("details");
const password = form.elements.namedItem("password");
let asking = false;

function start() {
  button.disabled = false;
  form.addEventListener("submit", (event) => {
    // A field that the browser has filled in by itself, out of sight, is not a choice.
    if (byPassword?.contains(event.submitter) || (byPassword?.open && password.value)) return;
    event.preventDefault();
    if (asking) return;
    asking = true;
    status.textContent = "";
    sign().catch((error) => {
      status.textContent = `Nothing was confirmed. ${sentenceFor(error)}`;
      asking = false;
    });
  });

  // A page that Back shows again may have been decided since.
  addEventListener("pageshow", ({ persisted }) => {
    if (persisted) location.reload();
  });
}

async function sign() {
  const body = new URLSearchParams(new FormData(form));
  body.delete("password");
  const response = await post(form.dataset.coSign, body);
  send(response.ok ? await askPasskey(await response.json()) : "");
}

// Past the listener above, and always with this field: an empty answer confirms nothing.
function send(assertion) {
  if (password) password.disabled = true;
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name: "assertion", value: assertion });
  form.append(field);
  form.submit();
}

// Where a password may do, the button works without this script.
if (usable) start();
else if (button.disabled) status.textContent = TOO_OLD;
