import { createHmac } from "node:crypto";
import type Stripe from "stripe";

const PATIENCE = 20_000;

export type Delivery = { event: Stripe.Event; status: number | "unreachable" };

/**
 * Stripe's signature of a body. By the real clock, however far the driven one is ahead: receivers compare it
 * with theirs.
 */
export function signatureHeader(body: string, secret: string, at = Math.floor(Date.now() / 1_000)): string {
  const v1 = createHmac("sha256", secret).update(`${at}.${body}`).digest("hex");
  return `t=${at},v1=${v1}`;
}

/** Sends events as Stripe does: each at least once, and in no order that it promises. */
export class Deliveries {
  readonly #log: Delivery[] = [];
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #secret: string;
  #held: Stripe.Event[] | undefined;
  /** Where events go by themselves; nowhere at first. */
  endpoint: string | undefined;

  constructor(secret: string) {
    this.#secret = secret;
  }

  add(event: Stripe.Event): void {
    if (this.endpoint === undefined) return;
    event.pending_webhooks = 1;
    if (this.#held === undefined) void this.#send(event, this.endpoint);
    else this.#held.push(event);
  }

  /** Keeps what is to be sent from now on, until it is released. */
  hold(): void {
    this.#held ??= [];
  }

  /** Sends what was held, one after the other: in another order and several times, if that is asked for. */
  async release({
    order = (events) => events,
    copies = 1,
  }: {
    order?: (events: Stripe.Event[]) => Stripe.Event[];
    copies?: number;
  } = {}): Promise<void> {
    const events = order(this.#held ?? []);
    this.#held = undefined;
    for (let copy = 1; copy <= copies; copy++) for (const event of events) await this.resend(event);
  }

  /** What was held. */
  held(): readonly Stripe.Event[] {
    return this.#held ?? [];
  }

  /** Sends an event once more, as the dashboard's button does: to the endpoint, or to the one that is named. */
  async resend(event: Stripe.Event, to = this.endpoint): Promise<Delivery> {
    if (to === undefined) throw new TypeError("there is no endpoint");
    return this.#send(event, to);
  }

  /** Sends again what was not received. */
  async retry(): Promise<void> {
    const taken = new Set(this.#log.filter(wasTaken).map(({ event }) => event.id));
    const open = new Map(this.#log.map(({ event }) => [event.id, event]));
    for (const [id, event] of open) if (!taken.has(id)) await this.resend(event);
  }

  /** What was sent so far. */
  log(): readonly Delivery[] {
    return this.#log;
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  async #send(event: Stripe.Event, to: string): Promise<Delivery> {
    const sending = this.#post(event, to);
    this.#underWay.add(sending);
    try {
      const delivery = { event, status: await sending };
      if (wasTaken(delivery)) event.pending_webhooks = 0;
      this.#log.push(delivery);
      return delivery;
    } finally {
      this.#underWay.delete(sending);
    }
  }

  async #post(event: Stripe.Event, to: string): Promise<Delivery["status"]> {
    const body = JSON.stringify(event, undefined, 2);
    const headers = {
      "content-type": "application/json; charset=utf-8",
      "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
      "stripe-signature": signatureHeader(body, this.#secret),
    };
    try {
      const signal = AbortSignal.timeout(PATIENCE);
      const response = await fetch(to, { method: "POST", headers, body, redirect: "manual", signal });
      await response.arrayBuffer();
      return response.status;
    } catch {
      return "unreachable";
    }
  }
}

function wasTaken({ status }: Delivery): boolean {
  return typeof status === "number" && status >= 200 && status < 300;
}
