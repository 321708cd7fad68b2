//! The timeline: faults, latencies, throughput and leaders above one axis of time.

use std::collections::BTreeMap;

use crate::check::Fault;

use super::series::{COLUMNS, DECADES, OUTCOMES, ROWS, Series};
use super::svg::{Anchor, Svg};

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 34.0;
const LANE: f64 = 18.0;
const LATENCIES: f64 = 300.0;
const THROUGHPUT: f64 = 130.0;
const GAP: f64 = 30.0;

/// Partitions whose leaders are drawn.
const LANES: usize = 32;

/// Colours of ok, fail, info: told apart also by those who see no difference between red and green.
const OUTCOME_COLOURS: [&str; 3] = ["#0072b2", "#e69f00", "#c2185b"];

const FAULT_COLOURS: [&str; 8] =
    ["#d55e00", "#6a3d9a", "#009e73", "#b8860b", "#8c564b", "#1f78b4", "#7f7f7f", "#c51b7d"];

const NODE_COLOURS: [&str; 9] =
    ["#bbbbbb", "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44bb99"];

const INK: &str = "#222222";
const PALE: &str = "#666666";
const GRID: &str = "#e0e0e0";

/// Draws the timeline as SVG.
#[must_use]
pub fn draw(series: &Series) -> String {
    let mut lanes: BTreeMap<&str, Vec<&Fault>> = BTreeMap::new();
    series.faults.iter().for_each(|fault| lanes.entry(&fault.name).or_default().push(fault));
    let leaders = series.leaders.len().min(LANES);
    let faults_end = TOP + lanes.len() as f64 * LANE;
    let latencies_top = faults_end + GAP;
    let throughput_top = latencies_top + LATENCIES + GAP;
    let leaders_top = throughput_top + THROUGHPUT + if leaders > 0 { GAP } else { 0.0 };
    let bottom = leaders_top + leaders as f64 * LANE;
    let mut drawing = Drawing { svg: Svg::default(), series, bottom };
    drawing.bands(&lanes);
    drawing.axis();
    drawing.faults(&lanes);
    drawing.latencies(latencies_top);
    drawing.throughput(throughput_top);
    drawing.leaders(leaders_top);
    drawing.legend(leaders > 0);
    drawing.svg.finish(WIDTH, bottom + 46.0)
}

struct Drawing<'a> {
    svg: Svg,
    series: &'a Series,
    bottom: f64,
}

