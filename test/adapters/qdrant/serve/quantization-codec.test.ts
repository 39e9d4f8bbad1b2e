import { fromBinary, toJson, type JsonValue } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import { QuantizationConfigSchema } from '@qdrant/js-client-grpc';
import {
  quantizationFromJson,
  quantizationFromProto,
  quantizationToJson,
  quantizationToProto,
} from '../../../../adapters/qdrant/serve/settings/quantization-codec.js';

/** Settings of servers up to 1.19 as REST writes them, and the same as the official gRPC client reads them. */
const FORMS: readonly (readonly [string, JsonValue])[] = [
  [
    '{"scalar":{"type":"int8","quantile":0.75,"memory":"pinned"}}',
    { scalar: { type: 'Int8', quantile: 0.75, memory: 'Pinned' } },
  ],
  [
    '{"product":{"compression":"x16","always_ram":true,"memory":"cold"}}',
    { product: { compression: 'x16', alwaysRam: true, memory: 'Cold' } },
  ],
  [
    '{"binary":{"memory":"cached","encoding":"two_bits"}}',
    { binary: { memory: 'Cached', encoding: 'TwoBits' } },
  ],
  [
    '{"turbo":{"always_ram":true,"memory":"pinned","bits":"bits1_5"}}',
    { turboquant: { alwaysRam: true, memory: 'Pinned', bits: 'Bits1_5' } },
  ],
  ['{"turbo":{"bits":"bits1"}}', { turboquant: { bits: 'Bits1' } }],
  ['{"turbo":{}}', { turboquant: {} }],
];

test.each(FORMS)('%s is the same over both transports', (text, message) => {
  const read = quantizationFromJson(text);
  if (read === null) throw new Error(`unknown: ${text}`);
  const bytes = quantizationToProto(read);
  expect(toJson(QuantizationConfigSchema, fromBinary(QuantizationConfigSchema, bytes))).toEqual(message);
  const again = quantizationFromProto(bytes);
  expect(again && quantizationToJson(again)).toBe(text);
});

test.each([
  '{"turbo":{"bits":"bits3"}}',
  '{"turboquant":{"bits":"bits2"}}',
  '{"scalar":{"type":"int8","memory":"warm"}}',
])('%s is no form that is known', (text) => {
  expect(quantizationFromJson(text)).toBeNull();
});
