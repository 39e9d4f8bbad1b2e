import type { JsonValue } from '@bufbuild/protobuf';
import { readdirSync, readFileSync } from 'node:fs';
import type { ServedCollection } from '../../../src/store/served.js';
import type { Layout } from '../../../src/store/collection.js';

const FOLDER = 'test/adapters/qdrant/serve';
/** Answers to rewrite, which no client ever sends. */
const ANSWERS_FILE = 'answers.json';

/** What every stored request says about itself, over either transport. */
export interface StoredCase {
  readonly name: string;
  /** Rows of `protocol-rows.json` that it stands for. */
  readonly rows: readonly string[];
  readonly facts?: Partial<ServedCollection>;
  /** Why it cannot be sent to a real server. */
  readonly notLive?: string;
  /** Why the answer is not that of the original collection, by layout; what it is then is stored. */
  readonly differs?: Partial<Readonly<Record<Layout, string>>>;
}

/** What comes of a request over REST: sent, forwarded, answered, or asking the server for vectors first. */
export type RestOutcome =
  | { readonly send: string; readonly body: string; readonly answer?: string; readonly projected?: number }
  | { readonly forward: string; readonly answer?: string }
  | { readonly status: number; readonly error?: string; readonly result?: string }
  | { readonly lookup: readonly string[] }
  | { readonly pass: true };

export interface RestCase extends StoredCase {
  /** Method and address. */
  readonly request: string;
  readonly body?: string;
  /** Answers to an earlier lookup. */
  readonly lookups?: readonly { readonly status: number; readonly body: string }[];
  readonly expected: Readonly<Record<Layout, RestOutcome>>;
}

/** A message as the official client writes it in JSON, or its bytes where JSON cannot say it. */
export type Message = JsonValue | { readonly hex: string };

/** What comes of a call: sent, passed, answered, or points of another collection asked for first. */
export type GrpcOutcome =
  | {
      readonly send: Message;
      /** Where it is not the method of the request. */
      readonly method?: string;
      readonly projected?: number;
      readonly answer?: string;
    }
  | { readonly status: number; readonly message: string }
  | { readonly lookup: readonly Message[] }
  | { readonly reply: Message }
  | { readonly pass: true };

export interface GrpcCase extends StoredCase {
  readonly method: string;
  readonly request: Message;
  /** Answers to an earlier lookup. */
  readonly lookups?: readonly JsonValue[];
  readonly expected: Readonly<Record<Layout, GrpcOutcome>>;
}

/** A case and the file that it stands in, without its ending. */
export type Filed<Case> = Case & { readonly file: string };

/** Every stored request over REST, in the order of files and cases. */
export function restCases(): readonly Filed<RestCase>[] {
  return loadAll('rest-cases') as readonly Filed<RestCase>[];
}

/** Every stored request over gRPC, in the order of files and cases. */
export function grpcCases(): readonly Filed<GrpcCase>[] {
  return loadAll('grpc-cases') as readonly Filed<GrpcCase>[];
}

/** The stored answers that are rewritten on their way to clients. */
export function answerCases(transport: 'rest' | 'grpc'): readonly unknown[] {
  return read(`${transport}-cases`, ANSWERS_FILE);
}

function loadAll(folder: string): readonly Filed<StoredCase>[] {
  const files = readdirSync(`${FOLDER}/${folder}`).filter((file) => file !== ANSWERS_FILE);
  return files.sort().flatMap((file) => {
    const cases = read(folder, file) as readonly StoredCase[];
    return cases.map((one) => ({ ...one, file: file.replace('.json', '') }));
  });
}

function read(folder: string, file: string): readonly unknown[] {
  return JSON.parse(readFileSync(`${FOLDER}/${folder}/${file}`, 'utf8')) as readonly unknown[];
}

/** The bytes of a message given in hexadecimal digits, or null. */
export function hexOf(message: Message): string | null {
  return typeof message === 'object' &&
    message !== null &&
    'hex' in message &&
    typeof message.hex === 'string'
    ? message.hex.replace(/\s/g, '')
    : null;
}

/** A message's bytes, by the encoder of its JSON form. */
export function bytesOf(message: Message, encode: (json: JsonValue) => Uint8Array): Uint8Array {
  const hex = hexOf(message);
  return hex === null ? encode(message) : Buffer.from(hex, 'hex');
}
