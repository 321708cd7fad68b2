//! The report as one HTML page that needs nothing else.

use std::fmt::Write as _;

use crate::check::{Finding, Validity, Verdict};

use super::Metadata;
use super::markdown::{headline, tables, title};
use super::series::Series;
use super::svg::escape;

const STYLE: &str = "
:root { color-scheme: light; }
body { font: 14px/1.45 system-ui, 'DejaVu Sans', sans-serif; color: #222; margin: 0 auto; max-width: 1240px; padding: 0 20px 40px; }
h1 { font-size: 20px; color: white; padding: 12px 16px; border-radius: 6px; }
h1.valid { background: #1b7f4b; } h1.anomalies { background: #b3261e; } h1.unknown { background: #9a6700; }
h2 { font-size: 16px; margin: 28px 0 8px; }
dl.run { display: flex; flex-wrap: wrap; gap: 6px 28px; margin: 0 0 16px; }
dl.run div { display: flex; gap: 6px; } dt { color: #666; } dd { margin: 0; font-weight: 600; }
svg { width: 100%; height: auto; border: 1px solid #ddd; border-radius: 6px; }
section.finding { border-left: 4px solid #b3261e; padding: 2px 14px; margin: 16px 0; background: #fdf3f2; }
section.finding.allowed { border-color: #999; background: #f6f6f6; }
section.finding h2 { margin: 8px 0 2px; } section.finding > p { margin: 0 0 8px; color: #555; }
li { margin: 2px 0; } li li { font: 12px/1.5 'DejaVu Sans Mono', monospace; color: #444; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 3px 12px; border-bottom: 1px solid #e4e4e4; }
th { color: #666; font-weight: 600; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
";

/// The page.
#[must_use]
pub fn page(metadata: &Metadata, series: &Series, verdict: &Verdict, timeline: &str) -> String {
    let class = match verdict.validity {
        Validity::Valid => "valid",
        Validity::Anomalies => "anomalies",
        Validity::Unknown => "unknown",
    };
    let headline = escape(&headline(verdict));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{headline}</title><style>{STYLE}</style></head><body>\n\
         <h1 class=\"{class}\">{headline}</h1>\n<dl class=\"run\">"
    );
    let history = format!("{} lines, {} records sent, {} read", verdict.lines, verdict.records[0], verdict.records[1]);
    for (name, value) in metadata.shown().into_iter().chain([("history".to_owned(), history)]) {
        put(&mut page, &format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(&name), escape(&value)));
    }
    put(&mut page, "</dl>");
    for why in &verdict.unknown {
        put(&mut page, &format!("<p><strong>unknown:</strong> {}</p>", escape(why)));
    }
    put(&mut page, timeline);
    verdict.findings.iter().for_each(|finding| section(&mut page, finding));
    for table in tables(series, verdict) {
        put(&mut page, &format!("<h2>{}</h2><table>", escape(table.title)));
        let header: String = table.header.iter().map(|text| format!("<th>{}</th>", escape(text))).collect();
        put(&mut page, &format!("<tr>{header}</tr>"));
        for row in &table.rows {
            let cells: String = row.iter().map(|text| format!("<td>{}</td>", escape(text))).collect();
            put(&mut page, &format!("<tr>{cells}</tr>"));
        }
        put(&mut page, "</table>");
    }
    put(&mut page, "</body></html>");
    page
}

fn section(page: &mut String, finding: &Finding) {
    let class = if finding.allowed { "finding allowed" } else { "finding" };
    put(page, &format!("<section class=\"{class}\"><h2>{}</h2>", escape(&title(finding))));
    put(page, &format!("<p>{}</p><ul>", escape(finding.anomaly.meaning())));
    for example in &finding.examples {
        let involved = example.operations.iter().map(|involved| format!("<li>{}</li>", escape(&involved.to_string())));
        put(page, &format!("<li>{}<ul>{}</ul></li>", escape(&example.text), involved.collect::<String>()));
    }
    put(page, "</ul></section>");
}

fn put(page: &mut String, line: &str) {
    writeln!(page, "{line}").expect("a string takes all");
}
