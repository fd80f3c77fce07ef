import { createTransport } from "nodemailer";
import type { Logger } from "pino";
import { mailPage } from "./markup.ts";
import type { ClaimedMail } from "./store.ts";

const CONNECT_TIMEOUT = 10_000;
const SOCKET_TIMEOUT = 20_000;

/** Where mail goes. `send` throws when it did not go. */
export type MailTransport = {
  send(mail: ClaimedMail): Promise<void>;
  /** Whether the database keeps what was sent, because it is the mailbox. */
  keepsBodies: boolean;
};

type Options = {
  smtpUrl: string | undefined;
  /** Whether mail goes by TLS or not at all. */
  smtpRequireTls: boolean;
  mailFrom: string;
  appName: string;
  publicUrl: string;
  demo: boolean;
};

/**
 * Through SMTP where there is an address for it; else, in the demo, into the mailbox page; else only a line in
 * the log, without the body: links in it are secrets. `reset-link` prints one for an operator without mail.
 */
export function createMailTransport(options: Options, logger: Logger): MailTransport {
  if (options.smtpUrl !== undefined) return createSmtpTransport(options.smtpUrl, options);
  if (options.demo) return { send: async () => {}, keepsBodies: true };
  return {
    send: async ({ recipient, subject }) =>
      logger.warn({ recipient, subject }, "no SMTP_URL: this mail went nowhere"),
    keepsBodies: false,
  };
}

function createSmtpTransport(url: string, options: Options): MailTransport {
  const { smtpRequireTls, mailFrom, appName, publicUrl } = options;
  const address = new URL(url);
  // Into the address, as what stands there goes before any other option.
  if (smtpRequireTls) address.searchParams.set("requireTLS", "true");
  const smtp = createTransport(
    {
      url: address.href,
      connectionTimeout: CONNECT_TIMEOUT,
      greetingTimeout: CONNECT_TIMEOUT,
      socketTimeout: SOCKET_TIMEOUT,
      disableFileAccess: true,
      disableUrlAccess: true,
    },
    { from: mailFrom },
  );
  const host = new URL(publicUrl).hostname;
  return {
    send: async ({ id, recipient, subject, body }) => {
      await smtp.sendMail({
        to: recipient,
        subject,
        text: `${body}\n`,
        html: mailPage(subject, body.split("\n\n"), { appName, publicUrl }).toString(),
        messageId: `<${id}@${host}>`,
        headers: { "Auto-Submitted": "auto-generated" },
      });
    },
    keepsBodies: false,
  };
}
