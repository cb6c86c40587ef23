import type { EChartsCoreOption } from 'echarts/core'
import { type Colours, tip } from './colours.ts'
import { count, LOCALE } from './format.ts'
import type { LagSample } from './lag.svelte.ts'

const SHOWN_MS_MIN = 120_000

/** Records that each group has not read, over the time that the page has been open. */
export function lagChart(
  samples: readonly LagSample[],
  groups: readonly string[],
  colours: Colours,
): EChartsCoreOption {
  const palette = [colours.run, colours.music, colours.ok, colours.warn, colours.muted]
  const time = new Intl.DateTimeFormat(LOCALE, { timeStyle: 'medium' })
  return {
    animation: false,
    grid: { left: 4, right: 12, top: 52, bottom: 4, containLabel: true },
    legend: { top: 0, left: 0, itemWidth: 14, itemHeight: 8, icon: 'roundRect', textStyle: { color: colours.text } },
    tooltip: {
      trigger: 'axis',
      formatter: (points: { seriesName: string; value: [number, number] }[]) =>
        tip(
          time.format(points[0]?.value[0]),
          points.map(({ seriesName, value }) => [seriesName, `${count(value[1])} records behind`] as const),
        ),
    },
    xAxis: {
      type: 'time',
      min: Math.min(samples[0]?.at ?? Date.now(), (samples.at(-1)?.at ?? Date.now()) - SHOWN_MS_MIN),
      splitNumber: 4,
      axisLabel: { color: colours.muted, hideOverlap: true },
      axisLine: { lineStyle: { color: colours.line } },
      axisTick: { show: false },
    },
    yAxis: {
      type: 'value',
      name: 'records',
      nameTextStyle: { color: colours.muted, align: 'left' },
      min: 0,
      minInterval: 1,
      splitNumber: 3,
      splitLine: { lineStyle: { color: colours.line } },
      axisLabel: { color: colours.muted },
    },
    series: groups.map((group, n) => ({
      type: 'line',
      name: group,
      showSymbol: false,
      sampling: 'lttb',
      data: samples.map(({ at, lags }) => [at, lags[group] ?? 0]),
      lineStyle: { width: 2, color: palette[n % palette.length] },
      itemStyle: { color: palette[n % palette.length] },
      areaStyle: { color: palette[n % palette.length], opacity: 0.1 },
    })),
  }
}
