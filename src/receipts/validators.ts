import { Ajv } from "ajv";
import { LinkedContent, Receipt } from "./schemas.ts";

const ajv = new Ajv({ allowUnionTypes: true, formats: { "date-time": isTime } });

/** Whether a value has every field of a receipt, of the right types, and no other field. */
export const isReceipt = ajv.compile<Receipt>(Receipt);
/** The same for a receipt's linked content. */
export const isLinkedContent = ajv.compile<LinkedContent>(LinkedContent);

/** ISO 8601, in the one form that this service writes. */
function isTime(text: string): boolean {
  const time = Date.parse(text);
  return !Number.isNaN(time) && new Date(time).toISOString() === text;
}
