import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import type { Account } from "./data.ts";
import { type Target, waitRequest } from "./requests.ts";

/** Connections that are made at a time: a server takes 511 that it has not looked at. */
const AT_A_TIME = 200;

/** A caller who waits for events, and asks again when it is answered. */
type Holder = { account: Account; socket: Socket };

/** Callers who wait; what they are given is told to `onEvent`. */
export class Holders {
  readonly #target: Target;
  readonly #holders: Holder[] = [];
  /** Pages with and without events, and what was neither. */
  readonly answers = { news: 0, empty: 0, refused: 0 };
  firstRefusal: string | undefined;
  onEvent: (account: Account) => void = () => {};

  constructor(target: Target) {
    this.#target = target;
  }

  /** Connects so many callers for each account, and leaves them waiting. */
  async open(accounts: readonly Account[], each: number): Promise<void> {
    const wanted = accounts.flatMap((account) => Array.from({ length: each }, () => account));
    for (let i = 0; i < wanted.length; i += AT_A_TIME)
      await Promise.all(wanted.slice(i, i + AT_A_TIME).map((account) => this.#connect(account)));
  }

  close(): void {
    for (const { socket } of this.#holders) socket.destroy();
  }

  async #connect(account: Account): Promise<void> {
    const socket = createConnection({ port: this.#target.port, host: "127.0.0.1", noDelay: true });
    this.#holders.push({ account, socket });
    socket.setEncoding("latin1");
    let received = "";
    socket.on("data", (chunk: string) => {
      received += chunk;
      const body = received.indexOf("\r\n\r\n") + 4;
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(received)?.[1] ?? Number.NaN);
      if (body < 4 || received.length < body + length) return;
      const answer = received;
      received = "";
      socket.write(waitRequest(this.#target, account, this.#note(account, answer)));
    });
    // Those that are cut are missed in the counts.
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write(waitRequest(this.#target, account, "0"));
  }

  /** @returns the cursor to go on from */
  #note(account: Account, answer: string): string {
    const cursor = /"nextCursor":"(\d+)"/.exec(answer)?.[1];
    if (cursor === undefined) {
      this.answers.refused += 1;
      this.firstRefusal ??= answer;
      return "0";
    }
    if (answer.includes('"events":[]')) this.answers.empty += 1;
    else {
      this.answers.news += 1;
      this.onEvent(account);
    }
    return cursor;
  }
}
