//! Changes of consumer groups' settings. A group need not exist to have settings.

use std::collections::{BTreeMap, BTreeSet};

use super::{Decision, Draft, Facts};
use crate::command::{Command, GroupConfigs};
use crate::config_defs::validate_group_config;
use crate::controller::wish::{AlterGroups, Results};
use crate::{AlterGroupConfigs, ConfigOp, MetadataError};

pub(super) fn decide(wish: AlterGroups, facts: &Facts<'_>) -> Decision {
    let mut draft = Draft::default();
    for alter in wish.groups {
        draft.add(new_configs(alter, facts).map(|part| ((), Some(part))));
    }
    draft.into_decision(Results::Each, Command::AlterGroupConfigs, wish.validate_only)
}

fn new_configs(alter: AlterGroupConfigs, facts: &Facts<'_>) -> Result<GroupConfigs, MetadataError> {
    let known = facts.image.group_configs.get(alter.group.as_str()).filter(|_| !alter.replace);
    let mut configs: BTreeMap<String, String> = known.cloned().unwrap_or_default();
    let mut changed = BTreeSet::new();
    for op in &alter.ops {
        if !changed.insert(op.key()) {
            return Err(MetadataError::InvalidRequest(format!(
                "The setting '{}' of the group '{}' is changed twice in one request; change each once",
                op.key(),
                alter.group
            )));
        }
        match op {
            ConfigOp::Set(key, value) => {
                validate_group_config(key, value).map_err(MetadataError::InvalidConfig)?;
                configs.insert(key.clone(), value.trim().to_owned());
            }
            ConfigOp::Delete(key) => {
                configs.remove(key);
            }
            ConfigOp::Append(key, _) | ConfigOp::Subtract(key, _) => {
                return Err(MetadataError::InvalidConfig(format!("The setting '{key}' is not a list; set it instead")));
            }
        }
    }
    Ok(GroupConfigs { group: alter.group, configs })
}
