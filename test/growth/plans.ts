import pg from "pg";
import type { Connection } from "../../src/database/connection.ts";
import { asAdmin } from "../support/clones.ts";

/** What Postgres did for a statement, or for one that a trigger or a foreign key sent. */
export type Work = {
  scene: string;
  text: string;
  /** Rows that were read from tables and indexes, those that a condition then dropped too. */
  rows: number;
  /** Pages of 8 KiB that were touched. */
  buffers: number;
  /** How often a tree was gone down: it may have another level, which costs a page each. */
  descents: number;
  /** The plan's nodes and their indexes, outermost first. */
  shape: string;
};

type Node = {
  "Node Type": string;
  "Index Name"?: string;
  "Relation Name"?: string;
  "Actual Rows"?: number;
  "Actual Loops"?: number;
  "Index Searches"?: number;
  "Rows Removed by Filter"?: number;
  "Rows Removed by Index Recheck"?: number;
  "Shared Hit Blocks"?: number;
  "Shared Read Blocks"?: number;
  Plans?: Node[];
};

/** Every connection to the database from now on explains each statement that it runs, with what it did, in a notice. */
export async function explainEverything(url: string, settings: Record<string, string> = {}): Promise<void> {
  const client = new pg.Client({ connectionString: asAdmin(url) });
  await client.connect();
  const name = new URL(url).pathname.slice(1);
  const all = {
    session_preload_libraries: "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
    jit: "off",
    max_parallel_workers_per_gather: "0",
    ...settings,
  };
  try {
    await client.query("load 'auto_explain'");
    for (const [setting, value] of Object.entries(all))
      await client.query(`alter database ${name} set ${setting} = '${value}'`);
  } finally {
    await client.end();
  }
}

/** Collects what the connections of a service do. Called before its first statement. */
export class Recorder {
  readonly works: Work[] = [];
  #scene = "";

  constructor({ pool }: Connection) {
    pool.on("connect", (client) => client.on("notice", (notice) => this.#note(notice.message ?? "")));
  }

  async during<T>(scene: string, work: () => Promise<T>): Promise<T> {
    this.#scene = scene;
    try {
      return await work();
    } finally {
      this.#scene = "";
    }
  }

  #note(message: string): void {
    const start = message.indexOf("plan:\n");
    if (start < 0 || this.#scene === "") return;
    const explained = JSON.parse(message.slice(start + 6)) as { "Query Text": string; Plan: Node };
    const root = explained.Plan;
    const work: Work = {
      scene: this.#scene,
      text: explained["Query Text"].replace(/\s+/g, " ").trim(),
      rows: 0,
      buffers: (root["Shared Hit Blocks"] ?? 0) + (root["Shared Read Blocks"] ?? 0),
      descents: 0,
      shape: "",
    };
    addNode(work, root);
    this.works.push(work);
  }
}

function addNode(work: Work, node: Node): void {
  const { "Actual Loops": loops = 0, "Node Type": type } = node;
  if (type.endsWith("Scan") && node["Relation Name"] !== undefined && type !== "Bitmap Index Scan") {
    const dropped = (node["Rows Removed by Filter"] ?? 0) + (node["Rows Removed by Index Recheck"] ?? 0);
    work.rows += ((node["Actual Rows"] ?? 0) + dropped) * loops;
  }
  if (type === "Bitmap Index Scan") work.rows += (node["Actual Rows"] ?? 0) * loops;
  if (type.includes("Index")) work.descents += Math.max(node["Index Searches"] ?? 0, loops);
  const of = node["Index Name"] ?? node["Relation Name"];
  work.shape += `${work.shape === "" ? "" : " > "}${type}${of === undefined ? "" : ` ${of}`}`;
  for (const child of node.Plans ?? []) addNode(work, child);
}

/** The most that each statement did in each scene. */
export function mostOf(works: readonly Work[]): Map<string, Work> {
  const most = new Map<string, Work>();
  for (const work of works) {
    const key = `${work.scene}: ${work.text}`;
    const before = most.get(key);
    if (before === undefined || work.buffers + work.rows > before.buffers + before.rows) most.set(key, work);
  }
  return most;
}
