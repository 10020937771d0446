/**
 * What every store owes (store/port.ts), as tests. A new store passes them before it may hold anybody's funds.
 */
import { FactoryError } from '@ln-factory/tlv'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { Batch, FactoryStore, SignRecord } from '../../src/store/index.js'
import type { SpendClass } from '../../src/tree/types.js'
import { instanceId, txid, type InstanceId } from '../../src/units/index.js'

/** One store under test, with the means to restart it. */
export interface StoreUnderTest {
  store(): FactoryStore
  /** Close and open again, as a new process would. */
  restart(): void
  dispose(): void
}

export const instance = (n: number): InstanceId => instanceId(n.toString(16).padStart(64, '0'))
export const bytes = (n: number, length = 32): Uint8Array => new Uint8Array(length).fill(n)

export function signed(outpoint: number, sighash: number, more: Partial<SignRecord> = {}): SignRecord {
  const base = { class: 'child', index: 0, rule: 'once' } as const
  return { outpoint: { txid: txid('ab'.repeat(32)), vout: outpoint }, sighash: bytes(sighash), ...base, ...more }
}

export function batch(n: number, more: Partial<Batch> = {}): Batch {
  return { instance: instance(n), role: 'lsp', records: [], items: [], log: [], ...more }
}

/** The code of the FactoryError that `run` throws; undefined when it throws nothing. */
export function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    if (error instanceof FactoryError) return error.code
    throw error
  }
}

