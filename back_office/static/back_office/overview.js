// The overview's chart: drawn from the candles in the page, and redrawn when htmx has replaced them.
"use strict";

(() => {
  const canvas = document.getElementById("price-chart");
  const overview = document.getElementById("overview");
  const form = document.getElementById("instrument-form");
  let chart = null;

  // A new market fills the chart from the right: the minutes before its first candle are empty.
  const PLACES = 45;
  const EMPTY = { time: "" };

  const candles = () => {
    const found = document.getElementById("candles");
    const rows = found ? JSON.parse(found.textContent) : [];
    return rows.length ? [...Array(Math.max(0, PLACES - rows.length)).fill(EMPTY), ...rows] : [];
  };

  // The theme's colours are CSS variables, and change with dark mode.
  const colour = (name) => getComputedStyle(document.querySelector(".office")).getPropertyValue(name).trim();

  // A candle is two overlapping floating bars: a thin one from low to high, a thick one from open to close.
  const datasets = (rows) => {
    const up = colour("--office-up");
    const down = colour("--office-down");
    const colours = rows.map((row) => (Number(row.close) >= Number(row.open) ? up : down));
    const drawn = (pick) => rows.map((row) => (row === EMPTY ? null : pick(row)));
    const shared = { backgroundColor: colours, borderColor: colours, grouped: false, yAxisID: "price" };
    return [
      {
        ...shared,
        label: "range",
        data: drawn((row) => [Number(row.low), Number(row.high)]),
        barThickness: 1,
        minBarLength: 1,
      },
      {
        ...shared,
        label: "body",
        data: drawn((row) => [Number(row.open), Number(row.close)]),
        maxBarThickness: 9,
        barPercentage: 0.7,
        categoryPercentage: 1,
        minBarLength: 2,
      },
      {
        label: "volume",
        data: drawn((row) => Number(row.volume)),
        backgroundColor: colours.map((name) => `${name}4d`), // 30 % opacity
        grouped: false,
        maxBarThickness: 9,
        barPercentage: 0.7,
        categoryPercentage: 1,
        yAxisID: "volume",
      },
    ];
  };

  const tooltip = {
    displayColors: false,
    filter: (item) => item.datasetIndex === 1,
    callbacks: {
      title: (items) => (items.length ? `${items[0].label.replace("T", " ")} UTC` : ""),
      label: (item) => {
        const row = candles()[item.dataIndex];
        return row
          ? [
              `open ${row.open}   high ${row.high}`,
              `low ${row.low}   close ${row.close}`,
              `volume ${row.volume_is_at_least ? "at least " : ""}${row.volume} in ${row.trades} trades`,
            ]
          : "";
      },
    },
  };

  const scales = () => {
    const grid = { color: colour("--office-line") };
    const ticks = { color: colour("--office-subtle"), font: { size: 11 } };
    const minute = (value, index) => candles()[index]?.time.slice(11);
    return {
      x: { grid: { display: false }, ticks: { ...ticks, maxRotation: 0, autoSkipPadding: 24, callback: minute } },
      price: {
        position: "right",
        grid,
        border: { display: false },
        beginAtZero: false,
        ticks: { ...ticks, maxTicksLimit: 7, callback: (value) => String(Number(value.toPrecision(12))) },
        // Room for the volume below the lowest price.
        afterDataLimits: (scale) => {
          scale.min -= (scale.max - scale.min || scale.max * 0.01) * 0.35;
        },
      },
      volume: {
        display: false,
        beginAtZero: true,
        afterDataLimits: (scale) => {
          scale.max *= 4.5;
        },
      },
    };
  };

  const draw = () => {
    if (!canvas) return;
    const rows = candles();
    canvas.hidden = !rows.length;
    document.getElementById("no-candles").hidden = rows.length > 0;
    const data = { labels: rows.map((row) => row.time), datasets: datasets(rows) };
    if (chart) {
      chart.data.labels = data.labels;
      data.datasets.forEach((dataset, place) => Object.assign(chart.data.datasets[place], dataset));
      chart.options.scales = scales();
      chart.update("none");
      return;
    }
    chart = new Chart(canvas, {
      type: "bar",
      data,
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        interaction: { mode: "index", intersect: false },
        plugins: { legend: { display: false }, tooltip },
        scales: scales(),
      },
    });
  };

  draw();
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["class"] });

  form?.querySelector("select").addEventListener("change", () => form.submit());

  if (!overview) return;
  const stale = (is) => overview.classList.toggle("stale", is);
  overview.addEventListener("htmx:beforeSwap", (event) => {
    // After the session has expired the response is the login page with status 200: reload the whole page.
    if (event.detail.xhr.status === 200 && !event.detail.serverResponse.includes('id="live-tiles"')) {
      event.detail.shouldSwap = false;
      window.location.reload();
    }
  });
  overview.addEventListener("htmx:afterRequest", (event) => {
    stale(!event.detail.successful);
    if (event.detail.successful) draw();
  });
})();
