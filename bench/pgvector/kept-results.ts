import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Results of parts of a run, on disk if a folder is given, so that a run that was stopped goes on. */
export class KeptResults {
  readonly #file: string | null;
  #results: Readonly<Record<string, unknown>> = {};

  private constructor(file: string | null) {
    this.#file = file;
  }

  /** @throws when the folder holds results of other settings */
  static async open(folder: string, settings: Readonly<Record<string, unknown>>): Promise<KeptResults> {
    const kept = new KeptResults(folder === '' ? null : join(folder, 'results.json'));
    await kept.#load(folder, settings);
    return kept;
  }

  async #load(folder: string, settings: Readonly<Record<string, unknown>>): Promise<void> {
    if (this.#file === null) return;
    await mkdir(folder, { recursive: true });
    if (!existsSync(this.#file)) return this.#store({ settings });
    const found = JSON.parse(await readFile(this.#file, 'utf8')) as Record<string, unknown>;
    if (JSON.stringify(found['settings']) !== JSON.stringify(settings))
      throw new Error(`${folder} holds a run of other settings: ${JSON.stringify(found['settings'])}`);
    this.#results = found;
  }

  /** Returns the result of a part, which is measured unless an earlier run did so. */
  async part<T>(name: string, measure: () => Promise<T>): Promise<T> {
    if (name in this.#results) return this.#results[name] as T;
    const result = await measure();
    await this.#store({ ...this.#results, [name]: result });
    return result;
  }

  async #store(results: Readonly<Record<string, unknown>>): Promise<void> {
    this.#results = results;
    if (this.#file !== null) await writeFile(this.#file, `${JSON.stringify(results, null, 1)}\n`);
  }
}
