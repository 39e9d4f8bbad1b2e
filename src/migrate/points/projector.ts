import { messageOf } from '../../core/errors.js';
import type { Matrix } from '../../core/matrix.js';
import type { RunOptions } from '../../core/run-options.js';
import type { Encoder } from '../../encoder/model.js';
import { loadNativeLibrary, NativeProjector } from '../../encoder/native-projector.js';
import type { ProjectorName } from '../state/migration-state.js';
import type { Projector } from './compare-points.js';

/** Below this number of points, the kernel is done before the native library is loaded. */
const NATIVE_POINTS_MIN = 20_000;

/** Returns the projector for the copy of so many points: the faster one that this machine has. */
export async function chooseProjector(
  points: number,
  { log }: Pick<RunOptions, 'log'>,
): Promise<ProjectorName> {
  if (points < NATIVE_POINTS_MIN) return 'kernel';
  try {
    await loadNativeLibrary();
    return 'native';
  } catch (error) {
    log?.('info', `projecting without native products: ${messageOf(error)}`);
    return 'kernel';
  }
}

/**
 * The projector that the migration state names. If this machine cannot load the native library, the kernel
 * replaces it, and the log says so. No verification depends on which of them is used: where a point seems to
 * differ, it allows for the rounding difference between the two.
 */
export class RecordedProjector implements Projector {
  readonly #encoder: Encoder;
  readonly #log: RunOptions['log'];
  #opened: Promise<NativeProjector | null> | undefined;

  /** @param name the stored name; if absent, the kernel, as in earlier versions */
  constructor(encoder: Encoder, name: ProjectorName = 'kernel', { log }: Pick<RunOptions, 'log'> = {}) {
    this.#encoder = encoder;
    this.#log = log;
    if (name === 'kernel') this.#opened = Promise.resolve(null);
  }

  /** Projects as `Encoder.project` does. The first call loads the native library. */
  async project(x: Matrix): Promise<Matrix> {
    this.#opened ??= this.#open();
    return ((await this.#opened) ?? this.#encoder).project(x);
  }

  /** Frees the native library's memory. A later `project` loads it again. */
  async close(): Promise<void> {
    const opened = await this.#opened;
    if (opened == null) return;
    this.#opened = undefined;
    // An error is ignored: the points are not affected, and the process frees the memory at its end.
    await opened.close().catch(() => undefined);
  }

  async #open(): Promise<NativeProjector | null> {
    try {
      const native = await NativeProjector.open(this.#encoder.network);
      this.#log?.('debug', 'projecting with native products');
      return native;
    } catch (error) {
      this.#log?.(
        'warn',
        `the copy was begun with native products, which this machine cannot load (${messageOf(error)}): projecting with the WebAssembly kernel instead, which gives the same vectors except for the last digits`,
      );
      return null;
    }
  }
}
