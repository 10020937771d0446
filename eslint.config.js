import js from '@eslint/js'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '.cache/**'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: {
        project: [
          './tlv/tsconfig.json',
          './factory-core/tsconfig.json',
          './plugin/tsconfig.json',
          './test/tsconfig.json',
          './tsconfig.tests.json',
        ],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      // Numbers and bigints print exactly; everything else must be formatted by hand.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // A rule's early exit reads best as `return refuse(...)`.
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: ['**/*.js', '**/*.mjs', 'plugin/bin/*'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly' } },
  },
)
