import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  FactoryNetwork,
  Lightningd,
  PLUGIN,
  SHORT_DELAYS,
  until,
  type LightningParams,
  type ListedFactory,
} from '../src/network/index.js'
import { describeWithLightningd } from './gate.js'

const OTHER_PROTOCOL = fileURLToPath(new URL('../faults/other-protocol.mjs', import.meta.url))
const NOBODY = '02'.padEnd(66, 'a')
const UNKNOWN = 'ab'.repeat(32)

/** Name and number of our error codes, as docs/rpc.md lists them. */
const CODES = {
  bad_parameter: -32602,
  host_failed: 5600,
  early_warning_unpayable: 5611,
  policy_refused: 5620,
  peer_silent: 5623,
  peer_offline: 5624,
  peer_unsupported: 5625,
  peer_other_protocol: 5626,
  unknown_instance: 5631,
  wrong_state: 5632,
  aborted: 5633,
  insufficient_funds: 5634,
} as const

interface Invitation {
  readonly instance_id: string
  readonly lsp: string
  readonly capacity_sat: number
}

describeWithLightningd('errors that an operator meets', () => {
  let net: FactoryNetwork
  let lsp: Lightningd
  let client: Lightningd
  let undecided: Lightningd
  let bare: Lightningd
  let other: Lightningd

  beforeAll(async () => {
    net = await FactoryNetwork.start(1, { lspSats: 5_000_000 })
    lsp = net.lsp
    ;[client] = net.clients as [Lightningd]
    // It accepts nobody by itself.
    ;[undecided] = (await net.network.add(['undecided'], { plugin: PLUGIN, options: SHORT_DELAYS })) as [Lightningd]
    ;[bare] = (await net.network.add(['bare'])) as [Lightningd]
    ;[other] = (await net.network.add(['other'], { plugin: OTHER_PROTOCOL })) as [Lightningd]
    await net.connectAll([client, undecided])
  })
  afterAll(() => (net as FactoryNetwork | undefined)?.stop())

  async function refused(
    node: Lightningd,
    method: string,
    params: LightningParams,
    code: keyof typeof CODES,
    says: string | RegExp,
  ): Promise<void> {
    const error: unknown = await node.call(method, params).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toMatchObject({ code: CODES[code], data: { code }, message: expect.stringMatching(says) as string })
  }

  const request = (node: Pick<Lightningd, 'id'>, more: Record<string, unknown> = {}): Record<string, unknown> => ({
    clients: [node.id],
    capacity: 100_000,
    lifetime: 500,
    ...more,
  })

  const factories = async (node: Lightningd): Promise<ListedFactory[]> =>
    ((await node.call('factory-list')) as unknown as { factories: ListedFactory[] }).factories

  const reserved = async (): Promise<number> => {
    const { outputs } = await lsp.call('listfunds')
    return outputs.filter((o) => o.reserved).length
  }

  describe('invariant 11: wrong parameters', () => {
    it.each<[string, LightningParams, RegExp]>([
      ['factory-create', {}, /clients/],
      ['factory-create', { clients: [] }, /at least one client/],
      ['factory-create', { clients: ['02'], capacity: 100_000 }, /clients/],
      ['factory-create', { clients: [NOBODY] }, /no capacity/],
      ['factory-create', { clients: [NOBODY, NOBODY], capacity: 100_000 }, /twice/],
      ['factory-create', { clients: [NOBODY], capacity: 'much' }, /capacity/],
      ['factory-create', { clients: [NOBODY], capacity: -1 }, /capacity/],
      ['factory-create', { clients: [NOBODY], capacity: 100_000, push_msat: 100_000_001 }, /push_msat/],
      ['factory-create', { clients: [NOBODY], capacity: 100_000, lifetime: 10 }, /lifetime of 10 blocks is too short/],
      ['factory-create', { clients: [NOBODY], capacity: 100_000, arity: 9 }, /arity/],
      ['factory-create', { clients: [NOBODY], capacity: 100_000, nonsense: 1 }, /no parameter is called "nonsense"/],
      ['factory-create', [[NOBODY], ...Array.from({ length: 14 }, () => null)], /15 parameters/],
      ['factory-list', { phase: 'sleeping' }, /phase/],
      ['factory-show', {}, /instance_id/],
      ['factory-show', ['abcd'], /instance_id/],
      ['factory-join', { accept: true }, /instance_id is missing/],
      ['factory-join', { instance_id: UNKNOWN, reason: 'no' }, /accept=false/],
      ['factory-policy', { max_capacity: '1sat' }, /min_capacity would be more/],
      ['factory-policy', { accept_from: ['me'] }, /accept_from/],
      ['factory-invoice', { amount_msat: 0, label: 'a', description: 'b' }, /any/],
      ['factory-pay', { bolt11: 'lnbcrt1nonsense' }, /bolt11/],
      ['factory-close', {}, /instance_id/],
      ['factory-log', { limit: 0 }, /limit/],
      ['factory-help', ['nothing'], /no command is called "nothing"/],
    ])('%s %j', async (method, params, says) => {
      await refused(lsp, method, params, 'bad_parameter', says)
    })

    it('are found by `check`, which does nothing', async () => {
      const check = (more: Record<string, unknown>): LightningParams => ({
        command_to_check: 'factory-create',
        ...request(client),
        ...more,
      })
      expect(await lsp.call('check', check({}))).toMatchObject({ command_to_check: 'factory-create' })
      await refused(lsp, 'check', check({ arity: 9 }), 'bad_parameter', /arity/)
      expect(await factories(lsp)).toEqual([])
    })
  })

  it.each(['factory-show', 'factory-close', 'factory-exit', 'factory-abort', 'factory-join'])(
    'unknown instance: %s',
    async (method) => {
      await refused(lsp, method, { instance_id: UNKNOWN }, 'unknown_instance', UNKNOWN)
    },
  )

  describe('peers that can’t join', () => {
    it('not connected', async () => {
      await refused(lsp, 'factory-create', request({ id: NOBODY }), 'peer_offline', NOBODY)
    })

    it('without the feature bit', async () => {
      await lsp.connect(bare)
      await refused(lsp, 'factory-create', request(bare), 'peer_unsupported', /feature bit 271/)
      // Our message type is even: it would have hung up on it.
      const { peers } = await lsp.call('listpeers')
      expect(peers.find(({ id }) => id === bare.id)?.connected).toBe(true)
    })

    it('with another factory protocol, which is named', async () => {
      await lsp.connect(other)
      await until(
        async () => {
          const { peers } = (await lsp.call('factory-peers')) as { peers: { id: string; names: string[] }[] }
          return peers.some((p) => p.id === other.id && p.names.includes('SuperScalar/v1'))
        },
        { what: 'the announcement of the other protocol' },
      )
      const { peers } = (await lsp.call('factory-peers')) as { peers: { id: string; protocol: string }[] }
      expect(peers.find(({ id }) => id === other.id)).toMatchObject({ connected: true, protocol: 'other' })
      await refused(lsp, 'factory-create', request(other), 'peer_other_protocol', /SuperScalar\/v1/)
    })

    it('this node itself', async () => {
      await refused(lsp, 'factory-create', request(lsp), 'bad_parameter', /no client of its own/)
    })
  })

  describe('what the ceremony ends with', () => {
    it('a wallet that can’t pay', async () => {
      await refused(lsp, 'factory-create', request(client, { capacity: 50_000_000 }), 'insufficient_funds', /fund/)
      expect(await reserved()).toBe(0)
    })

    it('a tree whose exit is too slow for payers', async () => {
      const slow = { states: 8, step: 144, lifetime: 5000 }
      await refused(lsp, 'factory-create', request(client, slow), 'early_warning_unpayable', /W/)
    })

    it.each<[string, Record<string, unknown>, RegExp]>([
      ['a channel larger than the client wants', { capacity: '1.1btc' }, /capacity/],
      ['a channel smaller than the client wants', { capacity: 50_000 }, /capacity/],
      ['a lifetime that is too short', { lifetime: 200 }, /lifetime|expir/],
      ['a lifetime that is too long', { lifetime: 30_000 }, /lifetime|expir/],
      ['a tree that is too dear', { feerate: 20_000 }, /feerate/],
    ])('%s', async (_, more, says) => {
      await client.call('factory-policy', { min_capacity: 60_000, min_lifetime: 300 })
      const before = await factories(client)
      await refused(lsp, 'factory-create', request(client, more), 'policy_refused', says)
      await refused(lsp, 'factory-create', request(client, more), 'policy_refused', client.id)
      expect(await reserved()).toBe(0)
      expect(await factories(client)).toEqual(before)
    })
  })

  describe('consent of the client’s operator', () => {
    /** Invites, and waits until the client's operator sees it. */
    async function invite(more: Record<string, unknown> = {}) {
      const created = lsp.call('factory-create', request(undecided, more)).then(
        (made) => ({ made, error: undefined }),
        (error: unknown) => ({ made: undefined, error }),
      )
      const invitation = await until(
        async () => {
          const { invitations } = (await undecided.call('factory-join')) as unknown as { invitations: Invitation[] }
          return invitations[0]
        },
        { what: 'the invitation' },
      )
      return { created, invitation }
    }

    const withdrawn = (): Promise<boolean> =>
      until(
        async () => {
          const { invitations } = (await undecided.call('factory-join')) as unknown as { invitations: Invitation[] }
          return invitations.length === 0
        },
        { what: 'the invitation to be withdrawn' },
      )

    it('refuses, with words that reach the LSP', async () => {
      const { created, invitation } = await invite()
      expect(invitation).toMatchObject({ lsp: lsp.id, capacity_sat: 100_000 })
      const { instance_id } = invitation
      await undecided.call('factory-join', { instance_id, accept: false, reason: 'not this month' })
      const { error } = await created
      expect(error).toMatchObject({
        code: CODES.policy_refused,
        message: expect.stringMatching(/not this month/) as string,
      })
      expect(await undecided.call('factory-join')).toMatchObject({ invitations: [] })
      // What was refused is not kept.
      await refused(undecided, 'factory-join', { instance_id }, 'unknown_instance', instance_id)
      expect(await factories(undecided)).toEqual([])
    })

    it('says nothing: the LSP names who was silent, and the invitation is gone', async () => {
      const { created } = await invite({ step_timeout: 3 })
      const { error } = await created
      expect(error).toMatchObject({ code: CODES.peer_silent, message: expect.stringMatching(undecided.id) as string })
      await withdrawn()
    })

    it('is withdrawn by the LSP', async () => {
      const { created, invitation } = await invite()
      await lsp.call('factory-abort', { instance_id: invitation.instance_id, reason: 'changed our mind' })
      expect((await created).error).toMatchObject({
        code: CODES.aborted,
        message: expect.stringMatching(/changed our mind/) as string,
      })
      await withdrawn()
      await refused(lsp, 'factory-abort', { instance_id: invitation.instance_id }, 'wrong_state', /aborted/)
    })

    it('accepts', async () => {
      const { created, invitation } = await invite()
      const { instance_id } = invitation
      await undecided.call('factory-join', { instance_id })
      const { made } = await created
      expect(made).toMatchObject({ instance_id })
      await refused(lsp, 'factory-abort', { instance_id }, 'wrong_state', /confirming/)
      await net.network.mine(1)
      await net.inPhase(instance_id, 'active', [lsp, undecided])
      await refused(undecided, 'factory-close', { instance_id }, 'wrong_state', /only the LSP/)
      await refused(undecided, 'factory-join', { instance_id }, 'wrong_state', /active/)
    })
  })

  it('factory-help explains every command', async () => {
    const { help } = (await lsp.call('factory-help')) as { help: { command: string }[] }
    const names = help.map(({ command }) => command.split(' ')[0] ?? '')
    expect(names).toContain('factory-create')
    for (const name of names) {
      const one = (await lsp.call('factory-help', [name])) as { help: { command: string; details: string[] }[] }
      expect(one.help).toMatchObject([{ command: expect.stringContaining(name) as string }])
      expect(one.help[0]?.details.length).toBeGreaterThan(0)
      await lsp.call('help', [name])
    }
  })

  it.each<[string, RegExp]>([
    ['factory-min-capacity=lots', /option factory-min-capacity/],
    ['factory-min-capacity=2btc', /factory-min-capacity.*factory-max-capacity/],
    ['factory-arity=9', /option factory-arity/],
    ['factory-accept-from=me', /option factory-accept-from/],
    ['factory-step=0', /option factory-step/],
  ])('a wrong option at start stops the node with a sentence: %s', async (option, says) => {
    const [name = '', value = ''] = option.split('=')
    const dataDir = mkdtempSync(join(tmpdir(), 'ln-factory-'))
    try {
      const started = Lightningd.start({
        bitcoind: net.network.bitcoind,
        alias: 'wrong',
        plugin: PLUGIN,
        options: { ...SHORT_DELAYS, [name]: value },
        dataDir,
      })
      await expect(started).rejects.toThrow('did not start')
      expect(readFileSync(join(dataDir, 'log'), 'utf8')).toMatch(says)
    } finally {
      rmSync(dataDir, { recursive: true })
    }
  })

  it('a plugin that is not important leaves the node without it', async () => {
    const node = await Lightningd.start({
      bitcoind: net.network.bitcoind,
      alias: 'disabled',
      plugin: PLUGIN,
      important: false,
      options: { 'factory-arity': 9 },
    })
    try {
      await expect(node.call('factory-list')).rejects.toMatchObject({ code: -32601 })
      expect(node.log()).toMatch(/option factory-arity/)
    } finally {
      await node.dispose()
    }
  })
})
