//! Prometheus' text format, version 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::{Display, Write};

/// The content type to answer with.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What kind of figure a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A `_sum` and a `_count`.
    Summary,
    /// Nobody knows.
    Untyped,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}

/// Writes metrics, one family after another.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins a metric; its samples follow.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.word());
        Family { text: &mut self.text, name }
    }

    /// A metric with one sample and no labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// All that was written.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// The metric being written.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Family<'_> {
    /// A sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.suffixed("", labels, value);
    }

    /// A sample whose name has a suffix, such as `_sum`.
    pub fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (position, (label, text)) in labels.iter().enumerate() {
            let opening = if position == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{opening}{label}=\"");
            escape_into(self.text, text);
            self.text.push('"');
        }
        let closing = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{closing} {value}");
    }
}

fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_format_is_prometheus_own() {
        let mut exposition = Exposition::default();
        let mut requests = exposition.family("caudal_requests_total", Kind::Counter, "Requests.\nAnswered.");
        requests.sample(&[("api", "Fetch"), ("note", "a\"b\\c\nd")], 7);
        requests.sample(&[("api", "Produce")], 8);
        exposition.single("caudal_ready", Kind::Gauge, "Whether.", 1);
        let mut times = exposition.family("caudal_seconds", Kind::Summary, "Time.");
        times.suffixed("_sum", &[], 0.25);
        times.suffixed("_count", &[], 2);
        let expected = "\
# HELP caudal_requests_total Requests.\\nAnswered.
# TYPE caudal_requests_total counter
caudal_requests_total{api=\"Fetch\",note=\"a\\\"b\\\\c\\nd\"} 7
caudal_requests_total{api=\"Produce\"} 8
# HELP caudal_ready Whether.
# TYPE caudal_ready gauge
caudal_ready 1
# HELP caudal_seconds Time.
# TYPE caudal_seconds summary
caudal_seconds_sum 0.25
caudal_seconds_count 2
";
        assert_eq!(exposition.into_text(), expected);
    }

    proptest! {
        #[test]
        fn a_sample_is_always_one_line(label in "\\PC{0,20}|[\"\\\\\n]{0,9}") {
            let mut exposition = Exposition::default();
            exposition.family("a", Kind::Gauge, "b").sample(&[("c", &label)], 1);
            let text = exposition.into_text();
            prop_assert_eq!(text.matches('\n').count(), 3, "{}", text);
            prop_assert!(text.ends_with("\"} 1\n"), "{}", text);
        }
    }
}
