import pg from "pg";
import { createDatabase, databaseUrl, run } from "./clones.ts";

type Node = { coordinator: boolean; host: string; port: number; url: string };

/**
 * Makes an empty database on every node of a cluster, and tells its coordinator of the others.
 * @param adminUrl a superuser's database on the coordinator, in which the cluster is set up
 * @returns where each node is, the coordinator first
 */
export async function createClusterDatabase(adminUrl: string, name: string): Promise<string[]> {
  const nodes = await listNodes(adminUrl);
  const urls = nodes.map(({ url }) => url);
  await createDatabase(urls, name);
  for (const url of urls) await run(databaseUrl(url, name), "create extension citus");
  for (const { coordinator, host, port } of nodes) {
    const join = coordinator ? "citus_set_coordinator_host" : "citus_add_node";
    await run(databaseUrl(adminUrl, name), `select ${join}('${host}', ${port})`);
  }
  return urls;
}

async function listNodes(adminUrl: string): Promise<Node[]> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const { rows } = await client.query<Omit<Node, "url">>(
      `select groupid = 0 as coordinator, nodename as host, nodeport as port from pg_dist_node
       where noderole = 'primary' and isactive order by groupid`,
    );
    return rows.map((node) => {
      const url = new URL(adminUrl);
      if (!node.coordinator) {
        url.hostname = node.host;
        url.port = String(node.port);
      }
      return { ...node, url: url.href };
    });
  } finally {
    await client.end();
  }
}
