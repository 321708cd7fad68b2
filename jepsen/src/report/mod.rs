//! Reports: a folder that shows a person what a run was, and what was wrong with it.
//!
//! # Layout
//! - [`Series`](series::Series) boils the history down to what can be drawn
//! - [`timeline`] draws it as SVG, [`png`] turns that into a picture
//! - [`markdown`] and [`html`] are the pages

pub mod html;
pub mod markdown;
pub mod png;
pub mod series;
mod svg;
pub mod timeline;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::check::{Table, Verdict};

use series::Series;

/// The file in a run's folder with the [`Metadata`].
pub const METADATA: &str = "run.json";

/// What a run was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// What clients did.
    pub workload: String,
    /// What was done to the cluster.
    pub nemesis: String,
    /// From which all chance came.
    pub seed: u64,
    /// For how many seconds.
    pub duration: u64,
    /// How many nodes the cluster has.
    pub nodes: Option<usize>,
    /// For how many seconds sends may go unacknowledged while a majority of the nodes is not hindered.
    pub bound: Option<u64>,
    /// What else is worth knowing, such as the version.
    pub more: BTreeMap<String, String>,
}

impl Metadata {
    /// Reads those of a run; of a lone history there are none.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn of_run(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(METADATA);
        if !path.try_exists()? {
            return Ok(Self::default());
        }
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no metadata", path.display()))
    }

    /// As words and their values, to be shown.
    fn shown(&self) -> Vec<(String, String)> {
        let mut shown = Vec::new();
        let mut show = |name: &str, value: String| {
            if !value.is_empty() {
                shown.push((name.to_owned(), value));
            }
        };
        show("workload", self.workload.clone());
        show("nemesis", self.nemesis.clone());
        show("seed", self.seed.to_string());
        show("duration", if self.duration > 0 { format!("{} s", self.duration) } else { String::new() });
        show("nodes", self.nodes.map(|nodes| nodes.to_string()).unwrap_or_default());
        shown.extend(self.more.clone());
        shown
    }
}

/// Writes `verdict.json`, `report.md`, `index.html`, `timeline.svg` and `timeline.png` into a run's folder.
///
/// # Errors
/// When one cannot be written, or the picture cannot be drawn.
pub fn write(folder: &Path, metadata: &Metadata, table: &Table, verdict: &Verdict) -> anyhow::Result<()> {
    let series = Series::new(table);
    let timeline = timeline::draw(&series);
    let put =
        |name: &str, text: &[u8]| fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"));
    put("verdict.json", &serde_json::to_vec_pretty(verdict)?)?;
    put("report.md", markdown::page(metadata, &series, verdict).as_bytes())?;
    put("index.html", html::page(metadata, &series, verdict, &timeline).as_bytes())?;
    put("timeline.svg", timeline.as_bytes())?;
    put("timeline.png", &png::render(&timeline)?)
}
