import { Ajv } from "ajv";
import { LinkedContent, Receipt } from "./schemas.ts";

const ajv = new Ajv({ allowUnionTypes: true, formats: { "date-time": isTime } });

/** Whether it has all that a receipt has, of the right kinds, and nothing else. */
export const isReceipt = ajv.compile<Receipt>(Receipt);
/** The same for what is linked of one. */
export const isLinkedContent = ajv.compile<LinkedContent>(LinkedContent);

/** ISO 8601 in the one way that it is written here. */
function isTime(text: string): boolean {
  const time = Date.parse(text);
  return !Number.isNaN(time) && new Date(time).toISOString() === text;
}
