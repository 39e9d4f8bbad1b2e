/**
 * The words that `--force` requires for a switch without a verification.
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration
 * import { cutOver, FORCE_WORDS, stateFile } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const migration = { source: store, target: store, place: stateFile('docs.migration.json') };
 * await cutOver({ ...migration, form: 'alias', alias: 'search', clientsProject: true, force: FORCE_WORDS });
 * await store.close();
 * ```
 */
export const FORCE_WORDS = 'I know the copy is not verified';

/**
 * The words that `--force` requires for a rollback to a source that may lack writes made to the target.
 * @example
 * ```ts
 * // Given: Qdrant, a finished migration
 * import { cutOver, FORCE_BACK_WORDS, stateFile, rollBack } from 'qdrant-tldr';
 * import { openQdrant } from 'qdrant-tldr/qdrant';
 *
 * const store = await openQdrant({ url: 'http://localhost:6333' });
 * const migration = { source: store, target: store, place: stateFile('docs.migration.json') };
 * await cutOver({ ...migration, form: 'alias', alias: 'search', clientsProject: true });
 * await rollBack({ ...migration, force: FORCE_BACK_WORDS });
 * await store.close();
 * ```
 */
export const FORCE_BACK_WORDS = 'I know that later writes may be missing';
