const WORDS: Readonly<Record<string, string>> = {
  'neighbourhood-kl': 'learned, linear',
  'neighbourhood-kl-residual': 'learned, residual',
  'neighbourhood-kl-queries': 'learned with queries, linear',
  'neighbourhood-kl-residual-queries': 'learned with queries, residual',
  tldr: 'TLDR',
  'tldr-flinear': 'TLDR, factorised',
  'tldr-mlp': 'TLDR, hidden layer',
  prefix: 'first dimensions',
  'random-projection': 'random projection',
  previous: 'previous encoder',
};

/** Names of families; what follows the family's name is a variant. */
const FAMILIES: readonly (readonly [prefix: string, word: string])[] = [
  ['pca', 'PCA'],
  ['leanvec-sphering', 'LeanVec with queries'],
  ['blend', 'blend'],
];

/**
 * Returns the name of a candidate in words, such as "learned, residual". Flags, files and `--json` keep the technical
 * name.
 * @param technical returns the technical name
 */
export function candidateLabel(name: string, technical = false): string {
  if (technical) return name;
  if (Object.hasOwn(WORDS, name)) return WORDS[name] ?? name;
  for (const [prefix, word] of FAMILIES) {
    if (name === prefix) return word;
    if (name.startsWith(`${prefix}-`)) return `${word}, ${variantWords(name.slice(prefix.length + 1))}`;
  }
  return name;
}

/** `uncentred-tempered-0.25` as `uncentred, tempered 0.25`. */
function variantWords(variant: string): string {
  return variant.replaceAll(/-(?=\d)/g, ' ').replaceAll('-', ', ');
}
