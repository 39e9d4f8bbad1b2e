import { afterAll, beforeAll, describe, expect, test as plainTest } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { testsOn } from '../server/test-server.js';
import { flowDifferences, flowLines, flowShapeDifferences, type FlowLine } from './flow-answers.js';
import { startServedCollections, WAYS, type Reached, type ServedCollections } from './served-collections.js';

/** What a program does when it reaches the server itself. */
interface ExpectedCalls {
  readonly min: number;
  /** Those that the server refuses. */
  readonly refused: readonly string[];
}

/** The programs of official clients. */
const FLOW: ExpectedCalls = {
  min: 40,
  refused: [
    'a query too short',
    'a point too short',
    'no such vector',
    'no such point',
    'no such collection',
    'create it again',
  ],
};

/** A program that makes the flow of calls: a command to which the addresses are added. */
export interface FlowProgram {
  readonly command: string;
  readonly args: readonly string[];
  /** What it is told first: how it connects. */
  readonly modes: readonly string[];
}

/** Returns the program, or null where it cannot be had; then the reason was printed. */
export type FindProgram = () => Promise<FlowProgram | null>;

/** Runs a program and returns what it printed. @throws when it fails */
async function printedBy(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0)
    throw new Error(`${command} ended with ${code}: ${stderr.slice(-2000)}${stdout.slice(-500)}`);
  return stdout;
}

/**
 * Defines tests that run a program against the server and, through the proxy, against the same collection as it is and
 * in both layouts, and compare what it gets.
 */
export async function compareProgram(
  client: string,
  find: FindProgram,
  expected: ExpectedCalls = FLOW,
): Promise<void> {
  const [test, program] = [await testsOn('any'), await find()];
  const clientTest = program === null ? plainTest.skip : test;
  const { command, args, modes } = program ?? { command: '', args: [], modes: ['not installed'] };

  describe(client, () => {
    let place: ServedCollections;
    const run = async (mode: string, { rest, grpc, collection }: Reached): Promise<FlowLine[]> => {
      const printed = await printedBy(command, [...args, mode, rest, grpc, collection, place.data]);
      return flowLines(printed, collection);
    };

    beforeAll(async () => {
      place = await startServedCollections('kept_points');
    });
    afterAll(() => place.stop());

    describe.each([...modes])('%s', (mode) => {
      let direct: FlowLine[];
      beforeAll(async () => {
        direct = await run(mode, place.direct);
      });

      clientTest('makes all its calls, and the server refuses only what it should', () => {
        expect(direct.length).toBeGreaterThanOrEqual(expected.min);
        const refused = direct.filter(
          ({ answer }) => typeof answer === 'object' && answer !== null && 'error' in answer,
        );
        expect(refused.map(({ call }) => call)).toEqual(expected.refused);
      });

      clientTest.each([...WAYS])('gets the same answers through the proxy, %s', async (way) => {
        const found = await run(mode, place.through[way]);
        const differences = way === 'compact' ? flowShapeDifferences : flowDifferences;
        expect(differences(direct, found)).toEqual([]);
      });
    });
  });
}
