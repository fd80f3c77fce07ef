const BRANDS: Record<string, string> = { amex: "American Express", unionpay: "UnionPay", jcb: "JCB" };

/** `Visa card ending in 4242`. */
export function cardName({ brand, last4 }: { brand: string; last4: string }): string {
  return `${BRANDS[brand] ?? brand.charAt(0).toUpperCase() + brand.slice(1)} card ending in ${last4}`;
}
