/**
 * Describes who created an API key, in words that end with the name if there is one: `created by ` and `Hanna`. The words
 * mark a name that an agent chose for itself, as it could imitate any name (docs/contract.md §7).
 * @param asker.name the name of the person who created the root of the key
 */
export function askerWords(asker: {
  kind: "operator" | "person" | "agent" | "member";
  name: string | null;
  namedItself: boolean;
}): { words: string; name: string | null } {
  const { kind, name, namedItself } = asker;
  if (kind === "member") return { words: "a member, on the contract’s page", name: null };
  if (kind === "agent") return { words: "named itself; an agent that registered by itself", name: null };
  const who = kind === "operator" ? "the operator" : "";
  const words = namedItself ? "named itself; its API key descends from one created by" : "API key created by";
  return { words: `${words} ${who}`, name };
}
