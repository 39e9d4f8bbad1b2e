import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

export default defineConfig(
  {
    ignores: [
      'dist/**',
      'build/**',
      'docs/api/**',
      'node_modules/**',
      'src/encoder/projection-kernel-wasm.ts',
    ],
  },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/prefer-for-of': 'off',
      '@typescript-eslint/no-extraneous-class': 'off',
      '@typescript-eslint/no-non-null-assertion': 'error',
      'max-params': ['error', 4],
      'no-restricted-syntax': [
        'error',
        {
          selector:
            'SpreadElement:matches([argument.type="ObjectExpression"], [argument.type="ArrayExpression"])',
          message: 'Write the properties or elements plainly instead of spreading a literal.',
        },
      ],
      'no-console': 'error',
    },
  },
  {
    // Numeric kernels index typed arrays in hot loops, where a guard per element would cost real time.
    files: [
      'src/core/**/*.ts',
      'src/encoder/**/*.ts',
      'src/plan/**/*.ts',
      'src/knn/**/*.ts',
      'src/train/**/*.ts',
      'src/baselines/**/*.ts',
      'src/files/npy.ts',
      'src/evaluate/**/*.ts',
      'adapters/**/*.ts',
      'bench/**/*.ts',
      'test/**/*.ts',
    ],
    rules: { '@typescript-eslint/no-non-null-assertion': 'off' },
  },
  {
    files: ['src/cli/**/*.ts', 'bench/**/*.ts', 'demo/**/*.ts', 'examples/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly' } },
  },
);
