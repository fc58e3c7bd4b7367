import { Dialog } from "../ui/dialog.tsx"
import { entries, lowerEntries } from "./pages.ts"

const groups: readonly [string, readonly (readonly [string, string])[]][] = [
  ["Go to", [...entries, ...lowerEntries].map(({ letter, title }) => [`g ${letter}`, title] as const)],
  [
    "Anywhere",
    [
      ["/", "Search"],
      ["Ctrl K", "Palette"],
      ["t", "Light or dark"],
      ["p", "Hold or go on with live news"],
      ["?", "This page"],
    ],
  ],
  [
    "Lists",
    [
      ["j k", "Down and up"],
      ["x", "Select"],
      ["X", "Select as far as here"],
      ["Enter", "Open"],
      ["o", "Panel beside the list"],
      ["Esc", "Close, or clear the selection"],
    ],
  ],
  [
    "A job",
    [
      ["r", "Retry"],
      ["n", "Run now"],
      ["c", "Cancel"],
      ["e", "Edit"],
      ["d", "Delete"],
      ["v", "Compare with another run"],
      ["y", "Copy its id"],
    ],
  ],
]

export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard shortcuts" wide onClose={onClose}>
      <div className="shortcuts">
        {groups.map(([title, keys]) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl>
              {keys.map(([key, text]) => (
                <div key={key}>
                  <dt>
                    {key.split(" ").map((each) => (
                      <kbd key={each}>{each}</kbd>
                    ))}
                  </dt>
                  <dd>{text}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  )
}
