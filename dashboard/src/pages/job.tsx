import { JobDetail } from "../job/detail.tsx"
import { Link } from "../router.ts"

export default function JobPage({ params }: { params: Record<string, string> }) {
  return (
    <div className="page">
      <p className="meta back">
        <Link to="/jobs">Jobs</Link>
      </p>
      <JobDetail id={params.id!} />
    </div>
  )
}
