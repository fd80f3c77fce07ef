import { setTimeout as delay } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { sweepExpiredApprovals } from "../../src/approvals/jobs.ts";
import type { App } from "../../src/http/app.ts";
import { cloneDatabase } from "../support/clones.ts";
import { type Answer, call, createMilestone, fund, MARIA } from "../support/fixtures.ts";
import { hiddenValue, landing, open, submit } from "../support/humans.ts";
import { LONG } from "../support/long.ts";
import { type CardKind, findDisagreements, openRails } from "../support/rails.ts";
import { OPERATOR_KEY, startService } from "../support/service.ts";
import { ask, createStories, readOutcome, type Stories, type Story } from "../support/stories.ts";
import { bankIn } from "../support/visitor.ts";

/** How far apart the two start, in milliseconds, by turn: some before the other has begun, some in its midst. */
const APART = LONG ? [-12, -6, -3, -1, 0, 0, 1, 2, 4, 8, 12, 20] : [-3, 0, 4];

const worlds = await Promise.all(
  (await openRails()).map(async (rails) => {
    const url = await cloneDatabase();
    // What one account confirms here in a day is more than may be confirmed untyped by default.
    const env = { CONFIRM_AMOUNT_FROM: "999999" };
    const { app, db } = await startService(env, url, rails);
    const { app: other } = await startService(env, url, rails);
    const brief = await startService({ ...env, APPROVAL_TTL_SECONDS: "2" }, url, rails);
    return { name: rails.name, rails, app, db, other, brief };
  }),
);

type Turn = Stories & { story: Story; fields: Record<"confirm" | "decline", Record<string, string>> };

/** What the page that a person's answer leads to says of it, and the problem that this stands for. */
const BANNERS: [RegExp, string][] = [
  [/came after that, and nothing was charged/, "already_decided"],
  [/Nothing was confirmed: (?:.* pays? now|no card is on file)/, "statement_stale"],
  [/The payment is under way, so this can’t be declined/, "payment_in_progress"],
];

/** A status, and why it was rejected: from the envelope, or from what the page says. */
function said({ status, body, text }: Answer): string {
  const reason = body?.details?.reason ?? BANNERS.find(([banner]) => banner.test(text))?.[1];
  return reason === undefined ? String(status) : `${Math.max(status, 409)} ${reason}`;
}

const IN_PROGRESS = "409 payment_in_progress";
const DECIDED = "409 already_decided";
const CONFIRMED_FIRST = [
  `confirm 303, other ${IN_PROGRESS}: confirmed`,
  "confirm 303, other 409 milestone_not_fundable: confirmed",
];

/** While the money moves, and once it is held, the contract neither ends nor changes its payee. */
const HELD_FIRST = [
  `confirm 303, other ${IN_PROGRESS}: confirmed`,
  "confirm 303, other 409 milestone_funded: confirmed",
  `confirm ${DECIDED}, other 200: expired`,
];

type Race = {
  other: string;
  rival: (turn: Turn) => Promise<Answer>;
  /** Whether it is about more than one milestone. */
  wide?: true;
  ends: string[];
  /** At Stripe a card that is gone no longer pays, even for what was signed before. */
  endsAtStripe?: string[];
};

