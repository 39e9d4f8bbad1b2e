/** Types for the part of this package that is used here. The package has none. */
declare module 'fs-native-extensions' {
  /**
   * Asks the kernel for a lock on `length` bytes of an open file from `offset` on. The lock belongs to this
   * open file handle (Linux: F_OFD_SETLK, macOS: flock, Windows: LockFileEx) and ends when the handle is
   * closed, also by the end of the process.
   * @returns false while another handle holds a lock that excludes this one
   */
  export function tryLock(
    fd: number,
    offset: number,
    length: number,
    options?: { readonly shared?: boolean },
  ): boolean;
}
