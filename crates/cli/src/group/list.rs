//! `caudal group list`.

use std::io::{self, Write};

use caudal_client::ListedGroup;
use clap::Args;
use serde::Serialize;

use crate::Connect;
use crate::output::{Form, NotAnswered, Shown, not_answered};
use crate::table::Table;

/// `caudal group list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Only groups in this state, such as Stable or Empty; may be given several times
    #[arg(long, value_name = "STATE")]
    pub state: Vec<String>,
    /// Only groups of this protocol: classic or consumer; may be given several times
    #[arg(long = "type", value_name = "TYPE")]
    pub group_type: Vec<String>,
    /// How to show it
    #[command(flatten)]
    pub form: Form,
    /// Where the cluster is
    #[command(flatten)]
    pub connect: Connect,
}

#[derive(Serialize)]
struct Groups {
    groups: Vec<Row>,
    not_answered: Vec<NotAnswered>,
}

#[derive(Serialize)]
struct Row {
    group: String,
    #[serde(rename = "type")]
    group_type: String,
    protocol_type: String,
    state: String,
    coordinator: i32,
}

impl Shown for Groups {
    fn print(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let mut table = Table::new(&["GROUP", "TYPE", "MEMBERS ARE", "STATE", "COORDINATOR"]);
        for row in &self.groups {
            let kind = if row.protocol_type.is_empty() { "-".to_owned() } else { row.protocol_type.clone() };
            let coordinator = row.coordinator.to_string();
            table.row([row.group.clone(), row.group_type.clone(), kind, row.state.clone(), coordinator]);
        }
        table.print(out)
    }
}

pub(super) async fn run(command: List, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let answers = command.connect.client()?.list_groups().await?;
    let wanted = answers
        .found
        .into_iter()
        .filter(|group| passes(&command.state, &group.state) && passes(&command.group_type, &group.group_type));
    let row = |group: ListedGroup| Row {
        group: group.group_id,
        group_type: group.group_type,
        protocol_type: group.protocol_type,
        state: group.state,
        coordinator: group.coordinator,
    };
    let groups = Groups { groups: wanted.map(row).collect(), not_answered: not_answered(&answers.silent) };
    command.form.show(&groups, out)
}

/// An empty filter lets everything pass; words are compared without regard to case.
fn passes(filter: &[String], word: &str) -> bool {
    filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_ignore_case_and_let_all_pass_when_empty() {
        assert!(passes(&[], "Stable"));
        assert!(passes(&["empty".to_owned(), "stable".to_owned()], "Stable"));
        assert!(!passes(&["empty".to_owned()], "Stable"));
    }
}