describe.for(worlds)("over the rails of $name", ({ rails, app, db, other, brief }) => {
  afterAll(async () => {
    expect(await findDisagreements(db, rails)).toEqual([]);
  });

  async function readForms(stories: Stories, story: Story): Promise<Turn> {
    const page = await open(app, story.path, stories.human);
    const fieldsOf = (decision: string) => {
      const form = `${story.path}/${decision}`;
      const names = ["nonce", "digest", "form_token"] as const;
      return Object.fromEntries(names.map((name) => [name, hiddenValue(page, form, name)]));
    };
    return { ...stories, story, fields: { confirm: fieldsOf("confirm"), decline: fieldsOf("decline") } };
  }

  /** So many approvals to race for, of one contract and card. */
  async function begin(count: number, card: CardKind = "pays"): Promise<Turn[]> {
    const stories = await createStories(app, rails.cards[card], count);
    return Promise.all(stories.stories.map((story) => readForms(stories, story)));
  }

  type BankAnswer = (at: App, answer: "pass" | "fail") => Promise<Answer>;

  /** What the person's windows at their bank do: each answers, and comes back. */
  async function openBank({ story, human }: Turn): Promise<BankAnswer> {
    const bank = bankIn((await open(app, story.path, human)).text);
    if (!bank.startsWith("http")) {
      const form_token = hiddenValue(await open(app, bank, human), bank);
      return (at, answer) => submit(at, bank, { answer, form_token }, human);
    }
    const intentId = new URL(bank).searchParams.get("payment_intent");
    const look = `${story.path}/look`;
    const back = await open(app, `${story.path}?payment_intent=${intentId}`, human);
    const form_token = hiddenValue(back, look);
    return async (at, answer) => {
      const body = new URLSearchParams({ answer: answer === "pass" ? "complete" : "fail" });
      await fetch(bank, { method: "POST", body, redirect: "manual" });
      return submit(at, look, { form_token }, human);
    };
  }

  /** The answer to the form, with the text of the page that it leads to. */
  async function decide(
    at: App,
    { story, fields, human }: Turn,
    decision: "confirm" | "decline",
  ): Promise<Answer> {
    const answer = await submit(at, `${story.path}/${decision}`, fields[decision], human);
    return { ...answer, text: (await landing(at, answer, human)).text };
  }

  const operator = (method: "POST" | "PUT" | "DELETE", { fixture }: Turn, path: string, body?: unknown) =>
    call(other, method, `/api/operator/v1/accounts/${fixture.account}${path}`, { token: OPERATOR_KEY, body });

  const cancel = (turn: Turn) => operator("POST", turn, `/milestones/${turn.story.milestone}/cancel`);
  const end = (turn: Turn) =>
    operator("PUT", turn, `/contracts/${turn.fixture.contract}`, { status: "ended" });
  const change = (turn: Turn) =>
    operator("PUT", turn, `/milestones/${turn.story.milestone}`, { amountUsd: 999 });
  const pay = (turn: Turn, payee: object) =>
    operator("PUT", turn, `/contracts/${turn.fixture.contract}`, { freelancer: { ...MARIA, ...payee } });
  const move = async (turn: Turn) => {
    const contract = `${turn.fixture.contract}-other`;
    const body = { title: "Other", jobId: "job-1", paymentType: "FIXED_PRICE", freelancer: MARIA };
    await operator("PUT", turn, `/contracts/${contract}`, body);
    return operator("PUT", turn, `/milestones/${turn.story.milestone}`, { contractId: contract });
  };
  const removeCard = async (turn: Turn) => {
    const { id } = await db
      .selectFrom("payment_methods")
      .where("account_id", "=", turn.story.accountId)
      .select("id")
      .executeTakeFirstOrThrow();
    return operator("DELETE", turn, `/payment-methods/${id}`);
  };

  /** Confirms at one instance while `rival` happens at the other, and tells both answers and the end. */
  async function race(turn: Turn, apart: number, rival: (turn: Turn) => Promise<Answer>): Promise<string> {
    const [confirmed, rivalled] = await Promise.all([
      delay(Math.max(0, apart)).then(() => decide(app, turn, "confirm")),
      delay(Math.max(0, -apart)).then(() => rival(turn)),
    ]);
    const { approval } = await readOutcome(db, turn.story);
    return `confirm ${said(confirmed)}, other ${said(rivalled)}: ${approval}`;
  }

  const RACES: Race[] = [
    {
      other: "another confirm",
      rival: (turn) => decide(other, turn, "confirm"),
      // A second click while the payment is under way: the page shows that it is.
      ends: ["303", DECIDED].flatMap((lost) => [
        `confirm 303, other ${lost}: confirmed`,
        `confirm ${lost}, other 303: confirmed`,
      ]),
    },
    {
      other: "a decline",
      rival: (turn) => decide(other, turn, "decline"),
      ends: [
        `confirm 303, other ${IN_PROGRESS}: confirmed`,
        `confirm 303, other ${DECIDED}: confirmed`,
        `confirm ${DECIDED}, other 303: declined`,
      ],
    },
    {
      other: "the operator's cancel",
      rival: cancel,
      ends: [...CONFIRMED_FIRST, `confirm ${DECIDED}, other 200: expired`],
    },
    {
      other: "the end of the contract",
      rival: end,
      wide: true,
      ends: HELD_FIRST,
    },
    {
      other: "another payee",
      rival: (turn) => pay(turn, { userId: "freelancer-2" }),
      wide: true,
      ends: HELD_FIRST,
    },
    {
      other: "another payout account",
      rival: (turn) => pay(turn, { payoutAccount: "acct_2" }),
      wide: true,
      // It may change when the milestone is funded, too.
      ends: [
        `confirm 303, other ${IN_PROGRESS}: confirmed`,
        "confirm 303, other 200: confirmed",
        `confirm ${DECIDED}, other 200: expired`,
      ],
    },
    {
      other: "a move to another contract",
      rival: move,
      wide: true,
      ends: [...CONFIRMED_FIRST, `confirm ${DECIDED}, other 200: expired`],
    },
    {
      other: "a change of terms",
      rival: change,
      ends: [...CONFIRMED_FIRST, `confirm ${DECIDED}, other 200: expired`],
    },
    {
      other: "the removal of the card",
      rival: removeCard,
      wide: true,
      ends: ["confirm 303, other 200: confirmed", "confirm 409 statement_stale, other 200: pending"],
      endsAtStripe: ["confirm 303, other 200: pending"],
    },
  ];

  describe("a confirmation against something else, at once, at two instances", () => {
    test.for(RACES)("and $other: one outcome, and the loser is told", { timeout: 60_000 }, async (one) => {
      const ends = [...one.ends, ...((rails.name === "stripe" && one.endsAtStripe) || [])];
      const turns = one.wide ? [] : await begin(APART.length);
      for (const apart of APART) {
        const turn = turns.pop() ?? ((await begin(1))[0] as Turn);
        expect(ends).toContain(await race(turn, apart, one.rival));
      }
      expect(await findDisagreements(db, rails)).toEqual([]);
    });

    test("and its expiry: confirmed or expired, never both, and a fund request sees which", async () => {
      const stories = await createStories(app, rails.cards.pays, 0);
      const { fixture } = stories;
      const milestones = APART.map((_, i) => `${fixture.milestone}-${i}`);
      await Promise.all(milestones.map((milestone) => createMilestone(app, fixture, milestone)));
      await Promise.all(
        milestones.map(async (milestone, i) => {
          const story = await ask(brief.app, fixture, milestone);
          const turn = await readForms(stories, story);
          const { expires_at } = await db
            .selectFrom("approvals")
            .where("id", "=", story.approvalId)
            .select("expires_at")
            .executeTakeFirstOrThrow();
          await delay(expires_at.getTime() - Date.now() + (APART[i] ?? 0));
          const [answer, again] = await Promise.all([
            decide(app, turn, "confirm"),
            fund(other, fixture.token, milestone),
            sweepExpiredApprovals(db),
          ]);
          await sweepExpiredApprovals(db);
          const { approval } = await readOutcome(db, story);
          expect(["303: confirmed", `${DECIDED}: expired`]).toContain(`${said(answer)}: ${approval}`);
          // The same one while it is open, none when it has paid, and another only when it has expired.
          if (again.status !== 202) expect(said(again)).toBe("409 milestone_not_fundable");
          else if (again.body.approval.id !== story.approvalId) expect(approval).toBe("expired");
        }),
      );
      expect(await findDisagreements(db, rails)).toEqual([]);
    });

    test("and a bank that hears pass, fail and give up at once: one outcome, and money only with it", async () => {
      for (const turn of await begin(APART.length, "authenticates")) {
        await decide(app, turn, "confirm");
        const page = await open(app, turn.story.path, turn.human);
        const answer = await openBank(turn);
        const giveUp = `${turn.story.path}/cancel-payment`;
        await Promise.all([
          answer(app, "fail"),
          answer(other, "pass"),
          submit(app, giveUp, { form_token: hiddenValue(page, giveUp) }, turn.human),
        ]);
      }
      expect(await findDisagreements(db, rails)).toEqual([]);
    });
  });
});
