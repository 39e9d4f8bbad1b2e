import { errorText } from '../console/advice.js';
import type { Config } from '../../config/load.js';
import type { Address } from '../../config/settings.js';
import { expectDefined, isTldrError, type ErrorCode } from '../../core/errors.js';
import type { DriftCount } from '../../serve/drift-meter.js';
import type { Counts } from '../../serve/metrics.js';
import { openLog } from '../console/log.js';
import { SearchedBatches, type SearchedBatch } from './searched-batches.js';
import { startProxyProcess, type ProxyProcess, type ServingOptions } from './proxy-process.js';

/** Messages from the first process to a serving process. */
export type ToWorker =
  | { readonly kind: 'configure'; readonly config: Config; readonly seed: number }
  | { readonly kind: 'drop' | 'refresh'; readonly collection: string }
  | { readonly kind: 'count'; readonly id: number }
  | { readonly kind: 'drain' };

/** Messages from a serving process to the first process. */
export type FromWorker =
  | { readonly kind: 'listening' }
  | { readonly kind: 'ready'; readonly rest: Address; readonly grpc: Address }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'deleted' | 'updated'; readonly collection: string }
  | { readonly kind: 'searched'; readonly batches: readonly SearchedBatch[] }
  | { readonly kind: 'drift'; readonly count: DriftCount }
  | { readonly kind: 'counts'; readonly id: number; readonly counts: Counts };

/** Runs one of several serving processes. It obeys the first process, and ends when that process is gone. */
export function serveAsWorker(): Promise<void> {
  return new Promise((resolve) => {
    let serving: Promise<ProxyProcess> | undefined;
    let config: Config | undefined;
    const searched = new SearchedBatches(tell);
    let counted = Promise.resolve();
    const drain = async (): Promise<void> => {
      const started = await serving?.catch(() => undefined);
      if (started !== undefined) {
        await started.proxy.drain(expectDefined(config, 'the settings of a running proxy').drainMs);
        await started.close();
      }
      await Promise.all([searched.close(), counted]);
      if (process.connected) process.disconnect();
      resolve();
    };
    let draining: Promise<void> | undefined;
    const end = (): void => void (draining ??= drain());
    // A terminal interrupts every process of the group: only the first process decides when to end.
    process.on('SIGINT', () => undefined);
    process.once('SIGTERM', end);
    process.once('disconnect', end);
    process.on('message', (message: ToWorker) => {
      switch (message.kind) {
        case 'configure':
          config = message.config;
          if (serving === undefined) {
            serving = start(message, {
              onSearched: (vectors) => searched.add(vectors),
              onDrift: (count) => {
                counted = tell({ kind: 'drift', count });
              },
            });
            serving.catch(end);
          } else void reload(serving, message.config);
          break;
        case 'drop':
          void serving?.then((started) => started.drop(message.collection));
          break;
        case 'refresh':
          void serving?.then((started) => started.refresh(message.collection));
          break;
        case 'count':
          void serving?.then(async ({ proxy }) => {
            void tell({ kind: 'counts', id: message.id, counts: await proxy.metrics.counts() });
          });
          break;
        case 'drain':
          end();
      }
    });
    void tell({ kind: 'listening' });
  });
}

async function start(
  { config, seed }: ToWorker & { readonly kind: 'configure' },
  taking: Pick<ServingOptions, 'onSearched' | 'onDrift'>,
): Promise<ProxyProcess> {
  try {
    const serving = await startProxyProcess(config, {
      ...taking,
      seed,
      log: await openLog(config.logLevel),
      onDeleted: (collection) => void tell({ kind: 'deleted', collection }),
      onUpdated: (collection) => void tell({ kind: 'updated', collection }),
    });
    void tell({ kind: 'ready', rest: serving.proxy.rest, grpc: serving.proxy.grpc });
    return serving;
  } catch (error) {
    void tell({
      kind: 'failed',
      code: isTldrError(error) ? error.code : 'INTERNAL',
      message: errorText(error),
    });
    throw error;
  }
}

async function reload(serving: Promise<ProxyProcess>, config: Config): Promise<void> {
  try {
    await (await serving).reload(config);
  } catch (error) {
    void tell({ kind: 'refused', message: errorText(error) });
  }
}

/** Resolves when the message is on its way. */
function tell(message: FromWorker): Promise<void> {
  if (!process.connected) return Promise.resolve();
  return new Promise((resolve) => process.send?.(message, undefined, undefined, () => resolve()));
}
