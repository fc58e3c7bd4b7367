/** Any object with these four: pino, console, winston, … Fields are a plain object. */
export interface Logger {
  debug(message: string, fields?: object): void
  info(message: string, fields?: object): void
  warn(message: string, fields?: object): void
  error(message: string, fields?: object): void
}

const nothing = () => {}

export const silent: Logger = Object.freeze({ debug: nothing, info: nothing, warn: nothing, error: nothing })

/** The default: info and above, one line each, to the console. */
export const consoleLogger = (name: string): Logger => {
  const line = (write: (text: string) => void) => (message: string, fields?: object) =>
    write(`${name} ${message}${fields && Object.keys(fields).length > 0 ? ` ${JSON.stringify(fields)}` : ""}`)
  return Object.freeze({
    debug: nothing,
    info: line(console.info),
    warn: line(console.warn),
    error: line(console.error),
  })
}

/** A logger that never throws into the code that logs. */
export function guarded(logger: Logger): Logger {
  const guard = (level: keyof Logger) => (message: string, fields?: object) => {
    try {
      logger[level](message, fields)
    } catch {
      // A broken logger must not break a worker.
    }
  }
  return Object.freeze({ debug: guard("debug"), info: guard("info"), warn: guard("warn"), error: guard("error") })
}
