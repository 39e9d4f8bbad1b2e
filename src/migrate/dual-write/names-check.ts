/**
 * Checks that the names of source and target lead to these collections: an alias can be given the name of a collection,
 * which it hides. Called with 'recently' before the collections are used. Called with 'now' afterwards, since a name may
 * have led elsewhere meanwhile: the check goes by aliases that are read after the call.
 * @throws UNAVAILABLE if either name leads elsewhere, or the aliases cannot be read
 */
export type NamesCheck = (when: 'recently' | 'now') => Promise<void>;
