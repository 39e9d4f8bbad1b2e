/** Tests run as compiled JavaScript, so that worker threads started by the code under test find real files. */
export default {
  roots: ['<rootDir>/dist/test'],
  testMatch: ['**/*.test.js'],
  testEnvironment: '<rootDir>/test/environment.mjs',
  transform: {},
  // Ends a test that hangs. How fast the machine is decides nothing: no test sets a shorter limit of its own.
  testTimeout: 900_000,
  // A given server is shared by all suites, and every one of them needs it empty.
  maxWorkers: process.env.QDRANT_URL || process.env.DATABASE_URL ? 1 : 2,
};
