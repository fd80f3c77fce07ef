import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { SECRETS } from "../../src/config/environment.ts";
import { openMetrics } from "../../src/monitoring/gauges-service.ts";
import { startService } from "../support/service.ts";

const PROJECT = join(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(PROJECT, path), "utf8");
const runbook = read("docs/operations.md");
const rules = read("deploy/prometheus/alerts.yml");
const alerts = [...rules.matchAll(/^ {6}- alert: (\w+)$/gm)].map(([, name = ""]) => name);

describe("the alerts", () => {
  test("have a paragraph each in the runbook, and the runbook has no other", () => {
    expect(alerts.length).toBeGreaterThan(10);
    const paragraphs = [...runbook.matchAll(/^### (Countersign\w+)$/gm)].map(([, name]) => name);
    expect(paragraphs).toEqual(alerts);
  });

  test("lead to their paragraph, and each is tried by promtool's tests", () => {
    const tried = read("deploy/prometheus/alerts.test.yml");
    for (const alert of alerts) {
      expect(rules).toContain(`runbook: docs/operations.md#${alert.toLowerCase()}\n`);
      expect(tried, alert).toContain(alert);
    }
  });

  test("and the dashboard name only metrics that a process shows", async () => {
    const { db } = await startService();
    const shown = await openMetrics(db)();
    const known = new Set([...shown.matchAll(/^# TYPE (\w+) (\w+)/gm)].map(([, name]) => name));
    const sources = `${rules}${read("deploy/grafana/countersign.json")}`;
    const named = new Set(sources.match(/countersign_[a-z_]+/g));
    expect(named.size).toBeGreaterThan(15);
    // A pool is measured once a process has started.
    known.add("countersign_database_pool_connections");
    const missing = [...named].filter((name) => !known.has(name.replace(/_(bucket|sum|count)$/, "")));
    expect(missing).toEqual([]);
  });

  test("pass promtool's check and its tests, where there is one", async ({ skip }) => {
    const promtool = promisify(execFile);
    const cwd = join(PROJECT, "deploy/prometheus");
    const found = await promtool("promtool", ["--version"]).then(
      () => true,
      () => false,
    );
    if (!found) skip("there is no promtool");
    for (const args of [
      ["check", "config", "prometheus.yml"],
      ["check", "rules", "alerts.yml"],
      ["test", "rules", "alerts.test.yml"],
    ])
      await promtool("promtool", args, { cwd });
  });
});

test("the runbook's metrics are those that a process shows", async () => {
  const { db } = await startService();
  const shown = await openMetrics(db)();
  const names = [...shown.matchAll(/^# TYPE (countersign_\w+) /gm)].map(([, name = ""]) => name);
  const section = runbook.slice(runbook.indexOf("## Metrics"), runbook.indexOf("## Logs"));
  const told = (name: string) =>
    section.includes(name) ||
    section.includes(`…_${name.replace("countersign_", "")}`) ||
    (name.startsWith("countersign_sweep_") && section.includes("countersign_sweep_*"));
  expect(names.filter((name) => !told(name))).toEqual([]);
});

test("the manifests read secrets by names that the service knows", () => {
  const units = read("deploy/systemd/countersign@.service");
  const names = [...units.matchAll(/^Environment=(\w+)_FILE=/gm)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(3);
  expect(names.filter((name) => !SECRETS.includes(name ?? ""))).toEqual([]);
});