export function storeConformance(name: string, open: (clock: () => number) => StoreUnderTest): void {
  describe(`store conformance: ${name}`, () => {
    const opened: StoreUnderTest[] = []
    let now = 1_700_000_000
    const fresh = (): StoreUnderTest => {
      const t = open(() => now)
      opened.push(t)
      return t
    }
    afterEach(() => {
      for (const t of opened.splice(0)) t.dispose()
    })
    const sign = (t: StoreUnderTest, ...records: SignRecord[]): string | undefined =>
      codeOf(() => {
        t.store().commit(batch(1, { records }))
      })

    it('keeps states, items, settings and the log across a restart', () => {
      const t = fresh()
      t.store().commit(
        batch(2, {
          state: '{"a":1}',
          role: 'client',
          items: [{ key: 'sig/leaf:3', value: bytes(7, 64) }],
          log: [{ kind: 'signed', text: 'leaf:3' }],
        }),
      )
      t.store().setSetting('policy', 'ask')
      t.restart()
      expect(t.store().machines()).toEqual([{ instance: instance(2), role: 'client', state: '{"a":1}' }])
      expect(t.store().item(instance(2), 'sig/leaf:3')).toEqual(bytes(7, 64))
      expect(t.store().setting('policy')).toBe('ask')
      expect(t.store().log({})).toEqual([{ seq: 1, time: now, instance: instance(2), kind: 'signed', text: 'leaf:3' }])
    })

    it('replaces a state, and leaves it when a batch brings none', () => {
      const t = fresh()
      t.store().commit(batch(1, { state: 'one' }))
      t.store().commit(batch(2, { state: 'two' }))
      t.store().commit(batch(1, { state: 'three' }))
      t.store().commit(batch(2))
      t.store().commit(batch(3))
      expect(
        t
          .store()
          .machines()
          .map((m) => m.state),
      ).toEqual(['three', 'two'])
    })

    it('refuses a second role for an instance', () => {
      const t = fresh()
      t.store().commit(batch(1, { state: 'mine' }))
      const theirs = batch(1, { role: 'client', state: 'theirs' })
      expect(
        codeOf(() => {
          t.store().commit(theirs)
        }),
      ).toBe('duplicate_instance')
      expect(t.store().machines()).toEqual([{ instance: instance(1), role: 'lsp', state: 'mine' }])
    })

    it('invariant 4: signs one sighash where the rule is `once`, whatever the index', () => {
      const t = fresh()
      expect(sign(t, signed(0, 1))).toBeUndefined()
      expect(sign(t, signed(0, 1))).toBeUndefined()
      expect(sign(t, signed(0, 1, { index: 5 }))).toBeUndefined()
      expect(sign(t, signed(0, 2))).toBe('signing_conflict')
      expect(sign(t, signed(0, 2, { index: 5 }))).toBe('signing_conflict')
      expect(sign(t, signed(1, 2)), 'another output').toBeUndefined()
      expect(sign(t, signed(0, 2, { class: 'distribution' })), 'another class').toBeUndefined()
      expect(sign(t, signed(0, 2, { outpoint: { txid: txid('ac'.repeat(32)), vout: 0 } }))).toBeUndefined()
    })

    it('invariant 4: lets indices only grow where the rule is `increasing`', () => {
      const t = fresh()
      const state = (index: number, sighash: number) => signed(0, sighash, { index, rule: 'increasing' })
      expect(sign(t, state(1, 11))).toBeUndefined()
      expect(sign(t, state(3, 13))).toBeUndefined()
      expect(sign(t, state(2, 12)), 'between').toBe('signing_conflict')
      expect(sign(t, state(0, 10)), 'before').toBe('signing_conflict')
      expect(sign(t, state(3, 14)), 'other sighash').toBe('signing_conflict')
      expect(sign(t, state(1, 11)), 'the same again').toBeUndefined()
      expect(sign(t, state(4, 14))).toBeUndefined()
    })

    it('invariant 4: fixes the rule with the first record', () => {
      const t = fresh()
      expect(sign(t, signed(0, 1))).toBeUndefined()
      expect(sign(t, signed(0, 2, { index: 1, rule: 'increasing' }))).toBe('signing_conflict')
      expect(sign(t, signed(1, 1, { rule: 'increasing' }))).toBeUndefined()
      expect(sign(t, signed(1, 1))).toBe('signing_conflict')
    })

    it('invariant 4: refuses across instances and restarts', () => {
      const t = fresh()
      expect(sign(t, signed(0, 1))).toBeUndefined()
      t.restart()
      const other = batch(2, { role: 'client', records: [signed(0, 2)] })
      expect(
        codeOf(() => {
          t.store().commit(other)
        }),
      ).toBe('signing_conflict')
      t.restart()
      expect(sign(t, signed(0, 2))).toBe('signing_conflict')
      expect(sign(t, signed(0, 1))).toBeUndefined()
    })

    it('writes nothing of a batch whose last record conflicts', () => {
      const t = fresh()
      t.store().commit(batch(1, { state: 'before', records: [signed(0, 1)], items: [{ key: 'k', value: bytes(1) }] }))
      const bad = batch(1, {
        state: 'after',
        records: [signed(1, 1), signed(2, 1), signed(0, 2)],
        items: [{ key: 'k', value: bytes(2) }],
        log: [{ kind: 'signed', text: 'no' }],
      })
      expect(
        codeOf(() => {
          t.store().commit(bad)
        }),
      ).toBe('signing_conflict')
      const within = batch(9, { state: 'new', records: [signed(3, 1), signed(3, 2)] })
      expect(
        codeOf(() => {
          t.store().commit(within)
        }),
        'within one batch',
      ).toBe('signing_conflict')
      t.restart()
      expect(
        t
          .store()
          .machines()
          .map((m) => m.state),
      ).toEqual(['before'])
      expect(t.store().item(instance(1), 'k')).toEqual(bytes(1))
      expect(t.store().log({})).toEqual([])
      // Records of the refused batches did not stay either: another sighash is free to be signed.
      for (const vout of [1, 2, 3]) expect(sign(t, signed(vout, 9))).toBeUndefined()
    })

    it('invariant 11: refuses malformed records, keys and filters', () => {
      const t = fresh()
      const bad: Partial<Batch>[] = [
        { records: [signed(0, 1, { sighash: bytes(1, 31) })] },
        { records: [signed(0, 1, { index: -1 })] },
        { records: [signed(0, 1, { index: 0.5 })] },
        { records: [signed(-1, 1)] },
        { records: [signed(2 ** 32, 1)] },
        { items: [{ key: '', value: bytes(1) }] },
        { items: [{ key: 'a'.repeat(201), value: bytes(1) }] },
        { items: [{ key: 'é', value: bytes(1) }] },
      ]
      for (const more of bad) {
        expect(
          codeOf(() => {
            t.store().commit(batch(1, { state: 's', ...more }))
          }),
        ).toBe('bad_parameter')
      }
      expect(codeOf(() => t.store().log({ limit: -1 }))).toBe('bad_parameter')
      expect(codeOf(() => t.store().log({ after: 0.5 }))).toBe('bad_parameter')
      expect(t.store().machines()).toEqual([])
    })

    it('lists items by prefix, in key order, of one instance', () => {
      const t = fresh()
      const items = ['sig/b', 'sig/a~', 'sig/a', 'sig', 'sih', 'sig/%', 'SIG/a'].map((key, i) => ({
        key,
        value: bytes(i),
      }))
      t.store().commit(batch(1, { items }))
      t.store().commit(batch(2, { items: [{ key: 'sig/z', value: bytes(9, 0) }] }))
      const keys = (prefix: string) =>
        t
          .store()
          .items(instance(1), prefix)
          .map((i) => i.key)
      expect(keys('sig/')).toEqual(['sig/%', 'sig/a', 'sig/a~', 'sig/b'])
      expect(keys('sig/a')).toEqual(['sig/a', 'sig/a~'])
      expect(keys('')).toHaveLength(7)
      expect(keys('%')).toEqual([])
      expect(t.store().items(instance(2), '')).toEqual([{ key: 'sig/z', value: bytes(9, 0) }])
      expect(t.store().item(instance(1), 'sig/z')).toBeUndefined()
    })

    it('does not share memory with its callers', () => {
      const t = fresh()
      // Buffers, whose slices share memory too.
      const value = Buffer.from(bytes(1))
      const sighash = Buffer.from(bytes(1))
      t.store().commit(batch(1, { items: [{ key: 'k', value }], records: [signed(0, 0, { sighash })] }))
      value.fill(2)
      sighash.fill(2)
      t.store().item(instance(1), 'k')?.fill(3)
      expect(t.store().item(instance(1), 'k')).toEqual(bytes(1))
      expect(sign(t, signed(0, 2))).toBe('signing_conflict')
    })

    it('pages through the log, of all instances or of one', () => {
      const t = fresh()
      for (let i = 1; i <= 6; i++) {
        now += 10
        t.store().commit(batch(i % 2, { log: [{ kind: 'state', text: `line ${i}` }] }))
      }
      const texts = (filter: Parameters<FactoryStore['log']>[0]) =>
        t
          .store()
          .log(filter)
          .map((l) => l.text)
      expect(texts({ limit: 2 })).toEqual(['line 1', 'line 2'])
      expect(texts({ after: 2, limit: 2 })).toEqual(['line 3', 'line 4'])
      expect(texts({ instance: instance(1) })).toEqual(['line 1', 'line 3', 'line 5'])
      expect(texts({ instance: instance(1), after: 3 })).toEqual(['line 5'])
      expect(texts({ limit: 0 })).toEqual([])
      expect(
        t
          .store()
          .log({ after: 5 })
          .map((l) => l.time),
      ).toEqual([now])
    })

    it('does nothing more after close', () => {
      const t = fresh()
      const store = t.store()
      store.close()
      store.close()
      expect(
        codeOf(() => {
          store.commit(batch(1))
        }),
      ).toBe('internal')
      expect(codeOf(() => store.machines())).toBe('internal')
      expect(
        codeOf(() => {
          store.setSetting('a', 'b')
        }),
      ).toBe('internal')
    })

    it('invariant 4: agrees with a model over any order of commits and restarts', () => {
      const outcomes = new Set<string>()
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
          const t = open(() => now)
          try {
            const model = new Model()
            for (const op of operations) {
              if (op === 'restart') {
                t.restart()
                continue
              }
              const outcome = codeOf(() => {
                t.store().commit(op)
              })
              expect(outcome).toBe(model.commit(op))
              outcomes.add(outcome ?? 'signed')
            }
            expect(t.store().machines()).toEqual(model.machines())
            expect(
              t
                .store()
                .log({})
                .map((l) => l.text),
            ).toEqual(model.lines)
          } finally {
            t.dispose()
          }
        }),
        { numRuns: 60 },
      )
      expect([...outcomes].sort()).toEqual(['duplicate_instance', 'signed', 'signing_conflict'])
    })
  })
}

