// clightningjs ships no types. What of it is used is described in base.ts.
declare module 'clightningjs' {
  const Plugin: unknown
  export default Plugin
}
