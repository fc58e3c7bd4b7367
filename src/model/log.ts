/** Any object with these four: console, pino, LogTape, winston, … Fields are a plain object. */
export interface Logger {
  debug(message: string, fields?: object): void
  info(message: string, fields?: object): void
  warn(message: string, fields?: object): void
  error(message: string, fields?: object): void
  /** Whether lines of a level go anywhere, as pino and winston tell it: what does not is not put together. */
  isLevelEnabled?(level: string): boolean
}

export type Level = "debug" | "info" | "warn" | "error"

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
  const turned = takesFieldsFirst(logger)
  const guard = (level: Level) => (message: string, fields?: object) => {
    try {
      if (turned) turned[level](fields ?? {}, message)
      else logger[level](message, fields)
    } catch {
      // A broken logger must not break a worker.
    }
  }
  const isLevelEnabled = (level: string) => {
    try {
      return logger.isLevelEnabled?.(level) !== false
    } catch {
      return true
    }
  }
  return Object.freeze({
    debug: guard("debug"),
    info: guard("info"),
    warn: guard("warn"),
    error: guard("error"),
    isLevelEnabled,
  })
}

type FieldsFirst = Record<Level, (fields: object, message: string) => void>

/**
 * pino takes fields before the message, and drops what comes behind it. It is known by a symbol that all its copies share,
 * and that its children inherit.
 */
function takesFieldsFirst(logger: Logger): FieldsFirst | undefined {
  const pino = Symbol.for("pino.serializers") in logger && typeof (logger as { child?: unknown }).child === "function"
  return pino ? (logger as unknown as FieldsFirst) : undefined
}
