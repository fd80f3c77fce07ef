import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { sql } from "kysely";
import { pino } from "pino";
import { afterAll, describe, expect, test } from "vitest";
import { createLogger } from "../../src/app/logger.ts";
import { connect } from "../../src/database/connection.ts";
import { inTransaction } from "../../src/database/transaction.ts";
import { newId } from "../../src/lib/ids.ts";
import { forgetOldMails, sendDueMails } from "../../src/mail/jobs.ts";
import { line, own } from "../../src/mail/line.ts";
import { listMailbox, queueMail } from "../../src/mail/service.ts";
import type { ClaimedMail } from "../../src/mail/store.ts";
import { createMailTransport } from "../../src/mail/transport.ts";
import { cloneDatabase } from "../support/clones.ts";
import { waitUntil } from "../support/process.ts";

const { db, close } = connect(await cloneDatabase(), {
  size: 10,
  onIdleError: () => {},
});
afterAll(close);
const logger = createLogger("silent");
const OPTIONS = {
  mailFrom: "Pay <pay@example.com>",
  appName: "Pay & Co",
  publicUrl: "https://pay.example.com",
  smtpRequireTls: false,
};

let people = 0;

async function queue(
  paragraphs = ["Hello", "https://pay.example.com/reset/new?token=t"],
  kind: { routine?: true } = {},
): Promise<string> {
  people += 1;
  const to = `person-${people}@example.com`;
  const mail = { to, subject: line`News`, paragraphs: paragraphs.map(own), ...kind };
  await inTransaction(db, (trx) => queueMail(trx, mail, new Date()));
  return to;
}

const rowOf = (recipient: string) =>
  db.selectFrom("mails").where("recipient", "=", recipient).selectAll().executeTakeFirstOrThrow();

function recorder(fail: (mail: ClaimedMail) => boolean = () => false) {
  const sent: string[] = [];
  const send = async (mail: ClaimedMail) => {
    if (fail(mail)) throw new Error("451 not now");
    sent.push(mail.recipient);
  };
  return { sent, transport: { send, keepsBodies: false } };
}

describe("mail", () => {
  test("of a change that is rolled back is never sent", async () => {
    const { sent, transport } = recorder();
    const undone = inTransaction(db, async (trx) => {
      await queueMail(trx, { to: "nobody@example.com", subject: line`No`, paragraphs: [] }, new Date());
      throw new Error("undone");
    });
    await expect(undone).rejects.toThrow("undone");
    await sendDueMails({ db, logger }, transport);
    expect(sent).not.toContain("nobody@example.com");
  });

  test("goes out once, however many processes send at once, and its body leaves the database", async () => {
    const mails = await Promise.all(Array.from({ length: 12 }, () => queue()));
    const { sent, transport } = recorder();
    await Promise.all(Array.from({ length: 5 }, () => sendDueMails({ db, logger }, transport)));
    expect(sent.filter((to) => mails.includes(to)).sort()).toEqual(mails.toSorted());
    expect(await rowOf(mails[0] ?? "")).toMatchObject({ body: null, attempts: 1, failed_at: null });
  });

  test("that does not go out is tried again later, and holds no other up", async () => {
    const bad = await queue();
    const good = await queue();
    const first = recorder(({ recipient }) => recipient === bad);
    await sendDueMails({ db, logger }, first.transport);
    expect(first.sent).toEqual([good]);
    const second = recorder();
    await sendDueMails({ db, logger }, second.transport);
    expect(second.sent).toEqual([]);
    await sql`update mails set due_at = now() where recipient = ${bad}`.execute(db);
    await sendDueMails({ db, logger }, second.transport);
    expect(second.sent).toEqual([bad]);
    expect((await rowOf(bad)).attempts).toBe(2);
  });

  test("of a process that died is sent when its lease has expired", async () => {
    const to = await queue();
    await sql`update mails set leased_until = now() + interval '1 minute' where recipient = ${to}`.execute(
      db,
    );
    const { sent, transport } = recorder();
    await sendDueMails({ db, logger }, transport);
    expect(sent).toEqual([]);
    await sql`update mails set leased_until = now() - interval '1 second' where recipient = ${to}`.execute(
      db,
    );
    await sendDueMails({ db, logger }, transport);
    expect(sent).toEqual([to]);
  });

  test("that is useless by now is given up, and its body is deleted", async () => {
    const to = await queue();
    await sql`update mails set give_up_at = now() + interval '10 seconds' where recipient = ${to}`.execute(
      db,
    );
    await sendDueMails({ db, logger }, recorder(() => true).transport);
    const row = await rowOf(to);
    expect(row.failed_at).not.toBeNull();
    expect(row.body).toBeNull();
  });
});

describe("mail about security and money", () => {
  test("goes before all that is routine, however long that has been due", async () => {
    const routine = await Promise.all(
      Array.from({ length: 30 }, () => queue(["A claim"], { routine: true })),
    );
    const urgent = await queue(["A key was created"]);
    const { sent, transport } = recorder();
    await sendDueMails({ db, logger }, transport);
    expect(sent.filter((to) => routine.includes(to))).toHaveLength(30);
    expect(sent.indexOf(urgent)).toBeLessThan(4);
  });

  test("goes out though servers that take no answer hold up all the places of other mail", async () => {
    for (let i = 0; i < 8; i++) await queue(["A claim"], { routine: true });
    const held = Promise.withResolvers<void>();
    let onTheWay = 0;
    const slow = async () => {
      onTheWay += 1;
      await held.promise;
    };
    const routine = sendDueMails({ db, logger }, { send: slow, keepsBodies: false });
    await waitUntil(() => onTheWay === 4, "four mails are on their way at once");
    const urgent = await queue(["Money moved"]);
    const { sent, transport } = recorder();
    await sendDueMails({ db, logger }, transport, "urgent");
    expect(sent).toEqual([urgent]);
    held.resolve();
    expect(await routine).toBe(8);
  });
});

