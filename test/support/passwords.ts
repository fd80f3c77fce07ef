import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";

const { argon2 } = crypto;
/** The service's own parameters, at which a hash takes 25 ms of CPU. A run computes more than a thousand. */
const COSTLY = 19_456;
const CHEAP = { memory: 64, passes: 1 };

/** Makes the hashes of this process cheap. Their text names the service's parameters, so that nothing else differs. */
export function cheapenPasswords(): void {
  crypto.argon2 = (algorithm, parameters, callback) =>
    argon2(algorithm, parameters.memory === COSTLY ? { ...parameters, ...CHEAP } : parameters, callback);
  syncBuiltinESMExports();
}

/** Undoes `cheapenPasswords` for the rest of the file. */
export function useRealPasswords(): void {
  crypto.argon2 = argon2;
  syncBuiltinESMExports();
}

/** Lets the hashes of one password wait, as on a slow machine. @returns lets them go on */
export function holdHashesOf(password: string): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  const hash = crypto.argon2;
  crypto.argon2 = (algorithm, parameters, callback) => {
    const held = String(parameters.message) === password ? promise : Promise.resolve();
    void held.then(() => hash(algorithm, parameters, callback));
  };
  syncBuiltinESMExports();
  return () => {
    crypto.argon2 = hash;
    syncBuiltinESMExports();
    resolve();
  };
}
