/**
 * A reason not to start that the person at the terminal can mend.
 * `main` prints each line of the message as it is, without a stack, and exits with 1.
 */
export class StartError extends Error {
  override name = "StartError";
}

/** A start that was stopped before it was complete. */
export class StartInterrupted extends StartError {
  override name = "StartInterrupted";

  constructor() {
    super("Stopped before it had started. Nothing is left running; start it again to continue.");
  }
}
