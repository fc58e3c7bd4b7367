import { useQuery } from "@tanstack/react-query"
import { listQueues } from "../api/queues.ts"
import { useTopics } from "../live/events.ts"
import { QueueTable } from "../queues/table.tsx"
import { Empty } from "../ui/empty.tsx"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"

const declareCode = `await app.declareQueue({ name: "mail", concurrency: 20 })`

export default function QueuesPage() {
  useTopics("queues")
  const data = useQuery({ queryKey: ["queues"], queryFn: listQueues })
  return (
    <Page title="Queues">
      <Await of={data}>
        {(queues) =>
          queues.length === 0 ? (
            <Card flush>
              <Empty title="No queues yet" code={declareCode}>
                Queues are declared by workers as they start, or from code.
              </Empty>
            </Card>
          ) : (
            <Card flush>
              <QueueTable queues={queues} keys />
            </Card>
          )
        }
      </Await>
    </Page>
  )
}
