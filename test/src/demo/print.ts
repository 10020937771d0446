/** How the demo speaks: numbered steps, indented lines, tables. */

const write = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

let steps = 0
const started = Date.now()

export function step(title: string): void {
  const seconds = ((Date.now() - started) / 1000).toFixed(0)
  write(`\n${++steps}. ${title}  [${seconds} s]`)
}

export function say(line: string): void {
  write(`   ${line}`)
}

/** Numbers to the right, words to the left. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const cells = [head, ...rows.map((row) => row.map((cell) => (typeof cell === 'number' ? sats(cell) : cell)))]
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)))
  const numeric = head.map((_, column) => rows.some((row) => typeof row[column] === 'number'))
  for (const row of cells) {
    const padded = widths.map((width, column) => {
      const cell = row[column] ?? ''
      return numeric[column] === true ? cell.padStart(width) : cell.padEnd(width)
    })
    say(padded.join('  ').trimEnd())
  }
}

/** `1,234,567` or, where there are any, with millisatoshi: `1,234,567.891`. */
export const sats = (amount: number): string => amount.toLocaleString('en-US', { maximumFractionDigits: 3 })
