import type { EChartsCoreOption } from 'echarts/core'
import { addDays, beginsMonth, type DayRow, type Week } from './calendar-days.ts'
import { type Colours, tip } from './colours.ts'
import { clock, day, dayName, distance, inUnits, pace, paceSeconds, span, type Units } from './format.ts'

/** Options of ECharts for the runner's charts. */

const LINE_DAYS = 28

export function weekChart(weeks: readonly Week[], units: Units, colours: Colours): EChartsCoreOption {
  return {
    grid: { left: 4, right: 8, top: 12, bottom: 4, containLabel: true },
    tooltip: {
      trigger: 'axis',
      axisPointer: { type: 'shadow' },
      formatter: ([point]: { dataIndex: number }[]) => {
        const week = weeks[point?.dataIndex ?? 0] as Week
        return tip(`Week of ${day(week.monday)}`, [
          ['Distance', distance(week.distance, units)],
          ['Time', span(week.duration)],
          ['Runs', String(week.runs)],
        ])
      },
    },
    xAxis: {
      type: 'category',
      data: weeks.map(({ monday }) => monday),
      axisLabel: {
        color: colours.muted,
        formatter: monthOf,
        interval: (n: number) => beginsMonth(weeks, n),
        // A phone has no room for twelve.
        hideOverlap: true,
      },
      axisTick: { show: false },
      axisLine: { lineStyle: { color: colours.line } },
    },
    yAxis: valueAxis(colours),
    series: [
      {
        type: 'bar',
        data: weeks.map((week) => Math.round(inUnits(week.distance, units) * 100) / 100),
        itemStyle: { color: colours.run, borderRadius: [3, 3, 0, 0] },
        barCategoryGap: '28%',
      },
    ],
  }
}

export function paceChart(
  { rows, from, to }: { rows: readonly DayRow[]; from: string; to: string },
  units: Units,
  colours: Colours,
): EChartsCoreOption {
  const runs = rows.filter((row) => paceSeconds(row, units) !== undefined)
  const points = runs.map((row) => [row.day, Math.round(paceSeconds(row, units) as number)])
  return {
    grid: { left: 4, right: 12, top: 12, bottom: 4, containLabel: true },
    tooltip: {
      trigger: 'item',
      formatter: ({
        dataIndex,
        seriesIndex,
        value,
      }: {
        dataIndex: number
        seriesIndex: number
        value: [string, number]
      }) => {
        const row = runs[dataIndex] as DayRow
        if (seriesIndex === 1) return tip(day(row.day), [['Over four weeks', `${clock(value[1])} /${units}`]])
        return tip(day(row.day), [
          ['Pace', pace(row, units)],
          ['Distance', distance(row.distance, units)],
        ])
      },
    },
    xAxis: {
      type: 'time',
      min: from,
      max: to,
      axisLabel: { color: colours.muted, hideOverlap: true },
      axisLine: { lineStyle: { color: colours.line } },
      axisTick: { show: false },
    },
    yAxis: {
      ...valueAxis(colours),
      scale: true,
      inverse: true,
      axisLabel: { color: colours.muted, formatter: (seconds: number) => clock(seconds) },
    },
    series: [
      { type: 'scatter', data: points, symbolSize: 7, itemStyle: { color: colours.run, opacity: 0.55 } },
      {
        type: 'line',
        data: smoothed(runs, units),
        showSymbol: false,
        smooth: 0.3,
        lineStyle: { color: colours.text, width: 2 },
        itemStyle: { color: colours.text },
      },
    ],
  }
}

/** All time by all distance of four weeks: a long run counts more than a short one. */
function smoothed(runs: readonly DayRow[], units: Units): (string | number)[][] {
  let [begin, distance, duration] = [0, 0, 0]
  return runs.map((row) => {
    distance += row.distance
    duration += row.duration
    const oldest = addDays(row.day, -LINE_DAYS)
    while ((runs[begin] as DayRow).day <= oldest) {
      distance -= (runs[begin] as DayRow).distance
      duration -= (runs[begin] as DayRow).duration
      begin++
    }
    return [row.day, Math.round(paceSeconds({ distance, duration }, units) ?? 0)]
  })
}

function valueAxis(colours: Colours) {
  return {
    type: 'value',
    splitLine: { lineStyle: { color: colours.line } },
    axisLabel: { color: colours.muted },
    splitNumber: 4,
  }
}

function monthOf(monday: string): string {
  return dayName(addDays(monday, 6), 'month')
}
