import { Button } from "./button.tsx"
import { say } from "./toast.tsx"

export async function copy(text: string, what = "Copied"): Promise<void> {
  try {
    await navigator.clipboard.writeText(text)
    say(what)
  } catch {
    say("The browser does not allow copying here.")
  }
}

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  return <Button small icon="copy" kind="ghost" label={label} onClick={() => void copy(text)} />
}

export function Code({ children, label = "Copy" }: { children: string; label?: string }) {
  return (
    <div className="code">
      <pre tabIndex={0}>{children}</pre>
      <CopyButton text={children} label={label} />
    </div>
  )
}