#[allow(clippy::cast_precision_loss, reason = "it is a picture")]
impl Drawing<'_> {
    fn x(&self, time: u64) -> f64 {
        LEFT + time as f64 / self.series.end as f64 * (WIDTH - LEFT - RIGHT)
    }

    fn column_x(column: usize) -> f64 {
        LEFT + (column as f64 + 0.5) / COLUMNS as f64 * (WIDTH - LEFT - RIGHT)
    }

    /// Where a fault is drawn; one that only happened as a stroke.
    fn span(&self, fault: &Fault) -> (f64, f64) {
        let (from, to) = (self.x(fault.begins), self.x(fault.ends));
        (from, (to - from).max(1.5))
    }

    /// Faults shade everything below them.
    fn bands(&mut self, lanes: &BTreeMap<&str, Vec<&Fault>>) {
        let top = TOP + lanes.len() as f64 * LANE;
        for (faults, colour) in lanes.values().zip(FAULT_COLOURS.iter().cycle()) {
            for fault in faults {
                let (x, width) = self.span(fault);
                self.svg.rect((x, top), (width, self.bottom - top), colour, 0.09, "");
            }
        }
    }

    fn faults(&mut self, lanes: &BTreeMap<&str, Vec<&Fault>>) {
        for (lane, ((name, faults), colour)) in lanes.iter().zip(FAULT_COLOURS.iter().cycle()).enumerate() {
            let y = TOP + lane as f64 * LANE;
            self.svg.text((LEFT - 8.0, y + 12.5), 11.0, colour, Anchor::End, &shortened(name, 19));
            for fault in faults {
                let (x, width) = self.span(fault);
                let nodes = nodes(&fault.nodes);
                let title = format!("{name} {nodes}: {} to {} s", seconds(fault.begins), seconds(fault.ends));
                self.svg.rect((x, y + 1.0), (width, LANE - 3.0), colour, 0.85, &title);
                if width > nodes.len() as f64 * 6.5 + 4.0 {
                    self.svg.text((x + width / 2.0, y + 12.5), 10.0, "white", Anchor::Middle, &nodes);
                }
            }
        }
    }

    fn axis(&mut self) {
        let total = self.series.end as f64 / 1e9;
        let step = [0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0]
            .into_iter()
            .find(|step| total / step <= 16.0)
            .unwrap_or(7200.0);
        let mut mark = 0.0;
        while mark <= total {
            let x = LEFT + mark / total * (WIDTH - LEFT - RIGHT);
            self.svg.line((x, TOP), (x, self.bottom), GRID);
            let label = if step < 1.0 { format!("{mark:.3}") } else { format!("{mark:.0}") };
            self.svg.text((x, self.bottom + 15.0), 10.0, PALE, Anchor::Middle, &label);
            mark += step;
        }
        self.svg.text((WIDTH - RIGHT, self.bottom + 32.0), 10.0, PALE, Anchor::End, "seconds since the run began");
    }

    fn panel(&mut self, top: f64, height: f64, title: &str) {
        self.svg.text((LEFT, top - 7.0), 12.0, INK, Anchor::Start, title);
        self.svg.line((LEFT, top + height), (WIDTH - RIGHT, top + height), PALE);
        self.svg.line((LEFT, top), (LEFT, top + height), PALE);
    }

    fn latencies(&mut self, top: f64) {
        self.panel(top, LATENCIES, "Latency of operations, by when they were invoked");
        for (decade, label) in
            [(2, "100 µs"), (3, "1 ms"), (4, "10 ms"), (5, "100 ms"), (6, "1 s"), (7, "10 s"), (8, "100 s")]
        {
            let y = top + LATENCIES - (f64::from(decade) - DECADES.0) / (DECADES.1 - DECADES.0) * LATENCIES;
            self.svg.line((LEFT, y), (WIDTH - RIGHT, y), GRID);
            self.svg.text((LEFT - 8.0, y + 3.5), 10.0, PALE, Anchor::End, label);
        }
        // Those that went wrong are few, and drawn on top.
        for (outcome, colour) in OUTCOME_COLOURS.into_iter().enumerate() {
            for ((column, row, of), count) in &self.series.dots {
                if *of == outcome {
                    let y = top + LATENCIES - (*row as f64 + 0.5) / ROWS as f64 * LATENCIES;
                    let weight = (*count as f64).log10().clamp(0.0, 3.0) / 3.0;
                    let radius = if outcome == 0 { 1.3 + weight } else { 2.0 + weight };
                    let opacity = if outcome == 0 { 0.30 + 0.6 * weight } else { 0.85 };
                    self.svg.circle((Self::column_x(*column), y), radius, colour, opacity);
                }
            }
        }
    }

    /// What completed in each second, one outcome stacked on the other.
    fn throughput(&mut self, top: f64) {
        self.panel(top, THROUGHPUT, "Completed operations per second");
        let per_second = COLUMNS as f64 / (self.series.end as f64 / 1e9);
        let sums = self.series.completed.iter().map(|counts| counts.iter().sum::<u64>());
        let highest = (sums.max().unwrap_or_default() as f64 * per_second).max(1.0);
        for share in [0.5, 1.0] {
            let y = top + THROUGHPUT * (1.0 - share);
            self.svg.line((LEFT, y), (WIDTH - RIGHT, y), GRID);
            self.svg.text((LEFT - 8.0, y + 3.5), 10.0, PALE, Anchor::End, &rounded(highest * share));
        }
        let mut below = vec![0.0; COLUMNS];
        for outcome in [2, 1, 0] {
            let y = |value: f64| top + THROUGHPUT * (1.0 - value * per_second / highest);
            let counts = self.series.completed.iter().map(|counts| counts[outcome] as f64);
            let above: Vec<f64> = below.iter().zip(counts).map(|(below, count)| below + count).collect();
            let upper = above.iter().enumerate().map(|(column, value)| (Self::column_x(column), y(*value)));
            let lower = below.iter().enumerate().rev().map(|(column, value)| (Self::column_x(column), y(*value)));
            let points: Vec<_> = upper.chain(lower).collect();
            self.svg.area(&points, OUTCOME_COLOURS[outcome]);
            below = above;
        }
    }

    fn leaders(&mut self, top: f64) {
        let all = &self.series.leaders;
        if all.is_empty() {
            return;
        }
        let more = if all.len() > LANES { format!(", the first {LANES} of {}", all.len()) } else { String::new() };
        self.svg.text((LEFT, top - 7.0), 12.0, INK, Anchor::Start, &format!("Leaders of partitions{more}"));
        for (lane, (key, reigns)) in all.iter().take(LANES).enumerate() {
            let y = top + lane as f64 * LANE;
            self.svg.text((LEFT - 8.0, y + 12.5), 10.0, PALE, Anchor::End, &shortened(key, 21));
            let ends = reigns.iter().skip(1).map(|next| next.begins).chain([self.series.end]);
            for (reign, end) in reigns.iter().zip(ends) {
                let Some(node) = reign.node else { continue };
                let (x, to) = (self.x(reign.begins), self.x(end));
                let title = format!("{key}: n{node} from {} to {} s", seconds(reign.begins), seconds(end));
                self.svg.rect((x, y + 1.0), ((to - x).max(0.8), LANE - 3.0), node_colour(node), 0.9, &title);
                if to - x > 18.0 {
                    self.svg.text(((x + to) / 2.0, y + 12.5), 10.0, "white", Anchor::Middle, &format!("n{node}"));
                }
            }
        }
    }

    fn legend(&mut self, leaders: bool) {
        let mut x = LEFT;
        let entries = OUTCOMES.iter().zip(OUTCOME_COLOURS).map(|(name, colour)| {
            let note = if *name == "info" { "info (nobody knows)" } else { name };
            (note.to_owned(), colour)
        });
        let nodes: std::collections::BTreeSet<u32> =
            self.series.leaders.values().flatten().filter_map(|reign| reign.node).filter(|_| leaders).collect();
        let nodes = nodes.into_iter().map(|node| (format!("led by n{node}"), node_colour(node)));
        for (name, colour) in entries.chain(nodes).collect::<Vec<_>>() {
            self.svg.rect((x, 10.0), (11.0, 11.0), colour, 1.0, "");
            self.svg.text((x + 16.0, 20.0), 11.0, INK, Anchor::Start, &name);
            x += 34.0 + name.len() as f64 * 6.6;
        }
    }
}

fn node_colour(node: u32) -> &'static str {
    NODE_COLOURS[node as usize % NODE_COLOURS.len()]
}

/// Nodes as a short text.
pub(super) fn nodes(nodes: &[u32]) -> String {
    nodes.iter().map(|node| format!("n{node}")).collect::<Vec<_>>().join(" ")
}

/// Nanoseconds as seconds with three places.
pub(super) fn seconds(nanos: u64) -> String {
    let millis = nanos / 1_000_000;
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest - 1).chain(['…']).collect()
}

fn rounded(value: f64) -> String {
    match value {
        1_000_000.0.. => format!("{:.1} M", value / 1e6),
        10_000.0.. => format!("{:.0} k", value / 1e3),
        1_000.0.. => format!("{:.1} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}
