import type { JsonValue } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import { collectionInfo } from '../../../../adapters/qdrant/serve/grpc/collection-info.js';
import { fixtureCollections } from '../../../support/wire/collections-fixture.js';
import { decodeAnswer, encodeAnswer } from '../../../support/wire/grpc-schemas.js';

interface Limits {
  readonly indexing?: string;
  readonly fullScan?: string;
  /** Of the compact vector itself. */
  readonly own?: string;
}

function answerOf({ indexing, fullScan, own }: Limits, told: string): JsonValue {
  const optional = (name: string, value: string | undefined): Record<string, string> =>
    value === undefined ? {} : { [name]: value };
  const compact = {
    size: '2',
    distance: 'Cosine',
    hnswConfig: { m: '24', ...optional('fullScanThreshold', own) },
  };
  return {
    result: {
      config: {
        params: { vectorsConfig: { params: compact } },
        hnswConfig: { m: '16', ...optional('fullScanThreshold', fullScan) },
        optimizerConfig: { flushIntervalSec: '5', ...optional('indexingThreshold', indexing) },
        metadata: { 'tldr-thresholds': { stringValue: told } },
      },
    },
  };
}

describe.each(['compact', 'two-stage'] as const)('limits in collection info, %s', (layout) => {
  const served = fixtureCollections(layout).find(({ vector }) => vector === '')!;
  function shown(limits: Limits, told: string): Limits {
    const bytes = encodeAnswer('Collections/Get', answerOf(limits, told));
    const { config } = (
      decodeAnswer('Collections/Get', collectionInfo(bytes, served)) as {
        result: {
          config: Record<'hnswConfig' | 'optimizerConfig', Record<string, string>> & {
            params: { vectorsConfig: { params: { hnswConfig: Record<string, string> } } };
          };
        };
      }
    ).result;
    const { hnswConfig: own } = config.params.vectorsConfig.params;
    // What stands beside a limit stays.
    expect([config.hnswConfig['m'], config.optimizerConfig['flushIntervalSec'], own['m']]).toEqual([
      '16',
      '5',
      '24',
    ]);
    return {
      indexing: config.optimizerConfig['indexingThreshold'],
      fullScan: config.hnswConfig['fullScanThreshold'],
      own: own['fullScanThreshold'],
    } as Limits;
  }
  const told = JSON.stringify({
    indexing_threshold: { source: 20_000, target: 10_000 },
    full_scan_threshold: { source: 9_000, target: 4_500 },
    vector_full_scan_threshold: { source: 40, target: 20 },
  });

  test('are those of the source', () => {
    expect(shown({ indexing: '10000', fullScan: '4500', own: '20' }, told)).toEqual({
      indexing: '20000',
      fullScan: '9000',
      own: '40',
    });
    const none = '{"vector_full_scan_threshold":{"source":null,"target":20}}';
    expect(shown({ own: '20' }, none)).toEqual({});
  });

  test('are what they were set to since', () => {
    const set = { indexing: '10001', fullScan: '9000', own: '21' };
    expect(shown(set, told)).toEqual(set);
    expect(shown({}, told)).toEqual({});
  });

  test.each([
    '',
    '{}',
    '{"indexing_threshold":{"source":1.5,"target":10000}}',
    '{"indexing_threshold":null}',
  ])('are as they are where nothing is told: %s', (text) =>
    expect(shown({ indexing: '10000' }, text)).toEqual({ indexing: '10000' }),
  );
});
