//! Topics made and deleted: what was made is there until it is deleted.

use caudal_protocol::ErrorCode;
use caudal_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use caudal_protocol::messages::{DeleteTopicsRequest, StrBytes, TopicName};
use rand::Rng;
use rand::rngs::StdRng;

use super::ledger::{self, LEDGER};
use super::prices::{self, PRICES};
use super::relaxed::{self, RELAXED};
use super::{RETENTION_BYTES, Setting, TOPIC, pause, persist};
use crate::client::Client;
use crate::net::Host;

/// How many topics come and go.
const NAMES: usize = 3;

/// What this client, the only one that makes and deletes them, knows of a topic. Of one whose request has no answer it knows nothing for ever: the
/// request may yet have its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    There,
    Gone,
    Unsure,
}

/// Makes and deletes topics until the run ends.
pub async fn run(setting: Setting, host: Host) {
    let (mut client, mut chance) = setting.client(host);
    let (mut known, mut generations) = ([Known::Gone; NAMES], [0; NAMES]);
    while setting.works() {
        pause(&mut chance, 1500).await;
        let number = chance.random_range(0..NAMES);
        if known[number] == Known::Unsure {
            (known[number], generations[number]) = (Known::Gone, generations[number] + 1);
        }
        let name = format!("passing-{number}-{}", generations[number]);
        let make = chance.random_bool(0.5);
        let asked = setting.history.elapsed();
        let code = if make { create(&mut client, wish(&name, 1)).await } else { delete(&mut client, &name).await };
        let what = if make { "make" } else { "delete" };
        setting.history.noted(&format_args!("{what} {name}, asked at {asked:?}: {code:?}"));
        let legal = match code {
            Some(ErrorCode::NONE) => known[number] != if make { Known::There } else { Known::Gone },
            Some(ErrorCode::TOPIC_ALREADY_EXISTS) => known[number] != Known::Gone,
            Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => known[number] != Known::There,
            Some(_) | None => true,
        };
        if !legal {
            let text = format!("{name} was {:?}; making it ({make}) was answered with {code:?}", known[number]);
            setting.history.report("metadata-register", text);
        }
        known[number] = match code {
            Some(ErrorCode::NONE) if make => Known::There,
            Some(ErrorCode::TOPIC_ALREADY_EXISTS) => Known::There,
            Some(ErrorCode::NONE | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => Known::Gone,
            Some(_) | None => Known::Unsure,
        };
        if code.is_none() {
            client.give_up();
        } else {
            setting.history.progressed("admin");
        }
    }
}

/// Makes the workload's topics, however long it takes.
pub async fn create_topics(setting: &Setting, host: Host) {
    let (client, mut chance) = setting.client(host);
    let client = tokio::sync::Mutex::new(client);
    let retention = RETENTION_BYTES.to_string();
    let retention = CreatableTopicConfig::default()
        .with_name("retention.bytes".into())
        .with_value(Some(StrBytes::from_string(retention)));
    let config = |(name, value): (&str, &str)| {
        CreatableTopicConfig::default().with_name(name.to_owned().into()).with_value(Some(value.to_owned().into()))
    };
    for (name, partitions, configs) in [
        (TOPIC, setting.partitions, vec![retention]),
        (LEDGER, ledger::PARTITIONS, vec![]),
        (PRICES, 1, prices::settings(setting.seed).into_iter().map(config).collect()),
        (RELAXED, 1, relaxed::SETTINGS.map(config).into()),
    ] {
        create_topic(&client, &mut chance, wish(name, partitions).with_configs(configs)).await;
    }
}

async fn create_topic(client: &tokio::sync::Mutex<Client>, chance: &mut StdRng, topic: CreatableTopic) {
    let made = || async {
        let mut client = client.lock().await;
        let code = create(&mut client, topic.clone()).await;
        if !matches!(code, Some(ErrorCode::NONE | ErrorCode::TOPIC_ALREADY_EXISTS)) {
            client.give_up();
            return None;
        }
        code
    };
    persist(chance, made).await;
}

fn wish(name: &str, partitions: i32) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(TopicName(name.to_owned().into()))
        .with_num_partitions(partitions)
        .with_replication_factor(-1)
}

async fn create(client: &mut Client, topic: CreatableTopic) -> Option<ErrorCode> {
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(2_000);
    let answer = client.call(5, &request).await.ok()?;
    answer.topics.first().map(|topic| ErrorCode(topic.error_code))
}

async fn delete(client: &mut Client, name: &str) -> Option<ErrorCode> {
    let names = vec![TopicName(name.to_owned().into())];
    let request = DeleteTopicsRequest::default().with_topic_names(names).with_timeout_ms(2_000);
    let answer = client.call(4, &request).await.ok()?;
    answer.responses.first().map(|topic| ErrorCode(topic.error_code))
}
