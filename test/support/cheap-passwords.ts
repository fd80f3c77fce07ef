import { cheapenPasswords } from "./passwords.ts";

// Loaded before a program that a test starts, so that it verifies what the test's own process has hashed.
cheapenPasswords();
