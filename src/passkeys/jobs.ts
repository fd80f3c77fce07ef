export { deleteLapsedChallenges as forgetChallenges } from "./store.ts";
