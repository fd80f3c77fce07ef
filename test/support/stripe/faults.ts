/** What goes wrong with a request. */
export type FaultKind =
  /** 429: too many requests. Nothing is done, nothing kept. */
  | "rate_limit"
  /** 429: another request holds the object. */
  | "lock_timeout"
  /** 401 */
  | "unauthorized"
  /** 500, kept under the key like any answer: a repeat gets it again. */
  | "error"
  /** 503 from something in between: not kept. */
  | "unavailable"
  /** The connection is cut. */
  | "reset"
  /** No answer ever comes. */
  | "timeout"
  /** A 4xx whose JSON has no `error`: the SDK takes it for a success. */
  | "no_error_key"
  /** What is not JSON, with status 200. */
  | "garbled"
  /** JSON that is nothing which was asked for, with status 200. */
  | "nonsense"
  /** JSON that is no object at all, with status 200. */
  | "nothing"
  /** The object that was asked for, all but empty, with status 200. */
  | "hollow"
  /** Waits until it is released, then continues. */
  | "hold"
  /** Takes three seconds, then goes on as ever. */
  | "delay"
  /** The bank lets one wait: what would succeed is left `processing`. */
  | "processing";

export type Fault = {
  /** The endpoint, as in `POST /v1/payment_intents/:id/confirm`; `*` for any. */
  on: string;
  does: FaultKind;
  /** Before the request has had its effect, or after it. */
  when?: "before" | "after";
  /** Only requests in whose address, fields or object this text stands: an id, a value of metadata. */
  about?: string;
  /** How many requests it strikes; 1 if it is not said. */
  times?: number;
};

/** A fault that waits for its requests. */
export type Planned = {
  /** How many requests it has struck so far. */
  struck(): number;
  /** Resolves when it has struck for the first time. */
  reached: Promise<void>;
  /** Releases what it holds, and removes it. */
  lift(): void;
};

type Waiting = Required<Pick<Fault, "on" | "does" | "when">> & {
  about: string | undefined;
  left: number;
  struck: number;
  reach: () => void;
  lifted: Promise<void>;
};

/** The faults that are still to come. */
export class Faults {
  readonly #waiting = new Set<Waiting>();

  plan({ on, does, when = "before", about, times = 1 }: Fault): Planned {
    const reached = Promise.withResolvers<void>();
    const lifted = Promise.withResolvers<void>();
    const waiting: Waiting = {
      ...{ on, does, when, about, left: times, struck: 0 },
      reach: reached.resolve,
      lifted: lifted.promise,
    };
    this.#waiting.add(waiting);
    return {
      struck: () => waiting.struck,
      reached: reached.promise,
      lift: () => {
        this.#waiting.delete(waiting);
        lifted.resolve();
      },
    };
  }

  /** Those that are still to come, to be planned elsewhere too. */
  toCome(): Fault[] {
    return [...this.#waiting].map(({ on, does, when, about, left }) => ({
      ...{ on, does, when, times: left },
      ...(about !== undefined && { about }),
    }));
  }

  /** The fault that strikes this request, if one does: the one that was planned first. */
  strike(endpoint: string, mentions: (text: string) => boolean): Omit<Waiting, "left"> | undefined {
    for (const waiting of this.#waiting) {
      const { on, about } = waiting;
      if ((on !== endpoint && on !== "*") || (about !== undefined && !mentions(about))) continue;
      waiting.left -= 1;
      waiting.struck += 1;
      waiting.reach();
      if (waiting.left === 0) this.#waiting.delete(waiting);
      return waiting;
    }
    return undefined;
  }
}
