import { type Html, html } from "../../../lib/html.ts";
import type { Deliveries, Delivery } from "../../../webhooks/schemas.ts";
import { hiddenField } from "../../kit/forms.ts";
import { time } from "../../kit/wording.ts";
import { webhookPath } from "./webhook-paths.ts";

/** A page of a webhook's deliveries. */
export type DeliveryPage = {
  webhook: { id: string };
  deliveries: Deliveries;
  now: Date;
  /** What lets one be sent again; absent for a viewer, and for a webhook that is disabled. */
  resending: { formToken: string } | undefined;
};

/** A webhook's deliveries, the newest event first, each with how its last attempt went. */
export function deliveryList(page: DeliveryPage): Html {
  const { webhook, deliveries } = page;
  if (deliveries.deliveries.length === 0) return html`<p>No deliveries in the last 30 days.</p>`;
  return html`<ul class="rows">${deliveries.deliveries.map((delivery) => item(delivery, page))}</ul>
      ${deliveries.nextCursor !== null && html`<p><a href="${webhookPath(webhook.id)}?before=${deliveries.nextCursor}">Older deliveries</a></p>`}`;
}

function item(delivery: Delivery, { webhook, now, resending }: DeliveryPage): Html {
  const { id, eventId, eventType, attempts, lastError, status } = delivery;
  const untried = status === "PENDING" && attempts === 0;
  return html`
        <li class="choices">
          <p><strong>Event ${eventId}</strong>, <code>${eventType}</code>
            <span class="quiet">${outcome(delivery, now)}</span>${
              status !== "DELIVERED" &&
              attempts > 0 &&
              lastError !== null &&
              html`
            <span class="quiet">Last attempt: ${lastError}</span>`
            }</p>
          ${
            resending &&
            !untried &&
            html`<form method="post" action="${webhookPath(webhook.id)}/redeliver">
            ${hiddenField("delivery_id", id)}
            ${hiddenField("form_token", resending.formToken)}
            <button class="second" type="submit" aria-label="Resend event ${eventId}">Resend</button>
          </form>`
          }
        </li>`;
}

function outcome({ status, attempts, nextAttemptAt, resolvedAt }: Delivery, now: Date): Html {
  const tries = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
  const at = resolvedAt !== null && html`, ${time(new Date(resolvedAt))}`;
  switch (status) {
    case "DELIVERED":
      return html`<b>Delivered</b>${attempts > 1 && ` after ${tries}`}${at}`;
    case "FAILED":
      return html`<b>Failed</b> after ${tries}${at}`;
    case "CANCELLED":
      return html`<b>Not sent</b> because the webhook was disabled`;
    default: {
      const next = nextAttemptAt === null ? null : new Date(nextAttemptAt);
      const when = next === null || next <= now ? "now" : time(next);
      return attempts === 0
        ? html`<b>Waiting to be sent</b>, ${when}`
        : html`<b>Retrying</b> after ${tries}, ${when}`;
    }
  }
}
