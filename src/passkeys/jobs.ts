export { deleteExpiredChallenges as forgetChallenges } from "./store.ts";
