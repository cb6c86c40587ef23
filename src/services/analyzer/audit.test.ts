import { openEmbedded } from './analyzer.fixture.ts'
import { auditContract } from './audit.contract.ts'
import { openFlow, openSqliteDatabase } from './audit.fixture.ts'

const open = async (partitions: number, byHttp: boolean) =>
  openFlow(await openEmbedded(partitions), await openSqliteDatabase(), { byHttp })

auditContract('the embedded log and SQLite, in one process', () => open(1, false))
auditContract('three partitions and SQLite, by HTTP', () => open(3, true), { live: true })
