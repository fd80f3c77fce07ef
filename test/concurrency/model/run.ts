import { randomBytes } from "node:crypto";
import type { Db } from "../../../src/database/connection.ts";
import type { Event } from "../../../src/events/schemas.ts";
import type { App } from "../../../src/http/app.ts";
import { type Answer, call } from "../../support/fixtures.ts";
import { OPERATOR_KEY } from "../../support/service.ts";
import type { World } from "../world.ts";
import { Clock, type Interval, Register, type Sight } from "./history.ts";

/** How long an approval of the second service waits for its human, in milliseconds. */
export const SHORT_LIFE = 40;

/** Two services on one database, and how many fund requests lost three races and were put off with a 503. */
export type Services = {
  apps: readonly [App, App];
  db: Db;
  funds: { asked: number; outrun: number };
};

/** One account, what was done to it, and what its clients know. Shared by them all. */
export class Run {
  readonly services: Services;
  readonly world: World;
  readonly clock = new Clock();
  readonly ended: Map<string, Register<boolean>>;
  readonly cancelled: Map<string, Register<boolean>>;
  readonly feature = new Register(true);
  readonly cards: { id: string; onFile: Register<boolean> }[];
  readonly tokens: { id: string; value: string; revoked: Register<boolean> }[];
  readonly sights: Sight[] = [];
  readonly expiring: { expiresAt: string }[] = [];
  readonly history: string[] = [];
  /** Its own, as many 401 from one address are refused unseen for a while. */
  readonly #address = `fd00:${randomBytes(6)
    .toString("hex")
    .replace(/(.{4})(.{4})(.{4})/, "$1:$2:$3")}::1`;
  #made = 0;

  constructor(services: Services, world: World) {
    this.services = services;
    this.world = world;
    this.ended = new Map(world.milestones.map(({ contract }) => [contract, new Register(false)]));
    this.cancelled = new Map(world.milestones.map(({ id }) => [id, new Register(false)]));
    this.cards = [{ id: world.card, onFile: new Register(true) }];
    this.tokens = [{ id: world.tokenId, value: world.token, revoked: new Register(false) }];
  }

  /** A number that no command of this run has used. */
  next(): number {
    this.#made += 1;
    return this.#made;
  }

  /** Sends a request and notes when, and what was answered. */
  async send(
    app: 0 | 1,
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    options: { token: string; body?: unknown },
  ) {
    const start = this.clock.tick();
    const headers = { "x-forwarded-for": this.#address };
    const answer = await call(this.services.apps[app], method, path, { ...options, headers });
    const during = { start, end: this.clock.tick() };
    const said = answer.body?.approval?.id ?? answer.body?.details?.reason ?? "";
    this.history.push(`${during.start}–${during.end} ${method} ${path} ${answer.status} ${said}`);
    return { answer, during };
  }

  operate(app: 0 | 1, method: "POST" | "PUT" | "DELETE", path: string, body?: unknown) {
    const url = `/api/operator/v1/accounts/${this.world.account}${path}`;
    return this.send(app, method, url, { token: OPERATOR_KEY, body });
  }

  /** Sets a register through the operator's API; a refusal of one of `refusals` takes it back. */
  async set<T>(
    register: Register<T>,
    value: T,
    work: () => Promise<{ answer: Answer; during: Interval }>,
  ): Promise<Answer> {
    const write = register.write(value, this.clock.tick());
    const { answer } = await work();
    if (answer.status < 300) write.end = this.clock.tick();
    else register.undo(write);
    return answer;
  }
}

/** A client follows the feed with a cursor of its own. */
export type Client = { cursor: string; events: Event[] };
