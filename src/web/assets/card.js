// Lets a person give their card to Stripe, in a frame of Stripe's: its number never comes near this page.
(() => {
  const form = document.querySelector("#card");
  const said = document.querySelector("#card-said");
  const button = form.querySelector("button");
  const { publishableKey, clientSecret, returnUrl } = form.dataset;

  function say(message) {
    said.textContent = message;
    said.hidden = message === "";
  }

  if (typeof Stripe === "undefined") {
    say("Stripe’s form could not be loaded. Allow js.stripe.com in this browser, then open this page again.");
    return;
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const stripe = Stripe(publishableKey);
  const elements = stripe.elements({ clientSecret, appearance: { theme: dark ? "night" : "stripe" } });
  const fields = elements.create("payment", {
    wallets: { applePay: "never", googlePay: "never", link: "never" },
  });
  fields.on("ready", () => {
    button.disabled = false;
  });
  fields.on("loaderror", ({ error }) => say(error?.message ?? "Stripe’s form could not be loaded."));
  fields.mount("#card-fields");

  // Comes back only if it fails: else the browser goes to `returnUrl`, by way of the bank if that asks.
  async function give() {
    button.disabled = true;
    say("");
    const { error } = await stripe
      .confirmSetup({ elements, confirmParams: { return_url: returnUrl } })
      .catch((thrown) => ({ error: thrown }));
    say(error?.message ?? "The card could not be added. Try again.");
    button.disabled = false;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void give();
  });
})();
