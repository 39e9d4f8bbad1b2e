/** Short enough for a limit of a second, long enough to cost nothing. */
const STEP_MS = 50;

/**
 * Returns a signal that aborts after this time. The time is counted in short steps, so that it grows where this
 * process or machine is too busy to run: a server that answers meanwhile is then heard.
 */
export function abortedAfter(limitMs: number): { readonly signal: AbortSignal; readonly clear: () => void } {
  const controller = new AbortController();
  let left = Math.ceil(limitMs / STEP_MS);
  let timer: NodeJS.Timeout;
  const step = (): void => {
    if (left-- > 0) timer = setTimeout(step, STEP_MS);
    // What arrived in the meantime is read first.
    else setImmediate(() => controller.abort(new Error('the time is over')));
  };
  step();
  return {
    signal: controller.signal,
    clear: () => {
      left = 0;
      clearTimeout(timer);
    },
  };
}
