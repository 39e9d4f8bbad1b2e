/** Whether a server's version, such as `1.16.3`, is at least this one. */
export function isVersionAtLeast(version: string, [first, second]: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > first || (major === first && minor >= second);
}
