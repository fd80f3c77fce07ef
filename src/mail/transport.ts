import { createTransport } from "nodemailer";
import type { Logger } from "pino";
import { mailPage } from "./markup.ts";
import type { ClaimedMail } from "./store.ts";

const CONNECT_TIMEOUT = 10_000;
const SOCKET_TIMEOUT = 20_000;

/** Sends mail. `send` throws if it fails. */
export type MailTransport = {
  send(mail: ClaimedMail): Promise<void>;
  /** Whether the database keeps the bodies of sent mails, for the demo's mailbox. */
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
 * SMTP if it is configured; else, in the demo, the mailbox page; else a line in the log, without the body, as its links are
 * secrets. An operator without mail uses `reset-link`.
 */
export function createMailTransport(options: Options, logger: Logger): MailTransport {
  if (options.smtpUrl !== undefined) return createSmtpTransport(options.smtpUrl, options);
  if (options.demo) return { send: async () => {}, keepsBodies: true };
  return {
    send: async ({ recipient, subject }) =>
      logger.warn({ recipient, subject }, "this mail was not sent: set SMTP_URL to send mail"),
    keepsBodies: false,
  };
}

function createSmtpTransport(url: string, options: Options): MailTransport {
  const { smtpRequireTls, mailFrom, appName, publicUrl } = options;
  const address = new URL(url);
  // Part of the URL, as its parameters override other options.
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
