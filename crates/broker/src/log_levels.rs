//! The levels of the node's log lines, shown and changed while it runs (KIP-412). As in Apache Kafka, what is changed so is forgotten when the node stops.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use caudal_metadata::ConfigOp;
use caudal_protocol::ErrorCode;
use parking_lot::Mutex;

use crate::error::Refusal;

/// What stands for all that has no level of its own.
const ROOT: &str = "root";
/// The most targets that can be given levels while the node runs.
const CHANGED_MAX: usize = 1000;
/// Kafka's levels, each with the one that means it here.
const LEVELS: [(&str, &str); 6] = [
    ("DEBUG", "debug"),
    ("ERROR", "error"),
    ("FATAL", "error"),
    ("INFO", "info"),
    ("TRACE", "trace"),
    ("WARN", "warn"),
];

/// Makes a program log by other directives, which are written as `info,caudal_raft=debug`; or says why it cannot.
pub type ApplyDirectives = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// The levels of log lines by target (a crate or module); a cheap handle.
#[derive(Clone)]
pub struct LogLevels {
    inner: Arc<Inner>,
}

struct Inner {
    /// What the node was started with.
    configured: BTreeMap<String, String>,
    /// Directives that are about more than a target.
    others: Vec<String>,
    /// Further targets that there are.
    targets: &'static [&'static str],
    /// What was set since, as Kafka names it.
    changed: Mutex<BTreeMap<String, &'static str>>,
    apply: Box<ApplyDirectives>,
}

impl LogLevels {
    /// The levels of a program that logs by `directives`, has these `targets`, and can be made to log by others.
    pub fn new(directives: &str, targets: &'static [&'static str], apply: Box<ApplyDirectives>) -> Self {
        let mut configured = BTreeMap::from([(ROOT.to_owned(), "error".to_owned())]);
        let mut others = Vec::new();
        for directive in directives.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
            match directive.split_once('=') {
                _ if directive.contains(['[', '{']) => others.push(directive.to_owned()),
                Some((target, level)) => {
                    configured.insert(target.to_owned(), level.to_ascii_lowercase());
                }
                None => {
                    configured.insert(ROOT.to_owned(), directive.to_ascii_lowercase());
                }
            }
        }
        Self { inner: Arc::new(Inner { configured, others, targets, changed: Mutex::default(), apply }) }
    }

    /// Every target with its level, in the words of Kafka.
    pub(crate) fn all(&self) -> BTreeMap<String, String> {
        let inner = &self.inner;
        let changed = inner.changed.lock();
        let own = |target: &str| {
            let now = changed.get(target).map(|level| (*level).to_owned());
            now.or_else(|| inner.configured.get(target).map(|level| level.to_ascii_uppercase()))
        };
        let level = |target: &str| {
            let ancestors = std::iter::successors(Some(target), |target| Some(target.rsplit_once("::")?.0));
            ancestors.into_iter().find_map(own).or_else(|| own(ROOT)).unwrap_or_default()
        };
        let names = inner.configured.keys().chain(changed.keys()).map(String::as_str);
        let names = names.chain(inner.targets.iter().copied());
        names.map(|name| (name.to_owned(), level(name))).collect()
    }

    /// Changes levels, or only checks whether they can be.
    ///
    /// # Errors
    /// When one of the changes cannot be; then none is made.
    pub(crate) fn alter(&self, ops: &[ConfigOp], validate_only: bool) -> Result<(), Refusal> {
        let mut changed = self.inner.changed.lock();
        let mut wished = changed.clone();
        for op in ops {
            match op {
                ConfigOp::Set(target, level) => {
                    self.check_target(target)?;
                    wished.insert(target.clone(), named(target, level)?);
                }
                ConfigOp::Delete(target) => {
                    self.check_target(target)?;
                    if target == ROOT {
                        return Err(Refusal::invalid_request("the level of root cannot be removed; set another one"));
                    }
                    wished.remove(target);
                }
                ConfigOp::Append(..) | ConfigOp::Subtract(..) => {
                    return Err(Refusal::invalid_request(
                        "a level can be set and deleted, not appended to or subtracted from",
                    ));
                }
            }
        }
        if wished.len() > CHANGED_MAX {
            return Err(Refusal::invalid_request(format!(
                "at most {CHANGED_MAX} targets can have levels; delete some"
            )));
        }
        if validate_only {
            return Ok(());
        }
        let failed =
            |reason: String| Refusal::new(ErrorCode::INVALID_CONFIG, format!("the levels cannot be changed: {reason}"));
        let directives = self.directives(&wished);
        (self.inner.apply)(&directives).map_err(failed)?;
        tracing::warn!(directives, "log levels have changed");
        *changed = wished;
        Ok(())
    }

    fn check_target(&self, target: &str) -> Result<(), Refusal> {
        let inner = &self.inner;
        let is_known = |target: &str| inner.configured.contains_key(target) || inner.targets.contains(&target);
        let of_path = |path: &str| path.split("::").all(|part| !part.is_empty() && part.chars().all(is_of_name));
        let is_below = || target.split_once("::").is_some_and(|(first, rest)| is_known(first) && of_path(rest));
        if is_known(target) || is_below() {
            return Ok(());
        }
        let text = format!("nothing logs as '{target}'; describe the loggers to see what there is");
        Err(Refusal::new(ErrorCode::INVALID_CONFIG, text))
    }

    fn directives(&self, changed: &BTreeMap<String, &'static str>) -> String {
        let mut levels: BTreeMap<&str, &str> = BTreeMap::new();
        levels.extend(self.inner.configured.iter().map(|(target, level)| (target.as_str(), level.as_str())));
        let of_kafka =
            |name: &str| LEVELS.iter().find(|(kafkas, _)| *kafkas == name).map_or("error", |(_, ours)| *ours);
        levels.extend(changed.iter().map(|(target, level)| (target.as_str(), of_kafka(level))));
        let directive = |(target, level): (&str, &str)| {
            if target == ROOT { level.to_owned() } else { format!("{target}={level}") }
        };
        let all: Vec<_> = levels.into_iter().map(directive).chain(self.inner.others.iter().cloned()).collect();
        all.join(",")
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn named(target: &str, level: &str) -> Result<&'static str, Refusal> {
    let known = LEVELS.iter().find(|(name, _)| *name == level).map(|(name, _)| *name);
    known.ok_or_else(|| {
        let names = LEVELS.map(|(name, _)| name).join(", ");
        Refusal::new(ErrorCode::INVALID_CONFIG, format!("'{level}' is no level for '{target}'; there are {names}"))
    })
}

