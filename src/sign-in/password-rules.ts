import { ZxcvbnFactory } from "@zxcvbn-ts/core";
import { adjacencyGraphs, dictionary } from "@zxcvbn-ts/language-common";

export const PASSWORD_AT_LEAST = 12;
export const PASSWORD_AT_MOST = 128;
/** The least zxcvbn score, of 0 to 4. At 3, a guesser who knows the word lists needs more than 10^8 guesses. */
const SCORE_AT_LEAST = 3;
/** Minimum characters that are not from the person's name, email or the app's name. */
const OTHERS_AT_LEAST = 8;

const estimator = new ZxcvbnFactory({ dictionary, graphs: adjacencyGraphs });

/** Whose password it is, and where: a guesser tries these words first. */
type About = { name: string; email: string; appName: string };

/** What is wrong with a new password, as a text for the person; `undefined`: nothing. */
export function passwordFault(password: string, about: About): string | undefined {
  const { length } = password;
  if (length < PASSWORD_AT_LEAST) {
    return `Use at least ${PASSWORD_AT_LEAST} characters. Three or four unrelated words work well.`;
  }
  if (length > PASSWORD_AT_MOST) return `Use at most ${PASSWORD_AT_MOST} characters.`;
  const { score, sequence } = estimator.check(password.normalize("NFKC"), wordsOf(about));
  const own = sequence.filter((match) => String(match.dictionaryName).startsWith("userInputs"));
  const others = length - own.reduce((sum, { token }) => sum + token.length, 0);
  if (score >= SCORE_AT_LEAST && others >= OTHERS_AT_LEAST) return undefined;
  return "This password is too easy to guess: it is common, or made of your name, your email or a pattern. Choose another.";
}

function wordsOf({ name, email, appName }: About): string[] {
  const words = [name, email, appName].flatMap((text) => [text, ...text.split(/[^\p{L}\p{N}]+/u)]);
  return [...new Set(words.filter((word) => word.length > 2).map((word) => word.toLowerCase()))];
}
