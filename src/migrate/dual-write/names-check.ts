/**
 * Checks that the names of source and target lead to these collections, since an alias can have the name of a
 * collection and hide it. Call it with 'recently' before the collections are used, and with 'now' afterwards.
 * 'now' reads the aliases again, because a name may have led elsewhere meanwhile.
 * @throws UNAVAILABLE when a name leads elsewhere, or the aliases cannot be read
 */
export type NamesCheck = (when: 'recently' | 'now') => Promise<void>;
