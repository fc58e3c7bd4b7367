import { list, parseOptions, text, value, type OptionsInput } from "../../lib/options.ts"
import { subjectLine, type AlertChannel, type Notification } from "./channel.ts"

/** What of a nodemailer transport is used; anything with this function will do. */
export interface MailTransport {
  sendMail(mail: {
    from: string
    to: string[]
    subject: string
    text: string
    messageId: string
    headers: Record<string, string>
  }): Promise<unknown>
}

export const emailOptions = {
  /** Unique among the channels. */
  name: text({ default: "email", doc: "Unique among the channels." }),
  /** `nodemailer.createTransport("smtps://user:password@mail.example.com")`. */
  transport: value<MailTransport>({
    type: "transport",
    required: true,
    doc: '`nodemailer.createTransport("smtps://user:password@mail.example.com")`.',
    check: (given) =>
      typeof (given as MailTransport | undefined)?.sendMail === "function"
        ? undefined
        : "must be a transport of nodemailer, or another object with sendMail(mail)",
  }),
  /** Sender. */
  from: text({ required: true, doc: "Sender." }),
  /** Recipients. */
  to: list(text({ doc: "A recipient." }), { required: true, min: 1, doc: "Recipients." }),
}

export type EmailOptions = OptionsInput<typeof emailOptions>

/** @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION. */
export function email(given: EmailOptions): AlertChannel {
  const { name, transport, from, to } = parseOptions("email", emailOptions, given, { smtp: "transport" })
  return {
    name,
    async send(notification, { id }) {
      await transport.sendMail({
        from,
        to: [...to],
        subject: subjectLine(notification).replaceAll(/\s+/g, " ").slice(0, 200),
        text: textOf(notification),
        messageId: `<${id}@millrace>`, // the same at every attempt: mail programs show it once
        headers: { "Auto-Submitted": "auto-generated" },
      })
    },
  }
}

function textOf({ kind, event, schema }: Notification): string {
  const { rule, subject, severity, text: what, beganAt, resolvedAt } = event
  const lines = {
    Rule: rule,
    Subject: subject,
    Severity: severity,
    Installation: schema,
    Since: beganAt.toISOString(),
    ...(resolvedAt && { Until: resolvedAt.toISOString() }),
    Alert: event.id,
  }
  const rest = Object.entries(lines).map(([label, value]) => `${label}: ${value}`)
  return [what, kind === "resolved" ? "\nIt is over." : "", "", ...rest, ""].join("\n")
}