test("mail is forgotten 7 days after it went out or was given up, and never while it waits", async () => {
  const ids = ["sent", "failed", "waiting", "sent lately"].map((subject) => ({ subject, id: newId() }));
  for (const { id, subject } of ids)
    await sql`
      insert into mails (urgent, id, recipient, subject, body, created_at, due_at, give_up_at, sent_at, failed_at)
      values (true, ${id}, 'somebody@example.com', ${subject}, 'Hello', now() - interval '8 days', now(), now(),
        case when ${subject} = 'sent' then now() - interval '7 days 1 minute'
          when ${subject} = 'sent lately' then now() - interval '6 days 23 hours' end,
        case when ${subject} = 'failed' then now() - interval '7 days 1 minute' end)`.execute(db);
  expect(await forgetOldMails(db)).toBe(2);
  const left = await db
    .selectFrom("mails")
    .where("recipient", "=", "somebody@example.com")
    .select("subject")
    .execute();
  expect(left.map(({ subject }) => subject).sort()).toEqual(["sent lately", "waiting"]);
  await sql`delete from mails where recipient = 'somebody@example.com'`.execute(db);
});

describe("where it goes", () => {
  test("with SMTP_URL: there, as text and inert HTML, under an id that a second sending repeats", async () => {
    const server = await startSmtp();
    const to = await queue(["Hello <b>you</b>,", "https://pay.example.com/reset/new?token=t"]);
    const { id } = await rowOf(to);
    const smtpUrl = `smtp://127.0.0.1:${server.port}`;
    await sendDueMails({ db, logger }, createMailTransport({ ...OPTIONS, smtpUrl, demo: false }, logger));
    server.close();
    expect(server.received).toHaveLength(1);
    const [message = ""] = server.received;
    expect(message).toContain(`To: ${to}`);
    expect(message).toContain("From: Pay <pay@example.com>");
    expect(message).toContain(`Message-ID: <${id}@pay.example.com>`);
    const plain = message.replaceAll("=\r\n", "").replaceAll("=3D", "=");
    expect(plain).toContain("&lt;b&gt;you&lt;/b&gt;");
    expect(plain).toContain('href="https://pay.example.com/reset/new?token=t"');
    expect(plain).toContain("text/plain");
  });

  test("by TLS or not at all, where it is required, whatever the address adds; else in plain", async () => {
    for (const query of ["", "?requireTLS=false&ignoreTLS=true"]) {
      const server = await startSmtp();
      const to = await queue();
      const options = { ...OPTIONS, smtpUrl: `smtp://127.0.0.1:${server.port}/${query}`, demo: false };
      await sendDueMails({ db, logger }, createMailTransport({ ...options, smtpRequireTls: true }, logger));
      expect(server.received).toEqual([]);
      expect(await rowOf(to)).toMatchObject({ attempts: 1, sent_at: null });
      await sql`update mails set due_at = now() where recipient = ${to}`.execute(db);
      await sendDueMails({ db, logger }, createMailTransport(options, logger));
      expect(server.received).toHaveLength(1);
      server.close();
    }
  });

  test("without: a line in the log, and never the body, whose links are secrets", async () => {
    const lines: string[] = [];
    const log = pino({ base: null }, { write: (line: string) => void lines.push(line) });
    const to = await queue(["https://pay.example.com/reset/new?token=secret-token"]);
    await sendDueMails(
      { db, logger },
      createMailTransport({ ...OPTIONS, smtpUrl: undefined, demo: false }, log),
    );
    expect(lines.join("")).toContain(to);
    expect(lines.join("")).not.toContain("secret-token");
  });

  test("in the demo: into the mailbox, which keeps it", async () => {
    const to = await queue(["Hello", "World"]);
    await sendDueMails(
      { db, logger },
      createMailTransport({ ...OPTIONS, smtpUrl: undefined, demo: true }, logger),
    );
    expect(await listMailbox(db)).toContainEqual(
      expect.objectContaining({ to, subject: "News", paragraphs: ["Hello", "World"] }),
    );
  });
});

/** An SMTP server that takes everything. */
async function startSmtp() {
  const received: string[] = [];
  const server = createServer((socket) => {
    let data: string | undefined;
    socket.setEncoding("utf8").write("220 test\r\n");
    socket.on("data", (chunk: string) => {
      if (data !== undefined) {
        data += chunk;
        if (!data.endsWith("\r\n.\r\n")) return;
        received.push(data);
        data = undefined;
        socket.write("250 taken\r\n");
      } else if (/^data/i.test(chunk)) {
        data = "";
        socket.write("354 go on\r\n");
      } else if (/^quit/i.test(chunk)) socket.end("221 bye\r\n");
      else socket.write("250 ok\r\n");
    });
    socket.on("error", () => {});
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, received, close: () => server.close() };
}
