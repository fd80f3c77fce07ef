export { deleteLapsedChallenges as forgetChallenges } from "./passkey-store.ts";
