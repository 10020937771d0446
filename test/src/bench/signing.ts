/**
 * MuSig2 side by side: ours over WASM, ours over noble, and @scure/btc-signer as it is shipped. One session of N signers, each
 * operation timed alone, all on the same keys, nonces and message. Milliseconds, medians.
 */
import * as scure from '@scure/btc-signer/musig2.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import {
  aggregateKeys,
  aggregateNonces,
  combineOrBlame,
  defaultBackend,
  generateNonce,
  KeyAggregator,
  nobleBackend,
  openSession,
  SecretKey,
  sortKeys,
  taggedHash,
  verifySchnorr,
  type CurveBackend,
} from '@ln-factory/core/signing'

export type SigningOperation =
  | 'aggregate keys'
  | 'generate a nonce'
  | 'aggregate nonces'
  | 'set up a session'
  | 'sign'
  | 'verify one partial signature'
  | 'combine and verify'
  | 'find a culprit'
  | 'coordinator, whole session'

export interface SigningRow {
  readonly signers: number
  readonly operation: SigningOperation
  /** Milliseconds; `own` is the default back end (WASM where it loads). */
  readonly own: number
  readonly noble: number
  readonly scure: number
}

type Timings = Record<SigningOperation, number>

const bytesOf = (seed: string): Uint8Array => sha256(utf8ToBytes(seed))
const message = bytesOf('sighash')

/** Median of a few runs; `prepare` is not timed, and makes what a run uses up. */
function time<T>(prepare: () => T, run: (input: T) => unknown): number {
  const samples: number[] = []
  const until = performance.now() + 400
  run(prepare()) // tables and compiled code are not part of the operation
  while (samples.length < 3 || (samples.length < 25 && performance.now() < until)) {
    const input = prepare()
    const start = performance.now()
    run(input)
    samples.push(performance.now() - start)
  }
  samples.sort((a, b) => a - b)
  return samples[samples.length >> 1] ?? NaN
}

const nothing = (): undefined => undefined

function sum(parts: readonly number[]): number {
  return parts.reduce((total, part) => total + part, 0)
}

function measureOwn(seeds: readonly string[], backend: CurveBackend): Timings {
  const keys = seeds.map((seed) => SecretKey.fromBytes(bytesOf(seed), backend))
  const publicKeys = keys.map((key) => key.publicKey)
  const aggregate = aggregateKeys(publicKeys, backend).taproot(undefined)
  let drawn = 0
  const entropy = (): Uint8Array => bytesOf(`entropy ${drawn++}`)
  const draw = (secretKey: SecretKey): ReturnType<typeof generateNonce> =>
    generateNonce({ secretKey, aggregate, message, entropy })
  const members = keys.map((key) => ({ key, nonce: draw(key) }))
  const [me] = members
  if (me === undefined) throw new RangeError('no signers')
  const nonces = members.map(({ nonce }) => nonce.public)
  const aggregatedNonce = aggregateNonces(nonces, [], backend)
  const session = openSession({ aggregate, message, aggregatedNonce })
  const partials = members.map(({ key, nonce }, signer) => ({
    signer,
    signature: session.sign(nonce.secret, key),
    publicNonce: nonce.public,
    publicKey: key.publicKey,
  }))
  const mine = partials.slice(0, 1)
  const crooked = partials.map((partial, i) => (i === 1 ? { ...partial, signature: bytesOf('lie') } : partial))

  const timings = {
    'aggregate keys': time(
      () => new KeyAggregator(backend),
      (aggregator) => aggregator.aggregate(publicKeys).taproot(undefined),
    ),
    'generate a nonce': time(nothing, () => draw(me.key)),
    'aggregate nonces': time(nothing, () => aggregateNonces(nonces, [], backend)),
    'set up a session': time(nothing, () => openSession({ aggregate, message, aggregatedNonce })),
    sign: time(
      () => draw(me.key).secret,
      (nonce) => session.sign(nonce, me.key),
    ),
    'verify one partial signature': time(nothing, () => mine.every((partial) => session.verifyPartial(partial))),
    'combine and verify': time(nothing, () => combineOrBlame({ session, partials })),
    'find a culprit': time(nothing, () => combineOrBlame({ session, partials: crooked })),
  }
  return { ...timings, 'coordinator, whole session': coordinator(timings) }
}

/** What one signature costs who coordinates it and signs, too; keys have been aggregated. */
const coordinator = (timings: Omit<Timings, 'coordinator, whole session'>): number =>
  sum([
    timings['generate a nonce'],
    timings['aggregate nonces'],
    timings['set up a session'],
    timings.sign,
    timings['combine and verify'],
  ])

function measureScure(seeds: readonly string[]): Timings {
  const secrets = seeds.map(bytesOf)
  const unsorted = secrets.map((secret) => scure.IndividualPubkey(secret))
  const publicKeys = sortKeys(unsorted)
  const order = publicKeys.map((key) => unsorted.findIndex((each) => each === key))
  const inOrder = order.map((index) => secrets[index] ?? new Uint8Array(0))
  const untweaked = scure.keyAggExport(scure.keyAggregate(publicKeys))
  const tweaks = [taggedHash('TapTweak', untweaked)]
  const xonly = [true]
  const output = scure.keyAggExport(scure.keyAggregate(publicKeys, tweaks, xonly))
  const draw = (index: number): scure.Nonces =>
    scure.nonceGen(publicKeys[index] ?? output, inOrder[index] ?? output, output, message)
  const members = publicKeys.map((_, i) => draw(i))
  const nonces = members.map((nonce) => nonce.public)
  const aggregatedNonce = scure.nonceAggregate(nonces)
  const open = (): scure.Session => new scure.Session(aggregatedNonce, publicKeys, message, tweaks, xonly)
  const session = open()
  const sign = (nonce: scure.Nonces, index: number): Uint8Array =>
    session.sign(nonce.secret, inOrder[index] ?? output, true)
  const partials = members.map((nonce, i) => sign(nonce, i))
  const [first] = partials
  const finish = (): boolean => {
    const signature = session.partialSigAgg(partials)
    return verifySchnorr({ signature, message, publicKey: output }, nobleBackend())
  }

  const timings = {
    'aggregate keys': time(nothing, () => scure.keyAggregate(publicKeys, tweaks, xonly)),
    'generate a nonce': time(nothing, () => draw(0)),
    'aggregate nonces': time(nothing, () => scure.nonceAggregate(nonces)),
    'set up a session': time(nothing, open),
    sign: time(
      () => draw(0),
      (nonce) => sign(nonce, 0),
    ),
    'verify one partial signature': time(nothing, () => session.partialSigVerify(first ?? output, nonces, 0)),
    'combine and verify': time(nothing, finish),
  }
  // Looking at each partial signature takes N times the one above; not run, it would take seconds.
  const culprit = timings['combine and verify'] + seeds.length * timings['verify one partial signature']
  const all = { ...timings, 'find a culprit': culprit }
  return { ...all, 'coordinator, whole session': coordinator(all) }
}

/** Rows by number of signers, then by operation. About six seconds for each number. */
export function benchSigning(signerCounts: readonly number[] = [8, 32, 64, 127]): SigningRow[] {
  return signerCounts.flatMap((signers) => {
    const seeds = Array.from({ length: signers }, (_, i) => `signer ${i}`)
    const own = measureOwn(seeds, defaultBackend())
    const noble = measureOwn(seeds, nobleBackend())
    const theirs = measureScure(seeds)
    return (Object.keys(own) as SigningOperation[]).map((operation) => ({
      signers,
      operation,
      own: own[operation],
      noble: noble[operation],
      scure: theirs[operation],
    }))
  })
}
