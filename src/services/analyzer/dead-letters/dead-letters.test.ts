import { openEmbedded } from '../testing/analyzer.fixture.ts'
import { deadLettersContract } from '../testing/dead-letters.contract.ts'

deadLettersContract('the embedded log', () => openEmbedded(1))
deadLettersContract('the embedded log in three partitions', () => openEmbedded(3))
