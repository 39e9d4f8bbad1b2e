import { describe, expect, test } from '@jest/globals';
import { SharedAndExclusiveTasks } from '../../../src/migrate/dual-write/shared-and-exclusive-tasks.js';

/** A task that ends when it is told to. */
function held(): { task: () => Promise<void>; started: () => boolean; end: () => void } {
  let started = false;
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const task = (): Promise<void> => {
    started = true;
    return ended;
  };
  return { task, started: () => started, end: () => end() };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('turns of writes', () => {
  test('shared tasks run at once, one alone waits for them and holds up those after it', async () => {
    const turns = new SharedAndExclusiveTasks(60_000);
    const [a, b, c, d] = [held(), held(), held(), held()];
    const all = [turns.shared(a.task), turns.shared(b.task), turns.alone(c.task), turns.shared(d.task)];
    const running = (): boolean[] => [a, b, c, d].map(({ started }) => started());
    await settled();
    expect(running()).toEqual([true, true, false, false]);
    a.end();
    await settled();
    expect(running()).toEqual([true, true, false, false]);
    b.end();
    await settled();
    expect(running()).toEqual([true, true, true, false]);
    c.end();
    await settled();
    expect(running()).toEqual([true, true, true, true]);
    d.end();
    await Promise.all(all);
  });

  test('a task that fails gives its turn away; one whose turn does not come is given up', async () => {
    const turns = new SharedAndExclusiveTasks(20);
    await expect(turns.alone(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    const first = held();
    const running = turns.shared(first.task);
    expect(await turns.aloneWithin(1, () => Promise.resolve(0))).toBeNull();
    await expect(turns.alone(() => Promise.resolve())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    // Those behind it go on.
    expect(await turns.shared(() => Promise.resolve(1))).toBe(1);
    first.end();
    await running;
    expect(await turns.alone(() => Promise.resolve(2))).toBe(2);
    expect(await turns.aloneWithin(60_000, () => Promise.resolve(3))).toBe(3);
  });
});
