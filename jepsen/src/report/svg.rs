//! Shapes of an SVG.

use std::fmt::{Display, Write as _};

/// A drawing that grows.
#[derive(Debug, Default)]
pub(super) struct Svg {
    body: String,
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(super) fn rect(
        &mut self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        fill: &str,
        opacity: f64,
        title: &str,
    ) {
        let shape = format!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}" fill-opacity="{opacity:.2}""#
        );
        if title.is_empty() {
            self.put(format_args!("{shape}/>"));
        } else {
            self.put(format_args!("{shape}><title>{}</title></rect>", escape(title)));
        }
    }

    pub(super) fn circle(&mut self, (x, y): (f64, f64), radius: f64, fill: &str, opacity: f64) {
        self.put(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" fill="{fill}" fill-opacity="{opacity:.2}"/>"#
        ));
    }

    pub(super) fn line(&mut self, (x, y): (f64, f64), (to_x, to_y): (f64, f64), stroke: &str) {
        self.put(format_args!(
            r#"<line x1="{x:.1}" y1="{y:.1}" x2="{to_x:.1}" y2="{to_y:.1}" stroke="{stroke}" stroke-width="1"/>"#
        ));
    }

    pub(super) fn area(&mut self, points: &[(f64, f64)], fill: &str) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.put(format_args!(r#"<polygon points="{}" fill="{fill}" fill-opacity="0.8"/>"#, points.join(" ")));
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), size: f64, fill: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.put(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{fill}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    pub(super) fn finish(self, width: f64, height: f64) -> String {
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="DejaVu Sans, Liberation Sans, Arial, sans-serif"><rect width="{width}" height="{height}" fill="white"/>{}</svg>"#,
            self.body
        )
    }

    fn put(&mut self, shape: impl Display) {
        writeln!(self.body, "{shape}").expect("a string takes all");
    }
}

/// A text as it stands in HTML and SVG.
#[must_use]
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Not allowed in XML at all.
            character if character.is_control() && !matches!(character, '\n' | '\t') => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}
