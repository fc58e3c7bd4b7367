// Something for a job to make: an invoice as HTML, in about two microseconds a line.

const money = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" })
const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" }

export function invoice(id: number, lines: number): string {
  let sum = 0
  let rows = ""
  for (let line = 1; line <= lines; line++) {
    const amount = 1 + (line % 7)
    const cents = ((id + line) * 3_719) % 100_000
    sum += amount * cents
    rows += `<tr>${[line, `Part <${line}>`, amount, price(cents), price(amount * cents)].map(cell).join("")}</tr>\n`
  }
  return `<h1>Invoice ${id}</h1>\n<table>\n${rows}</table>\n<p>${price(sum)}</p>\n`
}

const price = (cents: number): string => money.format(cents / 100)

const cell = (value: string | number): string =>
  `<td>${String(value).replaceAll(/[&<>]/g, (one) => entities[one]!)}</td>`
