/**
 * `npm run bench`: what a factory costs, by number of clients. CPU times are for reading, nothing is asserted by them: they
 * differ between machines, and between runs on a machine that does other work. About two minutes.
 *
 * `--full` also runs @scure/btc-signer at 512 clients, which takes minutes.
 */
import { cpus } from 'node:os'
import { nobleBackend } from '@ln-factory/core/signing'
import { planExit, ANCHOR_AMOUNT, type ExitResult } from './exit.js'
import { runCeremony, type CeremonyResult, type MessageKind } from './ceremony.js'
import type { ClientPhase, LspPhase } from './party.js'
import { benchOrdinaryPayments } from './ordinary.js'
import { integer, milliseconds, table, targetLine, type Target } from './report.js'
import { ownShare, scureShare, SigningWork, type Share, type SharePhase } from './share.js'
import { benchSigning } from './signing.js'

const CLIENTS = [8, 32, 64, 127, 512]
/** The number for which there are targets. */
const TARGET = 127
const SCURE_LIMIT = 127
const full = process.argv.includes('--full')

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

const MESSAGES: readonly (readonly [MessageKind, 'lsp' | 'client'])[] = [
  ['invite', 'lsp'],
  ['accept', 'client'],
  ['propose', 'lsp'],
  ['nonces', 'client'],
  ['aggregated_nonces', 'lsp'],
  ['partial_signatures', 'client'],
  ['signatures', 'lsp'],
  ['stored', 'client'],
  ['channel_ready', 'client'],
  ['funding_broadcast', 'lsp'],
]
const LSP_PHASES: readonly LspPhase[] = [
  'invite',
  'tree, own nonces',
  'aggregate nonces',
  'sign, combine, verify',
  'channels',
  'wire',
  'store',
]
const CLIENT_PHASES: readonly ClientPhase[] = [
  'accept',
  'path, own nonces',
  'sign',
  'verify',
  'channel',
  'wire',
  'store',
]
const SHARE_PHASES: readonly SharePhase[] = ['keys', 'own nonces', 'aggregate nonces', 'sign, combine, verify']

const columns = (results: readonly { readonly clients: number }[]): string[] =>
  results.map(({ clients }) => `N=${clients}`)

function showTrees(exits: readonly ExitResult[], ceremonies: readonly CeremonyResult[]): void {
  say(
    table(
      'The tree (default parameters) and one client leaving alone',
      ['', ...columns(exits)],
      [
        ['W, blocks', ...exits.map((e) => integer(e.earlyWarning))],
        ['depth: transactions of the exit', ...exits.map((e) => integer(e.transactions))],
        ['exit, vB', ...exits.map((e) => integer(e.vsize))],
        ['exit, built-in fees, sat', ...exits.map((e) => integer(e.fee))],
        ['signed transactions in the tree', ...ceremonies.map((c) => integer(c.spends))],
        ['  of which one client signs', ...ceremonies.map((c) => integer(c.pathSpends))],
        [`funding overhead, sat`, ...exits.map((e) => integer(e.overhead))],
        ['  per client', ...exits.map((e) => integer(Number(e.overhead) / e.clients))],
      ],
    ),
  )
  say(
    `Overhead: built-in fees and anchors (${ANCHOR_AMOUNT} sat each), in the funding output on top of capacities and stocks.`,
  )
}

function showTraffic(results: readonly CeremonyResult[]): void {
  const rows = MESSAGES.map(([kind, by]) => [
    `${kind} (${by === 'lsp' ? 'LSP' : 'client'})`,
    ...results.map((r) => integer(r.sent[by].get(kind) ?? 0)),
  ])
  say(
    table(
      'Bytes per client on the wire, both ways: whole Lightning messages, the client with the most',
      ['', ...columns(results)],
      [
        ...rows,
        ['sum', ...results.map((r) => integer(r.bytes))],
        ['  keys of all, 33 each (BIP-327)', ...results.map((r) => integer(r.keyBytes))],
        ['  the rest: grows with the depth', ...results.map((r) => integer(r.bytes - r.keyBytes))],
      ],
    ),
  )
  say('Without the 34 bytes that the encrypted transport (BOLT 8) adds to each message.')
}

