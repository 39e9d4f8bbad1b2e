/** How the names of the demo's collections begin. */
export const DEMO_PREFIX = 'tldr-demo';
