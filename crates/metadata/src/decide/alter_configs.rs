//! Changes of topics' settings.

use std::collections::{BTreeMap, BTreeSet};

use super::create_partitions::unknown_topic;
use super::{Decision, Draft, Facts};
use crate::command::{Command, NewConfigs};
use crate::config_defs::{
    ConfigType, list_items, topic_config_def, topic_config_default, validate_topic_config, validate_topic_configs,
};
use crate::controller::wish::{AlterConfigs, Results};
use crate::{AlterTopicConfigs, ConfigOp, MetadataError};

type Configs = BTreeMap<String, String>;

pub(super) fn decide(wish: AlterConfigs, facts: &Facts<'_>) -> Decision {
    let mut draft = Draft::default();
    for alter in &wish.topics {
        draft.add(new_configs(alter, facts).map(|part| ((), Some(part))));
    }
    draft.into_decision(Results::Each, Command::AlterTopicConfigs, wish.validate_only)
}

fn new_configs(alter: &AlterTopicConfigs, facts: &Facts<'_>) -> Result<NewConfigs, MetadataError> {
    let topic = facts.image.topic(&alter.topic).ok_or_else(|| unknown_topic(&alter.topic))?;
    let defaults = &*facts.image.topic_defaults(facts.config.node_id, &facts.config.topic_defaults);
    let mut configs = if alter.replace { Configs::new() } else { topic.configs.clone() };
    let mut changed = BTreeSet::new();
    for op in &alter.ops {
        if !changed.insert(op.key()) {
            return Err(MetadataError::InvalidRequest(format!(
                "The setting '{}' of the topic '{}' is changed twice in one request; change each once",
                op.key(),
                alter.topic
            )));
        }
        change(op, &mut configs, defaults)?;
    }
    validate_topic_configs(&configs, defaults).map_err(MetadataError::InvalidConfig)?;
    let changes = changed.into_iter().map(|key| (key.to_owned(), configs.get(key).cloned())).collect();
    Ok(NewConfigs { topic: topic.id, replace: alter.replace, changes })
}

fn change(op: &ConfigOp, configs: &mut Configs, defaults: &Configs) -> Result<(), MetadataError> {
    match op {
        ConfigOp::Set(key, value) => {
            configs.insert(key.clone(), value.clone());
        }
        ConfigOp::Delete(key) => {
            configs.remove(key);
        }
        ConfigOp::Append(key, value) => {
            let mut items = current_list(key, value, "append to", configs, defaults)?;
            for item in list_items(value) {
                if !items.iter().any(|present| present == item) {
                    items.push(item.to_owned());
                }
            }
            configs.insert(key.clone(), items.join(","));
        }
        ConfigOp::Subtract(key, value) => {
            let mut items = current_list(key, value, "subtract from", configs, defaults)?;
            let gone = list_items(value);
            items.retain(|item| !gone.contains(&item.as_str()));
            configs.insert(key.clone(), items.join(","));
        }
    }
    Ok(())
}

fn current_list(
    key: &str,
    value: &str,
    verb: &str,
    configs: &Configs,
    defaults: &Configs,
) -> Result<Vec<String>, MetadataError> {
    match topic_config_def(key) {
        None => return Err(MetadataError::InvalidConfig(validate_topic_config(key, value).err().unwrap_or_default())),
        Some(def) if def.kind != ConfigType::List => {
            return Err(MetadataError::InvalidConfig(format!(
                "Can't {verb} the setting '{key}' with '{value}': it is not a list; set it instead"
            )));
        }
        Some(_) => {}
    }
    let current = configs.get(key).cloned().or_else(|| topic_config_default(key, defaults)).unwrap_or_default();
    Ok(list_items(&current).into_iter().filter(|item| !item.is_empty()).map(str::to_owned).collect())
}
