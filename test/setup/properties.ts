import fc from 'fast-check'

// The same properties see the same cases in every run, so that a red run can be repeated and a green one means something.
// LN_FACTORY_SEED explores others: any number, or `random`.
const given = process.env['LN_FACTORY_SEED'] ?? '20261121'

if (given !== 'random') fc.configureGlobal({ seed: Number(given) })
