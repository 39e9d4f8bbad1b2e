import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { grpcRewriter } from '../../../../adapters/qdrant/serve/rewriters/grpc.js';
import { finished, type GrpcRewrite } from '../../../../src/serve/protocol.js';
import {
  anyGrpcRequest,
  decoded,
  lookInto,
  markingCollections,
  mutated,
} from '../../../support/wire/random-grpc-requests.js';
import { METHOD_NAMES, pathOf } from '../../../support/wire/grpc-schemas.js';

const RUNS = 2_000;

const rewriters = {
  'two-stage': grpcRewriter(markingCollections('two-stage')),
  compact: grpcRewriter(markingCollections('compact')),
};

/** What was done to the requests of a run, to know that all was tried. */
type Outcomes = Record<string, number>;

function check(method: string, message: Uint8Array, outcomes: Outcomes): void {
  const count = (outcome: string, by = 1): void => void (outcomes[outcome] = (outcomes[outcome] ?? 0) + by);
  for (const layout of ['two-stage', 'compact'] as const) {
    const made = finished<GrpcRewrite>(rewriters[layout].begin(pathOf(method), message));
    count(made.kind);
    if (made.kind !== 'send') continue;
    const looked = lookInto(layout, made.call.path.slice('/qdrant.'.length), made.call.message);
    if (looked === null) continue;
    count('looked into');
    count('compact vectors', looked.compact);
    expect({ layout, wrong: looked.wrong }).toEqual({ layout, wrong: [] });
  }
}

describe('whatever is asked, nothing is thrown and no vector of full size is sent to the compact space', () => {
  test('messages of every form', () => {
    const outcomes: Outcomes = {};
    fc.assert(
      fc.property(anyGrpcRequest, ({ method, message }) => check(method, message, outcomes)),
      { numRuns: RUNS, seed: 1 },
    );
    for (const kind of ['send', 'status', 'pass', 'lookup', 'compact vectors'])
      expect([kind, (outcomes[kind] ?? 0) > 0]).toEqual([kind, true]);
    expect(outcomes['send']).toBeGreaterThan(RUNS / 10);
    expect(outcomes['looked into']).toBe(outcomes['send']);
  });

  test('messages with damage', () => {
    const outcomes: Outcomes = {};
    const damage = fc.tuple(fc.array(fc.nat(), { minLength: 4, maxLength: 4 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(
        anyGrpcRequest,
        fc.array(damage, { minLength: 1, maxLength: 2 }),
        ({ method, message }, changes) => {
          check(
            method,
            changes.reduce((bytes, [cuts, value]) => mutated(bytes, cuts, value), message),
            outcomes,
          );
        },
      ),
      { numRuns: RUNS * 3, seed: 2 },
    );
    expect(outcomes['looked into']).toBeGreaterThan(0);
  });

  test('bytes of no meaning', () => {
    const methods = fc.constantFrom(...METHOD_NAMES, 'Points/SomethingNew');
    fc.assert(
      fc.property(methods, fc.uint8Array({ maxLength: 60 }), fc.boolean(), (method, bytes, named) => {
        const name = Buffer.from('0a04646f6373', 'hex');
        const message = named ? Buffer.concat([name, bytes]) : bytes;
        for (const rewriter of Object.values(rewriters)) {
          const made = finished<GrpcRewrite>(rewriter.begin(pathOf(method), message));
          if (named) expect(made.kind === 'pass' && !method.startsWith('Collections/')).toBe(false);
          rewriter.rewriteAnswer({ form: 'info', collection: 'docs', errorsOnly: false }, message);
          rewriter.rewriteAnswer({ form: 'list', collection: '', errorsOnly: false }, message);
        }
      }),
      { numRuns: RUNS * 3, seed: 3 },
    );
  });

  test('messages nested without end', () => {
    for (const depth of [63, 64, 65, 100, 5_000]) {
      let prefetch: Buffer = Buffer.from('1204 0a02 0a00'.replace(/ /g, ''), 'hex');
      for (let i = 1; i < depth; i++)
        prefetch = Buffer.concat([Buffer.of(0x0a), varint(prefetch.length), prefetch]);
      const message = Buffer.concat([
        Buffer.from('0a04646f6373', 'hex'),
        Buffer.of(0x12),
        varint(prefetch.length),
        prefetch,
      ]);
      const made = finished<GrpcRewrite>(rewriters['two-stage'].begin('/qdrant.Points/Query', message));
      if (depth <= 64) expect(levelsOf(made)).toBe(Math.min(depth + 1, 64));
      // Beyond a hundred levels the server's library does not decode a message.
      else expect(made).toMatchObject({ kind: 'status', code: depth <= 100 ? 3 : 13 });
    }
  });
});

/** Levels of prefetches in what is sent: a last one is added where the server allows it. */
function levelsOf(made: GrpcRewrite): number {
  if (made.kind !== 'send') return 0;
  let stage: JsonObject | undefined = decoded('Points/Query', made.call.message) ?? undefined;
  for (let level = 0; ; level++) {
    const [next]: JsonValue[] = Array.isArray(stage?.['prefetch']) ? stage['prefetch'] : [];
    if (typeof next !== 'object' || next === null || Array.isArray(next)) return level;
    stage = next;
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>= 7) bytes.push((rest & 127) | 128);
  return Buffer.from([...bytes, rest]);
}
