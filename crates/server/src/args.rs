//! The command line. The flags of the configuration follow from the list of keys.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, Subcommand, value_parser};
use clap_complete::Shell;

use crate::config::keys::KEYS;
use crate::config::layers::topic_default_keys;

const CONFIG: &str = "config";
const DIR: &str = "dir";
const PORT: &str = "port";
const SHELL: &str = "shell";

/// The whole command line.
pub fn command() -> Command {
    let command = Command::new("caudal")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Event streaming over Kafka's protocol, every partition a Raft group")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(start())
        .subcommand(dev());
    caudal_cli::Command::augment_subcommands(command).subcommand(completion())
}

fn completion() -> Command {
    let shell = Arg::new(SHELL)
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("The shell; its manual says where it looks for completions");
    Command::new("completion").about("Prints what makes a shell complete commands and flags").arg(shell)
}

/// The shell that `caudal completion` was given.
pub fn shell(matches: &ArgMatches) -> Option<Shell> {
    matches.get_one::<Shell>(SHELL).copied()
}

fn start() -> Command {
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("The configuration file (TOML); the flags below and CAUDAL_... variables are laid over it");
    Command::new("start").about("Runs a node of a cluster").arg(config).args(key_flags())
}

fn dev() -> Command {
    let dir = Arg::new(DIR)
        .long(DIR)
        .value_name("DIR")
        .default_value("caudal-data")
        .help("The folder that keeps the data; made when it is not there");
    let port = Arg::new(PORT)
        .long(PORT)
        .value_name("PORT")
        .default_value("9092")
        .value_parser(value_parser!(u16).range(1..=63_535))
        .help("The port for clients; the admin listener takes this plus 2000");
    Command::new("dev")
        .about("Runs one node for development, ready in under a second")
        .args([dir, port])
        .args(key_flags())
}

fn key_flags() -> impl Iterator<Item = Arg> {
    let keys = KEYS.iter().map(|key| flag(key.name, key.kind, key.section, key.documentation, key.default));
    let topics = topic_default_keys()
        .map(|(name, def)| flag(name, "VALUE", "Defaults of topic settings", def.documentation, Some(def.default)));
    keys.chain(topics)
}

fn flag(name: &'static str, kind: &'static str, section: &'static str, about: &str, default: Option<&str>) -> Arg {
    let help = match default {
        Some(default) if !default.is_empty() => format!("{} [default: {default}]", about.trim()),
        _ => about.trim().to_owned(),
    };
    Arg::new(name)
        .long(name)
        .value_name(kind)
        .help_heading(section)
        .help(help)
        .hide_short_help(false)
        .allow_hyphen_values(true)
}

/// What `caudal start` was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartArgs {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// The keys that were given as flags.
    pub flags: Vec<(String, String)>,
}

impl StartArgs {
    /// Reads the arguments of `start`.
    pub fn read(matches: &ArgMatches) -> Self {
        Self { config: matches.get_one::<PathBuf>(CONFIG).cloned(), flags: given_flags(matches) }
    }
}

/// What `caudal dev` was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevArgs {
    /// The folder that keeps the data.
    pub dir: String,
    /// The port for clients.
    pub port: u16,
    /// The keys that were given as flags.
    pub flags: Vec<(String, String)>,
}

impl DevArgs {
    /// Reads the arguments of `dev`.
    pub fn read(matches: &ArgMatches) -> Self {
        let dir = matches.get_one::<String>(DIR).cloned().unwrap_or_default();
        let port = matches.get_one::<u16>(PORT).copied().unwrap_or_default();
        Self { dir, port, flags: given_flags(matches) }
    }
}

fn given_flags(matches: &ArgMatches) -> Vec<(String, String)> {
    crate::config::layers::all_names()
        .filter_map(|name| matches.get_one::<String>(name).map(|value| (name.to_owned(), value.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_key_is_a_flag() {
        let words = ["caudal", "start", "--config", "c.toml", "--num.partitions", "4", "--log.retention.ms", "-1"];
        let matches = command().try_get_matches_from(words).unwrap();
        let (_, matches) = matches.subcommand().unwrap();
        let args = StartArgs::read(matches);
        assert_eq!(args.config, Some(PathBuf::from("c.toml")));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(args.flags, [pair("num.partitions", "4"), pair("log.retention.ms", "-1")]);
    }

    #[test]
    fn shells_are_known_by_name() {
        for (name, expected) in [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)] {
            let matches = command().try_get_matches_from(["caudal", "completion", name]).unwrap();
            assert_eq!(shell(matches.subcommand().unwrap().1), Some(expected));
        }
        assert!(command().try_get_matches_from(["caudal", "completion", "cmd"]).is_err());
    }

    #[test]
    fn dev_has_its_defaults() {
        let matches = command().try_get_matches_from(["caudal", "dev"]).unwrap();
        let args = DevArgs::read(matches.subcommand().unwrap().1);
        assert_eq!(args, DevArgs { dir: "caudal-data".to_owned(), port: 9092, flags: Vec::new() });
        assert!(command().try_get_matches_from(["caudal", "dev", "--port", "65000"]).is_err());
    }
}