function showCpu(results: readonly CeremonyResult[]): void {
  say(
    table(
      'CPU of the LSP for a ceremony, ms',
      ['', ...columns(results)],
      [
        ...LSP_PHASES.map((phase) => [phase, ...results.map((r) => milliseconds(r.lsp.of(phase)))]),
        ['sum', ...results.map((r) => milliseconds(r.lsp.total))],
        ['(the tree alone, built again)', ...results.map((r) => milliseconds(r.lsp.treeAlone))],
      ],
    ),
  )
  say(
    table(
      'CPU of one client for a ceremony, ms (median of the real ones)',
      ['', ...columns(results)],
      [
        ...CLIENT_PHASES.map((phase) => [phase, ...results.map((r) => milliseconds(r.client.of(phase)))]),
        ['sum', ...results.map((r) => milliseconds(r.client.median))],
        ['sum, slowest client', ...results.map((r) => milliseconds(r.client.max))],
        ['real clients', ...results.map((r) => integer(r.realClients))],
      ],
    ),
  )
}

interface Comparison {
  readonly clients: number
  readonly own: Share
  readonly scure: Share
}

function compare(work: SigningWork): Comparison {
  return { clients: work.clients, own: ownShare(work), scure: scureShare(work) }
}

function showComparison(results: readonly Comparison[]): void {
  const rows = SHARE_PHASES.flatMap((phase) => [
    [phase, ...results.flatMap(({ own, scure }) => [milliseconds(own.of(phase)), milliseconds(scure.of(phase))])],
  ])
  say(
    table(
      "The LSP's share of signing the same tree: this project (WASM) and @scure/btc-signer, CPU ms",
      ['', ...results.flatMap(({ clients }) => [`N=${clients}`, 'scure'])],
      [
        ...rows,
        ['sum', ...results.flatMap(({ own, scure }) => [milliseconds(own.total), milliseconds(scure.total)])],
        ['scure / own', ...results.flatMap(({ own, scure }) => ['', (scure.total / own.total).toFixed(1)])],
      ],
    ),
  )
}

function showBackends(own: Share, noble: Share): void {
  const row = (name: string, of: (share: Share) => number): string[] => [
    name,
    milliseconds(of(own)),
    milliseconds(of(noble)),
  ]
  say(
    table(
      `The same with both curve libraries, N=${TARGET}, CPU ms`,
      ['', 'WASM', 'noble'],
      [...SHARE_PHASES.map((phase) => row(phase, (share) => share.of(phase))), row('sum', (share) => share.total)],
    ),
  )
}

function showOperations(): void {
  const rows = benchSigning(full ? CLIENTS.filter((n) => n <= SCURE_LIMIT) : [TARGET])
  say(
    table(
      'MuSig2 by operation, one session, wall time in ms',
      ['', 'signers', 'WASM', 'noble', 'scure'],
      [...rows.map((r) => [r.operation, integer(r.signers), r.own.toFixed(3), r.noble.toFixed(3), r.scure.toFixed(3)])],
    ),
  )
}

function targets(ceremony: CeremonyResult, exit: ExitResult, comparison: Comparison): Target[] {
  const share = comparison.scure.total / comparison.own.total
  const whole = comparison.scure.total / ceremony.lsp.total
  return [
    {
      name: `bytes per client under 20,000 at ${TARGET} clients`,
      met: ceremony.bytes < 20_000,
      measured: `${integer(ceremony.bytes)} bytes`,
    },
    {
      name: `W of at most 480 blocks at ${TARGET} clients`,
      met: exit.earlyWarning <= 480,
      measured: `${exit.earlyWarning} blocks`,
    },
    {
      name: `LSP's signing under a twentieth of scure's at ${TARGET} clients`,
      met: share > 20,
      measured: `1/${share.toFixed(1)} (its whole ceremony with tree, wire and store: 1/${whole.toFixed(1)} of scure's signing)`,
    },
  ]
}

function only<T extends { readonly clients: number }>(results: readonly T[]): T {
  const found = results.find(({ clients }) => clients === TARGET)
  if (found === undefined) throw new Error(`nothing was measured for ${TARGET} clients`)
  return found
}

const started = performance.now()
say(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown CPU'}`)

runCeremony(8) // compiled code and curve tables are not part of a ceremony
const ceremonies = CLIENTS.map((clients) => runCeremony(clients))
const peak = process.resourceUsage().maxRSS
const exits = CLIENTS.map(planExit)
showTrees(exits, ceremonies)
showTraffic(ceremonies)
showCpu(ceremonies)
say(`\nPeak memory (RSS) of the process with the LSP and 512 clients: ${integer(peak / 1024)} MiB`)

const works = CLIENTS.filter((clients) => full || clients <= SCURE_LIMIT).map((clients) => new SigningWork(clients))
const comparisons = works.map(compare)
showComparison(comparisons)
showBackends(only(comparisons).own, ownShare(only(works), nobleBackend()))
showOperations()
say(await benchOrdinaryPayments())

say('\nTargets')
for (const target of targets(only(ceremonies), only(exits), only(comparisons))) say(targetLine(target))
say(`\nIn ${integer((performance.now() - started) / 1000)} s.`)
