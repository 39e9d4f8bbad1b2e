/**
 * Returns a function that runs the tasks given to it one after the other, in the order of the calls. A task that fails
 * fails for its caller alone.
 */
export function turns(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const turn = last.then(task);
    last = turn.catch(() => undefined);
    return turn;
  };
}
