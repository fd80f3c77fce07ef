// What stands in for Stripe.js: enough of it to collect a card with the Payment Element. Like the real one it
// keeps the card's number in a frame of Stripe's own, and talks to Stripe's API from there.
(() => {
  const JS = "https://js.stripe.com";
  const API = "https://api.stripe.com";
  const idOf = (clientSecret) => clientSecret.split("_secret_")[0];

  class Element {
    constructor(elements, type) {
      if (type !== "payment") throw new Error(`this counterpart does not play the element ${type}`);
      this.elements = elements;
      this.listeners = {};
      this.frame = document.createElement("iframe");
      this.frame.title = "Secure payment input frame";
      this.frame.src = `${JS}/v3/frame.html`;
      this.frame.style.cssText = "border:0;width:100%;height:12rem";
      this.frame.addEventListener("load", () => this.emit("ready"));
    }

    mount(where) {
      const parent = typeof where === "string" ? document.querySelector(where) : where;
      if (parent === null) {
        throw new Error(
          `The selector you specified (${where}) applies to no DOM elements that are currently on the page.`,
        );
      }
      parent.append(this.frame);
      this.elements.element = this;
    }

    on(event, listener) {
      this.listeners[event] = [...(this.listeners[event] ?? []), listener];
      return this;
    }

    emit(event) {
      for (const listener of this.listeners[event] ?? []) listener({ elementType: "payment" });
    }

    unmount() {
      this.frame.remove();
    }

    destroy() {
      this.unmount();
    }

    ask(what) {
      return new Promise((resolve) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = ({ data }) => resolve(data);
        this.frame.contentWindow.postMessage(what, JS, [port2]);
      });
    }
  }

  function Stripe(key) {
    if (!/^pk_(test|live)_/.test(key)) throw new Error("Invalid API key. Please use a publishable key.");
    return {
      elements(options = {}) {
        const elements = {
          options,
          element: undefined,
          create: (type) => new Element(elements, type),
          getElement: () => elements.element ?? null,
          submit: () => elements.element.ask({ verb: "validate" }),
          update() {},
        };
        return elements;
      },

      async confirmSetup({
        elements,
        clientSecret = elements.options.clientSecret,
        confirmParams,
        redirect,
      }) {
        const returnUrl = confirmParams?.return_url;
        if (returnUrl === undefined && redirect !== "if_required") {
          throw new Error("confirmSetup(): the `confirmParams.return_url` argument is required");
        }
        const answer = await elements.element.ask({
          verb: "confirm",
          path: `/v1/setup_intents/${idOf(clientSecret)}/confirm`,
          fields: { key, client_secret: clientSecret, return_url: returnUrl ?? location.href },
        });
        if (answer.error) return { error: answer.error };
        const url = answer.next_action?.redirect_to_url?.url;
        if (url !== undefined) {
          location.assign(url);
          return new Promise(() => {});
        }
        if (redirect === "if_required") return { setupIntent: answer };
        const back = new URL(returnUrl);
        back.searchParams.set("setup_intent", answer.id);
        back.searchParams.set("setup_intent_client_secret", answer.client_secret);
        back.searchParams.set("redirect_status", answer.status);
        location.assign(back.href);
        return new Promise(() => {});
      },

      async retrieveSetupIntent(clientSecret) {
        const query = new URLSearchParams({ key, client_secret: clientSecret });
        const answer = await fetch(`${API}/v1/setup_intents/${idOf(clientSecret)}?${query}`);
        const { error, ...setupIntent } = await answer.json();
        return error === undefined ? { setupIntent } : { error };
      },
    };
  }

  window.Stripe = Stripe;
})();
