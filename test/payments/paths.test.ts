import { describe, expect, test } from "vitest";
import { advancePayment, cancelPayment } from "../../src/approvals/advance-service.ts";
import { findLatestPayment } from "../../src/billing/payment-service.ts";
import { openRails } from "../support/rails.ts";
import { startService } from "../support/service.ts";
import { confirmNow, createStories } from "../support/stories.ts";
import { AFTER_LOSS, EVERY_CROSSING, OUTGOING, RECOVERIES, REQUESTS, TOP_UPS } from "./crossings.ts";

const worlds = await Promise.all(
  (await openRails()).map(async (rails) => ({
    ...(await startService({}, undefined, rails)),
    name: rails.name,
    rails,
  })),
);

describe("the table of crossings, by which the tests kill", () => {
  test("names every boundary of the list, before and after", () => {
    const tabled = [...REQUESTS, ...RECOVERIES, ...Object.values(OUTGOING)].flatMap(({ crosses }) => crosses);
    const others = [...AFTER_LOSS, ...Object.values(TOP_UPS).flat()];
    expect([...new Set([...tabled, ...others])].sort()).toEqual([...EVERY_CROSSING].sort());
  });

  describe.for(worlds)("over the rails of $name", ({ app, db, config, rails }) => {
    test.concurrent.for(REQUESTS)("is what $card $answer crosses, one by one", async (path) => {
      const { stories } = await createStories(app, rails.cards[path.card], 1);
      const [story] = stories;
      if (story === undefined) throw new TypeError("one card, one story");
      const crossed: string[] = [];
      const deps = {
        db,
        config,
        processor: rails.open(db),
        boundaries: (boundary: string, moment: string) => void crossed.push(`${boundary}:${moment}`),
      };
      await confirmNow(deps, story).catch(() => {});
      if (path.answer !== undefined) {
        crossed.length = 0;
        const payment = await findLatestPayment(db, story.accountId, story.approvalId);
        if (payment === undefined) throw new TypeError("it was confirmed");
        if (path.answer === "give-up") {
          await cancelPayment(deps, payment);
        } else {
          await rails.answerBank(db, payment.intentId ?? "", path.answer === "pass");
          await advancePayment(deps, payment);
        }
      }
      expect(crossed).toEqual(path.crosses);
    });
  });
});
