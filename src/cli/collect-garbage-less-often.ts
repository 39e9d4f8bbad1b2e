import { setFlagsFromString } from 'node:v8';

const FLAG = '--heap-growing-percent';

/**
 * Lets this process's heap grow to four times its live size before V8 marks it as a whole. Request bodies and
 * pages of points lie outside the heap, but they count against its limit. By default V8 sets that limit close
 * above the live size at the last marking. It would then mark several times a second, above all in a process
 * that was idle for a while. If Node was started with this flag, that value stays. Node 20 to 26 know the
 * flag of V8; a version that does not prints a message to standard error and continues.
 */
export function collectGarbageLessOften(): void {
  if (!process.execArgv.some((argument) => argument.startsWith(FLAG))) setFlagsFromString(`${FLAG}=300`);
}
