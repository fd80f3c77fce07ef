import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import PostalMime from "postal-mime";
import { SMTPServer } from "smtp-server";
import { closeAfterFile } from "../support/closing.ts";
import { waitUntil } from "../support/process.ts";

/** A mail server of the world outside, where people read what was sent to them. */
export type PostOffice = {
  /** For SMTP_URL. */
  url: string;
  /** The link of the newest mail to that person whose subject is like that; waits for it. */
  readLink(to: string, subject: RegExp): Promise<string>;
};

type Letter = { to: string; subject: string; text: string };

/** Listens until the file's tests are over. */
export async function openPostOffice(): Promise<PostOffice> {
  const letters: Letter[] = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS"],
    onData: (stream, { envelope }, done) => {
      PostalMime.parse(Readable.toWeb(stream) as ReadableStream).then(({ subject = "", text = "" }) => {
        for (const { address } of envelope.rcptTo) letters.push({ to: address, subject, text });
        done();
      }, done);
    },
  });
  const listening = server.listen(0, "127.0.0.1");
  await once(listening, "listening");
  closeAfterFile(() => new Promise<void>((resolve) => server.close(resolve)));
  const { port } = listening.address() as AddressInfo;
  return {
    url: `smtp://127.0.0.1:${port}`,
    async readLink(to, subject) {
      const find = () => letters.findLast((letter) => letter.to === to && subject.test(letter.subject));
      await waitUntil(() => find() !== undefined, `${to} has mail like ${subject}`);
      const link = /https?:\/\/\S+/.exec(find()?.text ?? "")?.[0];
      if (link === undefined) throw new Error(`no link in the mail to ${to}`);
      return link;
    },
  };
}
