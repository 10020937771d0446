import { backup, reconcile, restore } from './backup.js'
import type { Command } from './command.js'
import { join, policy } from './consent.js'
import { create } from './create.js'
import { economics } from './economics.js'
import { helpFor } from './help.js'
import { ladder } from './ladder.js'
import { abort, close, exit } from './leave.js'
import { rotate } from './rotate.js'
import { list, log, peers, show } from './look.js'
import { buy, sell } from './sell.js'
import { waiting } from './waiting.js'
import { invoice, pay } from '../pay/index.js'
import { watchtowerExport } from './watchtower.js'

const acting = [
  create,
  list,
  show,
  peers,
  join,
  policy,
  invoice,
  pay,
  rotate,
  buy,
  sell,
  close,
  exit,
  abort,
  log,
  ladder,
  waiting,
  economics,
  watchtowerExport,
  backup,
  restore,
  reconcile,
]

/** Every command that the plugin adds to lightningd. */
export const commands: readonly Command[] = [...acting, helpFor(acting)]

export type { Backups, Command, CommandContext, Json, JsonObject, Rpc } from './command.js'
