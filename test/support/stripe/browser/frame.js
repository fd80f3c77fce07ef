// The card's fields, in a frame of Stripe's own: the page around it never sees the number.
(() => {
  const API = "https://api.stripe.com";
  const form = document.querySelector("form");
  const alert = document.querySelector("[role=alert]");

  function readCard() {
    const { number, expiry, cvc } = Object.fromEntries(new FormData(form));
    const [, month, year] = /^\s*(\d{1,2})\s*\/\s*(\d{2})\s*$/.exec(expiry) ?? [];
    if (number.replaceAll(" ", "") === "")
      return wrong("incomplete_number", "Your card number is incomplete.");
    if (month === undefined) return wrong("incomplete_expiry", "Your card’s expiration date is incomplete.");
    if (cvc === "") return wrong("incomplete_cvc", "Your card’s security code is incomplete.");
    return { card: { number, exp_month: month, exp_year: `20${year}`, cvc } };
  }

  function wrong(code, message) {
    return { error: { type: "validation_error", code, message } };
  }

  async function confirm({ path, fields }) {
    const { card, error } = readCard();
    if (error) return { error };
    const body = new URLSearchParams({ ...fields, "payment_method_data[type]": "card" });
    for (const [field, value] of Object.entries(card)) body.set(`payment_method_data[card][${field}]`, value);
    const answer = await fetch(API + path, { method: "POST", body });
    return answer.json();
  }

  async function answer({ data, ports: [port] }) {
    const answered = data.verb === "confirm" ? await confirm(data) : readCard();
    alert.textContent = answered.error?.message ?? "";
    port.postMessage(data.verb === "validate" ? { error: answered.error } : answered);
  }

  window.addEventListener("message", (event) => void answer(event));
})();
