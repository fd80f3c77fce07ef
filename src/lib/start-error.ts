/**
 * A reason not to start that the person at the terminal can mend.
 * `main` prints each line of the message as it is, without a stack, and exits with 1.
 */
export class StartError extends Error {
  override name = "StartError";
}

/** A start that was told to stop before it had come to its end. */
export class StartInterrupted extends StartError {
  override name = "StartInterrupted";

  constructor() {
    super("Stopped before it had started: nothing is left running, and the next start goes on from here.");
  }
}
