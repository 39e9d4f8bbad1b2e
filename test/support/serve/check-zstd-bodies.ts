import * as zlib from 'node:zlib';
import { startLocalQdrant } from '../../../adapters/qdrant/local/start.js';
import { COMPACT_DIM, DIM } from '../migrate/fixtures.js';
import { fetchOnce } from '../server/fetch-once.js';
import { startTestProxy } from './proxy-fixture.js';

const TARGET = 'served_c4';
/** A frame of zstd that is to be skipped (RFC 8878). */
const SKIPPED = Buffer.from('502a4d1804000000abcdabcd', 'hex');

type Pack = (bytes: Buffer) => Buffer;

/** Bodies in zstd, as made by this version of Node, and what may stand around their frames. */
function packsOf(compress: Pack): Readonly<Record<string, Pack>> {
  return {
    'one frame': compress,
    'two frames': (bytes) => Buffer.concat([compress(bytes.subarray(0, 9)), compress(bytes.subarray(9))]),
    'a skipped frame behind': (bytes) => Buffer.concat([compress(bytes), SKIPPED]),
    'a skipped frame first': (bytes) => Buffer.concat([SKIPPED, compress(bytes)]),
    'other bytes behind': (bytes) => Buffer.concat([compress(bytes), Buffer.from('other bytes')]),
    'a frame that is cut off': (bytes) => compress(bytes).subarray(0, 12),
  };
}

async function search(url: string, name: string, body: Buffer): Promise<number> {
  const headers = { 'content-type': 'application/json', 'content-encoding': 'zstd' };
  const request = { method: 'POST', headers, body: new Uint8Array(body) };
  return (await fetchOnce(`${url}/collections/${name}/points/query`, request)).status;
}

const queryOf = (dim: number): Buffer => Buffer.from(`{"query":[${Array<number>(dim).fill(1).join()}]}`);

/**
 * Sends zstd bodies to a real server and, for a served collection, through the proxy. Returns what was checked.
 * @throws when the statuses differ
 */
export async function checkZstdBodies(): Promise<string> {
  const compress: unknown = Reflect.get(zlib, 'zstdCompressSync');
  if (typeof compress !== 'function') return 'no zstd bodies: this version of Node cannot make them';
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return 'no zstd bodies: no packaged server for this platform';
  const packs = packsOf((bytes) => Reflect.apply(compress, zlib, [bytes]) as Buffer);
  const server = await startLocalQdrant();
  try {
    const proxy = await startTestProxy(server);
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ vectors: { size: COMPACT_DIM, distance: 'Cosine' } });
    await fetchOnce(`${server.url}/collections/${TARGET}`, { method: 'PUT', headers, body });
    for (const [name, pack] of Object.entries(packs)) {
      const direct = await search(server.url, TARGET, pack(queryOf(COMPACT_DIM)));
      const through = await search(proxy.url, 'served', pack(queryOf(DIM)));
      const expected = name === 'other bytes behind' || name.endsWith('cut off') ? 400 : 200;
      if (direct !== expected || through !== expected)
        throw new Error(`zstd body with ${name}: ${direct} at the server, ${through} through the proxy`);
    }
    await proxy.proxy.close();
  } finally {
    await server.stop();
  }
  return `zstd bodies: ${Object.keys(packs).join(', ')}`;
}
