import { openEmbedded } from './analyzer.fixture.ts'
import { deadLettersContract } from './dead-letters.contract.ts'

deadLettersContract('the embedded log', () => openEmbedded(1))
deadLettersContract('the embedded log in three partitions', () => openEmbedded(3))
