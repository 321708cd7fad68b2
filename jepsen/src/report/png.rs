//! A drawing as a picture.

use anyhow::Context as _;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// Pixels for each unit of the drawing.
const SCALE: f32 = 1.5;

/// Renders an SVG; texts are left out on a machine that has no fonts.
///
/// # Errors
/// When it is none, or too large.
pub fn render(svg: &str) -> anyhow::Result<Vec<u8>> {
    let mut options = Options::default();
    options.fontdb_mut().load_system_fonts();
    let tree = Tree::from_str(svg, &options).context("the drawing is no SVG")?;
    let size = tree.size().to_int_size().scale_by(SCALE).context("the drawing is too large")?;
    let mut picture = Pixmap::new(size.width(), size.height()).context("the picture is too large")?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut picture.as_mut());
    picture.encode_png().context("the picture cannot be encoded")
}

/// Whether this machine has fonts for the texts.
#[must_use]
pub fn has_fonts() -> bool {
    let mut options = Options::default();
    options.fontdb_mut().load_system_fonts();
    !options.fontdb.is_empty()
}
