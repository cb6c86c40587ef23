import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type LagSample, lagTrend } from './trend.ts'

/** A sample each ten seconds. */
function samplesOf(appended: number[], lags: number[]): LagSample[] {
  return appended.map((count, i) => ({
    at: i * 10_000,
    appended: count,
    groups: [{ group: 'g', lag: lags[i] as number, lag_seconds: 0 }],
  }))
}

describe('The trend of a lag', () => {
  test('is growing where a group reads less than comes, and it never catches up', () => {
    const trend = lagTrend(samplesOf([0, 1000, 2000], [0, 500, 1000]), 'g')
    assert.deepEqual(trend, {
      trend: 'growing',
      appended_per_second: 100,
      read_per_second: 50,
      catch_up_seconds: null,
    })
  })

  test('is shrinking where a group reads more than comes, and tells when it will have caught up', () => {
    const trend = lagTrend(samplesOf([10_000, 11_000, 12_000], [9000, 6000, 3000]), 'g')
    assert.deepEqual(trend, {
      trend: 'shrinking',
      appended_per_second: 100,
      read_per_second: 400,
      catch_up_seconds: 10,
    })
  })

  test('is steady where a lag moves by no more than comes in a second', () => {
    assert.equal(lagTrend(samplesOf([0, 1000, 2000], [80, 20, 120]), 'g').trend, 'steady')
    assert.equal(lagTrend(samplesOf([7, 7, 7], [7, 7, 7]), 'g').trend, 'steady')
    assert.equal(lagTrend(samplesOf([7, 7, 7], [0, 0, 0]), 'g').catch_up_seconds, 0)
  })

  test('is not told of a group that has not been watched for long enough', () => {
    for (const samples of [[], samplesOf([100], [5])]) {
      assert.deepEqual(lagTrend(samples, 'g'), {
        trend: null,
        appended_per_second: null,
        read_per_second: null,
        catch_up_seconds: null,
      })
    }
    assert.equal(lagTrend(samplesOf([0, 1], [0, 1]), 'another').trend, null)
  })
})
