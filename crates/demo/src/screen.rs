//! Lines for people: in colour on a terminal, plain otherwise.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// The publisher.
    Publisher,
    /// The invoice service.
    Invoices,
}

impl Voice {
    fn name_and_colour(self) -> (&'static str, &'static str) {
        match self {
            Self::Publisher => ("publisher", "32"),
            Self::Invoices => ("invoices ", "36"),
        }
    }

    /// Says one line. A screen that is gone is no reason to stop.
    pub fn say(self, line: &str) {
        let (name, colour) = self.name_and_colour();
        let line = if in_colour() {
            format!("\x1b[{colour}m{name} │\x1b[0m {line}\n")
        } else {
            format!("{name} │ {line}\n")
        };
        let _ = std::io::stdout().write_all(line.as_bytes());
    }
}

/// Whether colours are wanted: on a terminal, unless `NO_COLOR` is set.
pub fn in_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// How a program ends: an error in one line.
pub fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A sum of money: `R$ 1,234.56`.
pub fn money(cents: u64) -> String {
    format!("R$ {}.{:02}", count(cents / 100), cents % 100)
}

/// A number with commas: `1,234`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            (count(0), count(999), count(1_000), count(123_4567)),
            ("0".into(), "999".into(), "1,000".into(), "1,234,567".into())
        );
        assert_eq!((money(5), money(123_456)), ("R$ 0.05".into(), "R$ 1,234.56".into()));
    }
}
