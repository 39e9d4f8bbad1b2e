/** A call of a store's method, before it is made. */
export interface WatchedCall {
  /** The method with its facet, such as `upsert` or `names.switch`. */
  readonly name: string;
  readonly args: readonly unknown[];
  /** Makes the call. */
  readonly go: () => unknown;
}

/** Returns a store whose calls, those of its facets too, go through `call`. */
export function watched<Store extends object>(
  store: Store,
  call: (one: WatchedCall) => unknown,
  prefix = '',
): Store {
  return new Proxy(store, {
    get: (of, key) => {
      const value: unknown = Reflect.get(of, key);
      const name = `${prefix}${String(key)}`;
      if (typeof value === 'function')
        return (...args: unknown[]): unknown =>
          call({ name, args, go: () => Reflect.apply(value, of, args) as unknown });
      const isFacet = typeof value === 'object' && value !== null && prefix.split('.').length < 3;
      return isFacet ? watched(value, call, `${name}.`) : value;
    },
  });
}
