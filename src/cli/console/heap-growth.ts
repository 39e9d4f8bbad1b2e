import { setFlagsFromString } from 'node:v8';

const FLAG = '--heap-growing-percent';

/**
 * Lets this process's heap grow to four times what lives in it before it is marked as a whole. Bodies and pages of
 * points lie outside the heap but count against its limit, which V8 by default sets close above what lived at the last
 * marking: it then marks several times a second, above all in a process that was idle for a while. What Node was
 * started with stays. It is V8's flag, in Node 20 to 26; a version without it says so on standard error and goes on.
 */
export function growHeapAtEase(): void {
  if (!process.execArgv.some((argument) => argument.startsWith(FLAG))) setFlagsFromString(`${FLAG}=300`);
}
