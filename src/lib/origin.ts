/** Where a request came from, as audit entries name it. Both are `null` for commands and sweeps. */
export type Origin = { address: string | null; requestId: string | null };

/** The origin of a request, which always has both. */
export type RequestOrigin = { address: string; requestId: string };

/** The origin of what the service does by itself, and of commands on its own machine. */
export const NO_ORIGIN: Origin = { address: null, requestId: null };
