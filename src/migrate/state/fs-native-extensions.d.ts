/** The part that is used here of a package that brings no types. */
declare module 'fs-native-extensions' {
  /**
   * Asks the kernel for a lock on `length` bytes of an open file from `offset` on. It belongs to this opening of the
   * file (Linux: F_OFD_SETLK, macOS: flock, Windows: LockFileEx) and ends when that is closed, also by the end of the
   * process.
   * @returns false while another opening of the file holds a lock that excludes this one
   */
  export function tryLock(
    fd: number,
    offset: number,
    length: number,
    options?: { readonly shared?: boolean },
  ): boolean;
}
