import type Stripe from "stripe";
import { bookTransaction, readBalance } from "./balance.ts";
import { type Desk, look, mergeMetadata, newId, now, record } from "./books.ts";
import { integer, metadata, notPlayed, pagination, type Rules, range, required, text } from "./parameters.ts";
import { missing, refused } from "./refusals.ts";

/** Connected accounts that play what Stripe refuses; any other is there, and takes transfers. */
export const NO_ACCOUNT = "acct_1NotConnected";
export const NO_TRANSFERS = "acct_1WithoutTransfers";

export const createTransferRules: Rules<Stripe.TransferCreateParams> = {
  amount: integer(1),
  currency: required(text),
  description: text,
  destination: required(text),
  expand: notPlayed,
  metadata,
  source_transaction: text,
  source_type: notPlayed,
  transfer_group: text,
};

/** `POST /v1/transfers` */
export function createTransfer(desk: Desk, fields: Stripe.TransferCreateParams): Stripe.Transfer {
  const { destination, source_transaction: source, transfer_group: group } = fields;
  if (!destination.startsWith("acct_") || destination === NO_ACCOUNT)
    throw missing("destination", destination, "destination", false);
  if (destination === NO_TRANSFERS) {
    const message =
      "Your destination account needs to have at least one of the following capabilities enabled: transfers, crypto_transfers, legacy_payments";
    throw refused(message, { code: "insufficient_capabilities_for_transfer" });
  }
  const charge = source === undefined ? undefined : look(desk, "charges", source, "source_transaction");
  const amount = fields.amount ?? charge?.amount ?? 0;
  const already = [...desk.books.transfers.values()]
    .filter(({ source_transaction, reversed }) => source_transaction === source && !reversed)
    .reduce((sum, one) => sum + one.amount - one.amount_reversed, 0);
  if (charge !== undefined && charge.amount - already < amount) {
    throw refused(
      `The transfer source (${charge.id}) has insufficient funds for a transfer of this amount.`,
      {
        code: "balance_insufficient",
      },
    );
  }
  if (charge?.transfer_group && group !== undefined && charge.transfer_group !== group) {
    throw refused("The transfer_group must be the one of the source_transaction.", {
      param: "transfer_group",
    });
  }
  const [usd] = readBalance(desk).available;
  if (charge === undefined && (usd?.amount ?? 0) < amount) {
    throw refused("You have insufficient available funds in your Stripe account.", {
      code: "balance_insufficient",
    });
  }
  const id = newId("tr");
  const transfer: Stripe.Transfer = {
    id,
    object: "transfer",
    amount,
    amount_reversed: 0,
    balance_transaction: null,
    created: now(desk),
    currency: fields.currency,
    description: fields.description ?? null,
    destination,
    destination_payment: newId("py"),
    livemode: false,
    metadata: mergeMetadata({}, fields.metadata),
    reversals: { object: "list", data: [], has_more: false, url: `/v1/transfers/${id}/reversals` },
    reversed: false,
    source_transaction: source ?? null,
    source_type: "card",
    transfer_group: group ?? charge?.transfer_group ?? null,
  };
  transfer.balance_transaction = bookTransaction(desk, transfer, {
    type: "transfer",
    amount: -amount,
    fee: 0,
  }).id;
  desk.books.transfers.set(id, transfer);
  record(desk, "transfer.created", transfer);
  return transfer;
}

/** What happens when the money comes back, whole: a person reverses it, or the connected account is closed. */
export function reverseTransfer(desk: Desk, id: string): Stripe.Transfer {
  const transfer = look(desk, "transfers", id);
  Object.assign(transfer, { amount_reversed: transfer.amount, reversed: true });
  bookTransaction(desk, transfer, { type: "transfer", amount: transfer.amount, fee: 0 });
  record(desk, "transfer.reversed", transfer);
  return transfer;
}

export const listTransfersRules: Rules<Stripe.TransferListParams> = {
  ...pagination,
  created: range,
  destination: text,
  transfer_group: text,
};
