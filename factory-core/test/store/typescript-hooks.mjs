// Lets a child process of a test run the sources as the tests do: without a build. Used as `node --import`, and as the
// hooks themselves.
import { readFile } from 'node:fs/promises'
import { register } from 'node:module'
import { fileURLToPath, URL } from 'node:url'
import { isMainThread } from 'node:worker_threads'
import ts from 'typescript'

if (isMainThread) register(import.meta.url)

const TLV = new URL('../../../tlv/src/index.ts', import.meta.url).href

export async function resolve(specifier, context, next) {
  if (specifier === '@ln-factory/tlv') return { url: TLV, shortCircuit: true }
  const ours = specifier.startsWith('.') && context.parentURL?.endsWith('.ts')
  return next(ours ? specifier.replace(/\.js$/, '.ts') : specifier, context)
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context)
  const fileName = fileURLToPath(url)
  const { outputText } = ts.transpileModule(await readFile(fileName, 'utf8'), {
    fileName,
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true },
  })
  return { format: 'module', source: outputText, shortCircuit: true }
}