impl fmt::Debug for LogLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevels")
            .field("configured", &self.inner.configured)
            .field("changed", &*self.inner.changed.lock())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        levels: LogLevels,
        applied: Arc<Mutex<Vec<String>>>,
    }

    fn bench(directives: &str) -> Bench {
        let applied = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&applied);
        let apply = move |directives: &str| {
            to.lock().push(directives.to_owned());
            Ok(())
        };
        Bench { levels: LogLevels::new(directives, &["caudal_broker", "caudal_raft"], Box::new(apply)), applied }
    }

    fn set(target: &str, level: &str) -> ConfigOp {
        ConfigOp::Set(target.to_owned(), level.to_owned())
    }

    fn delete(target: &str) -> ConfigOp {
        ConfigOp::Delete(target.to_owned())
    }

    #[test]
    fn every_target_has_the_level_that_is_nearest() {
        let Bench { levels, .. } = bench("openraft=error,info,caudal_raft::log=TRACE,[request]=debug");
        let shown: Vec<_> = levels.all().into_iter().collect();
        let expected = [
            ("caudal_broker", "INFO"),
            ("caudal_raft", "INFO"),
            ("caudal_raft::log", "TRACE"),
            ("openraft", "ERROR"),
            ("root", "INFO"),
        ];
        assert_eq!(shown, expected.map(|(target, level)| (target.to_owned(), level.to_owned())));
    }

    #[test]
    fn levels_are_set_and_deleted_all_or_none() {
        let Bench { levels, applied } = bench("info,caudal_raft=debug");
        levels.alter(&[set("root", "WARN"), set("caudal_raft::log", "FATAL")], false).unwrap();
        assert_eq!(applied.lock().pop().as_deref(), Some("caudal_raft=debug,caudal_raft::log=error,warn"));
        let all = levels.all();
        assert_eq!((all["root"].as_str(), all["caudal_raft::log"].as_str()), ("WARN", "FATAL"));
        levels.alter(&[delete("caudal_raft::log"), set("caudal_raft", "TRACE")], false).unwrap();
        assert_eq!(applied.lock().pop().as_deref(), Some("caudal_raft=trace,warn"));
        // What the node was started with comes back.
        levels.alter(&[delete("caudal_raft")], false).unwrap();
        assert_eq!(levels.all()["caudal_raft"], "DEBUG");
        levels.alter(&[set("root", "DEBUG"), set("nobody", "INFO")], false).unwrap_err();
        assert_eq!(levels.all()["root"], "WARN");
        levels.alter(&[set("root", "DEBUG")], true).unwrap();
        assert_eq!((levels.all()["root"].as_str(), applied.lock().len()), ("WARN", 1));
    }

    #[test]
    fn what_cannot_be_is_refused_as_in_kafka() {
        let Bench { levels, .. } = bench("info");
        let code = |op: ConfigOp| levels.alter(&[op], true).unwrap_err().code();
        assert_eq!(code(set("kafka.server", "INFO")), ErrorCode::INVALID_CONFIG);
        assert_eq!(code(set("caudal_raft::a=b,c", "INFO")), ErrorCode::INVALID_CONFIG);
        assert_eq!(code(set("root", "info")), ErrorCode::INVALID_CONFIG);
        assert_eq!(code(delete("nobody")), ErrorCode::INVALID_CONFIG);
        assert_eq!(code(delete("root")), ErrorCode::INVALID_REQUEST);
        let append = ConfigOp::Append("root".to_owned(), "INFO".to_owned());
        assert_eq!(code(append), ErrorCode::INVALID_REQUEST);
    }
}
