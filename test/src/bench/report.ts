/** Plain tables: a head line, numbers aligned to the right. */

export function table(title: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => (row[column] ?? '').length)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  return ['', title, line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

const grouped = (digits: string): string => digits.replace(/\B(?=(\d{3})+$)/g, ',')

export const integer = (value: number | bigint): string =>
  grouped((typeof value === 'bigint' ? value : Math.round(value)).toString())

/** Milliseconds; one decimal below a hundred. */
export const milliseconds = (value: number): string => (value < 99.95 ? value.toFixed(1) : integer(value))

export interface Target {
  readonly name: string
  readonly met: boolean
  readonly measured: string
}

export const targetLine = ({ name, met, measured }: Target): string =>
  `${met ? 'met   ' : 'MISSED'}  ${name}: ${measured}`
