export const WEBHOOKS = "/settings/webhooks";

/** The page of one webhook. */
export function webhookPath(id: string): string {
  return `${WEBHOOKS}/${id}`;
}