/** Few outpoints, indices and sighashes, so that most batches meet an earlier one. */
const record = fc.record({
  vout: fc.nat(3),
  class: fc.constantFrom<SpendClass>('child', 'cooperative'),
  index: fc.nat(4),
  sighash: fc.nat(2),
  odd: fc.integer({ min: 0, max: 9 }),
})
const operation: fc.Arbitrary<Batch | 'restart'> = fc.oneof(
  { weight: 1, arbitrary: fc.constant('restart' as const) },
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.nat(2), fc.nat(9), fc.array(record, { maxLength: 3 }), fc.option(fc.string(), { nil: undefined }))
      .map(([n, role, records, state]) =>
        batch(n, {
          role: role === 0 ? 'client' : 'lsp',
          state,
          records: records.map((r) => {
            // Mostly one rule per output, as machines do; sometimes the other one.
            const increasing = (r.vout % 2 === 0) !== (r.odd === 0)
            return signed(r.vout, r.sighash + (increasing ? r.index * 3 : 0), {
              class: r.class,
              index: r.index,
              rule: increasing ? 'increasing' : 'once',
            })
          }),
          log: [{ kind: 'state', text: state ?? '-' }],
        }),
      ),
  },
)

/** The port's words as plainly as they can be written: per outpoint and class, the list of what was signed. */
class Model {
  #records: SignRecord[] = []
  readonly #machines = new Map<InstanceId, { role: Batch['role']; state: string | undefined }>()
  readonly lines: string[] = []

  commit(b: Batch): string | undefined {
    const known = this.#machines.get(b.instance)
    if (known !== undefined && known.role !== b.role) return 'duplicate_instance'
    const before = [...this.#records]
    for (const r of b.records) {
      const same = this.#records.filter((o) => o.outpoint.vout === r.outpoint.vout && o.class === r.class)
      const allowed =
        same.every((o) => o.rule === r.rule) &&
        (r.rule === 'once'
          ? same.every((o) => o.sighash[0] === r.sighash[0])
          : same.some((o) => o.index === r.index)
            ? same.every((o) => o.index !== r.index || o.sighash[0] === r.sighash[0])
            : same.every((o) => o.index < r.index))
      if (!allowed) {
        this.#records = before
        return 'signing_conflict'
      }
      this.#records.push(r)
    }
    this.#machines.set(b.instance, { role: b.role, state: b.state ?? known?.state })
    this.lines.push(...b.log.map((l) => l.text))
    return undefined
  }

  machines(): { instance: InstanceId; role: Batch['role']; state: string }[] {
    return [...this.#machines].flatMap(([id, { role, state }]) =>
      state === undefined ? [] : [{ instance: id, role, state }],
    )
  }
}
