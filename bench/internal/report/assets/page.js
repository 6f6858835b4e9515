// Draws the charts that charts.go describes. Colours and words come from there; here is only where things stand.
(function () {
  'use strict';

  const charts = JSON.parse(document.getElementById('data').textContent).charts;
  const font = 'system-ui, DejaVu Sans, Arial, sans-serif'; // no quotes: the library writes it into attributes as it is
  const small = 12; // px, of all text but titles
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const light = { text: '#333a41', faint: '#60666d', rule: '#e1e4e8', off: '#b4bac0', card: '#ffffff' };
  const night = { text: '#d5d9dd', faint: '#9aa2aa', rule: '#33383e', off: '#565d64', card: '#1d2125' };

  // number prints about three digits.
  function number(v) {
    const size = Math.abs(v);
    if (size >= 1e6) return Number((v / 1e6).toPrecision(3)).toString() + 'M';
    if (size >= 100) return Math.round(v).toLocaleString('en-US');
    return Number(v.toPrecision(3)).toString();
  }

  const measure = document.createElement('canvas').getContext('2d');
  function textWidth(text) {
    measure.font = small + 'px ' + font;
    return measure.measureText(text).width;
  }
  const widest = names => Math.ceil(Math.max(0, ...names.map(textWidth)) * 1.03);

  // bounds are the round numbers about all values of a logarithmic axis, and those to name between them.
  function bounds(values) {
    const low = Math.min(...values), high = Math.max(...values), steps = [];
    for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.log10(high) + 1; power++) {
      for (const digit of [1, 2, 5]) steps.push(Number(digit + 'e' + power));
    }
    const first = Math.max(0, steps.findLastIndex(s => s <= low * 1.0001));
    let last = steps.findIndex(s => s >= high * 0.9999);
    if (last === first) last++;
    return ticks(steps[first], steps[last]);
  }

  // ticks are the powers of ten, with 2 and 5 between them where there is room.
  function ticks(min, max) {
    const wide = Math.log10(max / min), list = [];
    for (let power = Math.floor(Math.log10(min)); power <= Math.log10(max) + 1; power++) {
      for (const digit of wide > 2.2 ? [1] : [1, 2, 5]) {
        const tick = Number(digit + 'e' + power);
        if (tick >= min * 0.9999 && tick <= max * 1.0001) list.push(tick);
      }
    }
    return { min, max, ticks: list.length > 1 ? list : [min, max] };
  }

  const shares = [50, 90, 99, 99.9, 99.99, 99.999];
  const place = percent => -Math.log10(1 - percent / 100);
  const share = at => Number((100 * (1 - Math.pow(10, -at))).toPrecision(5));

  // places are where a curve with few of them was measured.
  function places(values) {
    const list = [...new Set(values)].sort((a, b) => a - b);
    return list.length > 1 && list.length <= 6 ? { min: list[0], max: list[list.length - 1], ticks: list } : bounds(values);
  }

  // axis turns one of charts.go into one of the library.
  function axis(a, values, look) {
    const common = {
      name: a.name, nameTextStyle: { color: look.faint, fontSize: small }, axisLabel: { color: look.faint, fontSize: small, hideOverlap: true },
      axisLine: { show: true, lineStyle: { color: look.faint } }, axisTick: { show: true, lineStyle: { color: look.faint } },
      splitLine: { lineStyle: { color: look.rule } }, axisPointer: { label: { show: false } },
    };
    if (a.scale === 'names') {
      return { ...common, type: 'category', data: a.names, axisTick: { show: false }, axisLabel: { ...common.axisLabel, interval: 0, hideOverlap: false } };
    }
    common.axisLabel.formatter = number;
    common.axisPointer.label.formatter = p => (a.name ? number(p.value) + ' ' + a.name : number(p.value));
    if (a.scale === 'linear') {
      return { ...common, type: 'value', min: 0, max: a.end };
    }
    if (a.scale === 'log') {
      const b = a.bounds || bounds(values);
      return marked({ ...common, type: 'log', min: b.min, max: b.max }, b.ticks);
    }
    common.axisLabel.formatter = at => String(share(at));
    common.axisPointer.label.formatter = p => share(p.value) + ' % of calls at most';
    const end = Math.max(...values);
    return marked({ ...common, type: 'value', min: 0, max: end }, shares.map(place).filter(at => at <= end + 0.001));
  }

  function marked(a, ticks) {
    a.axisLabel.customValues = ticks;
    a.axisTick.customValues = ticks;
    return a;
  }

  const all = (c, i) => c.series.filter(s => !s.hidden).flatMap(s => s.points.map(p => p[i]));

  // legend says how many lines its names take, since the library leaves no room for them by itself.
  function legend(c, width, top, look) {
    const mark = c.kind === 'lines' ? 26 : 14;
    let rows = 1, at = 0;
    for (const s of c.series) {
      const need = mark + 5 + textWidth(s.name) + 12;
      if (at + need > width - 12 && at > 0) { rows++; at = 0; }
      at += need;
    }
    return {
      rows, height: rows * 21,
      option: {
        show: true, top, left: 4, right: 4, itemGap: 12, itemWidth: mark, itemHeight: 10, padding: 2,
        textStyle: { color: look.text, fontSize: small }, inactiveColor: look.off, inactiveBorderColor: look.off, lineStyle: { inactiveColor: look.off, inactiveWidth: 1.5 }, data: c.series.map(s => s.name),
        selected: Object.fromEntries(c.series.map(s => [s.name, !s.hidden])),
      },
    };
  }

  // mark is hollow for what is not durable.
  function mark(s, look) {
    return s.look.line === 'dotted' ? { color: look.card, borderColor: s.look.color, borderWidth: 1.6 } : { color: s.look.color };
  }

  // fill is pale for what is no durable store, with a border of the same kind as its line.
  function fill(s) {
    if (s.look.line === 'solid') return { color: s.look.color };
    return { color: s.look.color + '40', borderColor: s.look.color, borderType: s.look.line, borderWidth: 1.5 };
  }

  function lineSeries(c, look) {
    return c.series.map(s => ({
      type: 'line', name: s.name, data: s.points, symbol: s.look.symbol, symbolSize: s.look.bold ? 7 : 6, showSymbol: s.points.length <= 30,
      lineStyle: { color: s.look.color, width: (s.look.bold ? 3 : 1.8) * (s.points.length > 100 ? 0.7 : 1), type: s.look.line }, itemStyle: mark(s, look),
      z: s.look.bold ? 4 : 3, emphasis: { focus: 'series' },
    }));
  }

  function dotSeries(c, look) {
    const list = c.series.map(s => ({
      type: 'scatter', name: s.name, data: s.points, symbol: s.look.symbol, symbolSize: s.look.bold ? 11 : 9,
      itemStyle: { ...mark(s, look), opacity: 1 }, emphasis: { focus: 'series' },
    }));
    list[0].markLine = { silent: true, symbol: 'none', label: { show: false }, data: [{ xAxis: 1 }], lineStyle: { color: look.text, type: 'solid', width: 1.2 } };
    return list;
  }

  function barSeries(c, look) {
    return [{
      type: 'bar', barMaxWidth: 16, data: c.series.map(s => ({ value: s.points[0], itemStyle: fill(s) })),
      label: { show: true, position: 'right', color: look.text, fontSize: small, formatter: p => number(p.value[0]) },
    }];
  }

  function columnSeries(c) {
    return c.series.map(s => ({ type: 'bar', name: s.name, data: s.points, itemStyle: { color: s.look.color }, barGap: '8%', barCategoryGap: '18%' }));
  }

  function height(c, width, look) {
    const room = c.kind === 'bars' ? 0 : legend(c, width, 0, look).height;
    if (c.kind === 'dots') return room + 70 + 21 * c.y.names.length;
    if (c.kind === 'bars') return 58 + 25 * c.y.names.length;
    return room + 310 + (c.zoom ? 30 : 0);
  }

  // option is a whole chart for the library. top is the room for what stands above.
  function option(c, width, top, look, live) {
    const xs = all(c, 0);
    if (c.kind === 'dots') xs.push(0.9, 1.1); // the line at 1 is no edge
    const x = axis({ ...c.x, bounds: c.kind === 'lines' && c.x.scale === 'log' ? places(xs) : undefined, end: c.kind === 'lines' ? 'dataMax' : undefined }, xs, look);
    const y = axis(c.y, all(c, 1), look);
    const o = {
      animation: false, textStyle: { fontFamily: font, fontSize: small, color: look.text }, xAxis: x, yAxis: y,
      legend: { show: false }, tooltip: tooltip(c, look, live),
    };
    x.nameLocation = 'middle';
    x.nameGap = 28;
    const right = c.right ? rightAxis(c, y, look) : null;
    const bottom = (c.x.name ? 44 : 26) + (c.zoom && live ? 34 : 0);
    if (c.kind === 'dots' || c.kind === 'bars') {
      lying(c, o, width, top, bottom, look);
      return o;
    }
    const l = legend(c, width, top, look);
    o.legend = l.option;
    y.nameTextStyle.align = 'left';
    const labels = a => a.axisLabel.customValues ? widest(a.axisLabel.customValues.map(a.axisLabel.formatter)) : widest([number(Math.max(...all(c, 1)) * 1.3)]);
    const left = Math.ceil(labels(y)) + 14;
    y.nameTextStyle.padding = [0, 0, 0, 6 - left];
    o.grid = { left, right: right ? Math.ceil(labels(right)) + 16 : 18, top: top + l.height + 28, bottom };
    if (right) o.yAxis = [y, right];
    o.series = c.kind === 'lines' ? lineSeries(c, look) : columnSeries(c);
    if (c.zoom && live) o.dataZoom = [{ type: 'slider', height: 18, bottom: 6, showDetail: false, brushSelect: false, borderColor: look.rule }];
    return o;
  }

  // lying is for rows with names.
  function lying(c, o, width, top, bottom, look) {
    const names = Math.min(widest(c.y.names) + 4, Math.floor(width * 0.45));
    o.yAxis.inverse = true;
    o.yAxis.axisLabel.width = names;
    o.yAxis.axisLabel.overflow = 'truncate';
    if (c.kind === 'bars') {
      o.yAxis.axisLabel.color = look.text;
      o.xAxis.splitNumber = 4;
      o.series = barSeries(c, look);
      o.grid = { left: names + 14, right: 56, top: top + 6, bottom };
      return;
    }
    const l = legend(c, width, top, look);
    o.legend = l.option;
    o.yAxis.splitLine = { show: true, lineStyle: { color: look.rule } };
    o.yAxis.axisLabel.color = look.text;
    o.series = dotSeries(c, look);
    o.grid = { left: names + 14, right: 22, top: top + l.height + 8, bottom };
  }

  // rightAxis is the left one in another unit.
  function rightAxis(c, y, look) {
    const f = c.right.factor;
    const a = axis({ ...c.right, bounds: ticks(y.min * f, y.max * f) }, [], look);
    a.position = 'right';
    a.splitLine = { show: false };
    a.nameTextStyle.align = 'right';
    a.nameTextStyle.padding = [0, -40, 0, 0];
    return a;
  }

  function tooltip(c, look, live) {
    const unit = c.kind === 'lines' || c.kind === 'columns' ? c.y.name : c.kind === 'dots' ? '' : c.x.name;
    const t = {
      show: live, confine: true, backgroundColor: look.card, borderColor: look.rule, textStyle: { color: look.text, fontSize: 13 },
      trigger: c.kind === 'lines' || c.kind === 'columns' ? 'axis' : 'item', order: c.kind === 'lines' ? 'valueDesc' : 'seriesAsc',
      axisPointer: { type: c.kind === 'columns' ? 'shadow' : 'line', lineStyle: { color: look.faint } },
    };
    const escape = echarts.format.encodeHTML;
    if (c.kind === 'dots') {
      t.formatter = p => escape(c.y.names[p.value[1]]) + '<br>' + escape(p.seriesName) + ' <b>' + number(p.value[0]) + '×</b>';
    } else if (c.kind === 'bars') {
      t.formatter = p => escape(c.y.names[p.dataIndex]) + ' <b>' + number(p.value[0]) + '</b> ' + escape(unit);
    } else {
      t.valueFormatter = v => (c.right ? number(v) + ' MB/s, ' + number(v * c.right.factor) + ' entries/s' : number(v) + ' ' + unit);
    }
    return t;
  }

  // draw draws all charts anew, and says so when the last of them stands.
  let drawn = [];
  function draw() {
    for (const d of drawn) d.dispose();
    delete document.documentElement.dataset.drawn;
    const look = dark.matches ? night : light;
    let left = charts.length;
    const done = () => { if (--left === 0) document.documentElement.dataset.drawn = charts.length; };
    if (charts.length === 0) document.documentElement.dataset.drawn = 0;
    drawn = charts.map(c => {
      const place = document.getElementById(c.id), width = place.clientWidth;
      place.style.height = height(c, width, look) + 'px';
      const chart = echarts.init(place, null, { renderer: 'svg' });
      let first = true;
      chart.on('finished', () => { if (first) { first = false; done(); } });
      chart.setOption(option(c, width, 0, look, true));
      chart.on('legendselectchanged', e => {
        for (const s of c.series) s.hidden = !e.selected[s.name];
        if (c.series.some(s => !s.hidden)) chart.setOption(option(c, width, 0, look, true)); // the axes fit what is shown
      });
      return chart;
    });
  }

  // pictures returns each chart as an image that stands on its own, with a title and a white background.
  window.pictures = function () {
    const width = 840, top = 40;
    return charts.map(whole => {
      const c = { ...whole, series: whole.series.filter(s => !s.hidden) }; // nobody can click on a picture
      const size = { width, height: height(c, width, light) + top + (c.kind === 'lines' || c.kind === 'columns' ? 60 : 0) };
      const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, ...size });
      chart.setOption({
        ...option(c, width, top, light, false), backgroundColor: '#ffffff',
        title: { text: c.title, left: 8, top: 8, textStyle: { color: light.text, fontSize: 16, fontFamily: font, fontWeight: 600 } },
      });
      const svg = chart.renderToSVGString();
      chart.dispose();
      return { id: c.id, svg };
    });
  };

  let wait, lastWidth = innerWidth;
  const later = () => { clearTimeout(wait); wait = setTimeout(draw, 150); };
  addEventListener('resize', () => { if (innerWidth !== lastWidth) { lastWidth = innerWidth; later(); } });
  dark.addEventListener('change', later);
  draw();
})();
