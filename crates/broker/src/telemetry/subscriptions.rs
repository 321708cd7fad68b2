//! Which clients a subscription is for, and its id.

use std::collections::{BTreeMap, BTreeSet};

use caudal_metadata::config_defs::list_items;
use regex::Regex;
use uuid::Uuid;

/// What stands for all metrics.
const ALL_METRICS: &str = "*";
/// How often clients push that no subscription is for, and those of subscriptions that do not say, in milliseconds.
const INTERVAL_MS: i32 = 300_000;

/// What subscriptions are matched with, by the names of the properties in `match`. What is not known of a client is not in it, and matches nothing.
pub(super) type Properties = BTreeMap<&'static str, String>;

/// The cluster's subscriptions, read once for each change of them.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// What they were made from.
    configs: BTreeMap<String, BTreeMap<String, String>>,
    /// The version of the metadata that was looked at last.
    seen: u64,
    /// Grows with each change.
    pub(super) version: u64,
    all: Vec<Subscription>,
}

#[derive(Debug)]
struct Subscription {
    metrics: Vec<String>,
    interval_ms: i32,
    /// `None` when one of the expressions cannot be used: then it is for no client.
    patterns: Option<BTreeMap<String, Regex>>,
}

/// What one client is asked for: the union of the subscriptions that are for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) subscription_id: i32,
    /// What the names of the metrics begin with; nothing if none are wanted.
    pub(super) metrics: Vec<String>,
    pub(super) interval_ms: i32,
}

impl Subscriptions {
    /// Takes what the metadata say as of `version`.
    pub(super) fn update(&mut self, version: u64, configs: &BTreeMap<String, BTreeMap<String, String>>) {
        if version <= self.seen {
            return;
        }
        self.seen = version;
        if *configs != self.configs {
            self.configs.clone_from(configs);
            self.all = configs.iter().map(|(name, own)| Subscription::new(name, own)).collect();
            self.version += 1;
        }
    }

    /// What a client is asked for.
    pub(super) fn wanted(&self, client: Uuid, properties: &Properties) -> Wanted {
        let mut metrics = BTreeSet::new();
        let mut interval_ms = INTERVAL_MS;
        for subscription in self.all.iter().filter(|subscription| subscription.is_for(properties)) {
            metrics.extend(subscription.metrics.iter().cloned());
            interval_ms = interval_ms.min(subscription.interval_ms);
        }
        if metrics.contains(ALL_METRICS) {
            metrics = BTreeSet::from([ALL_METRICS.to_owned()]);
        }
        let metrics: Vec<String> = metrics.into_iter().collect();
        Wanted { subscription_id: subscription_id(client, &metrics, interval_ms), metrics, interval_ms }
    }
}

impl Subscription {
    fn new(name: &str, own: &BTreeMap<String, String>) -> Self {
        let list = |key: &str| list_items(own.get(key).map_or("", String::as_str));
        let patterns: Result<BTreeMap<String, Regex>, regex::Error> = list("match").into_iter().map(pattern).collect();
        if let Err(error) = &patterns {
            tracing::warn!(name, %error, "a subscription to clients' metrics is for no client: its match cannot be used");
        }
        Self {
            metrics: list("metrics").into_iter().filter(|prefix| !prefix.is_empty()).map(str::to_owned).collect(),
            interval_ms: own.get("interval.ms").and_then(|ms| ms.trim().parse().ok()).unwrap_or(INTERVAL_MS),
            patterns: patterns.ok(),
        }
    }

    fn is_for(&self, properties: &Properties) -> bool {
        let fits = |(property, pattern): (&String, &Regex)| {
            properties.get(property.as_str()).is_some_and(|value| pattern.is_match(value))
        };
        self.patterns.as_ref().is_some_and(|patterns| patterns.iter().all(fits))
    }
}

/// A property and what it has to be, whole.
fn pattern(item: &str) -> Result<(String, Regex), regex::Error> {
    let (property, pattern) = item.split_once('=').unwrap_or((item, ""));
    Ok((property.trim().to_owned(), Regex::new(&format!("^(?:{})$", pattern.trim()))?))
}

/// By it a client's push tells which subscription it knows: another when what is wanted changes, and another for each client.
fn subscription_id(client: Uuid, metrics: &[String], interval_ms: i32) -> i32 {
    let wanted = format!("[{}]{interval_ms}", metrics.join(", "));
    (crc32c::crc32c(wanted.as_bytes()) ^ hash(client)).cast_signed()
}

/// The hash of a UUID as Java has it.
fn hash(uuid: Uuid) -> u32 {
    let (high, low) = uuid.as_u64_pair();
    let [a, b, c, d, e, f, g, h] = (high ^ low).to_be_bytes();
    u32::from_be_bytes([a, b, c, d]) ^ u32::from_be_bytes([e, f, g, h])
}

/// A UUID as Kafka writes it: Base64 without padding, of the alphabet for URLs.
pub(super) fn kafka_text(uuid: Uuid) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 22 digits of six bits, the last with four zeros behind it.
    let bits = uuid.as_u128();
    let digit = |position: u32| {
        let digit = if position < 21 { (bits >> (122 - 6 * position)) & 63 } else { (bits << 4) & 63 };
        usize::try_from(digit).ok().and_then(|digit| ALPHABET.get(digit)).map_or('A', |byte| char::from(*byte))
    };
    (0..22).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

    fn subscriptions(all: &[&[(&str, &str)]]) -> Subscriptions {
        let own =
            |own: &&[(&str, &str)]| own.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let configs = (0..).zip(all).map(|(number, configs): (i32, _)| (format!("s{number}"), own(configs))).collect();
        let mut subscriptions = Subscriptions::default();
        subscriptions.update(1, &configs);
        subscriptions
    }

    fn java() -> Properties {
        Properties::from([
            ("client_id", "billing-7".to_owned()),
            ("client_instance_id", kafka_text(CLIENT)),
            ("client_software_name", "apache-kafka-java".to_owned()),
            ("client_source_address", "10.0.0.7".to_owned()),
            ("client_source_port", "50123".to_owned()),
        ])
    }

    fn metrics_of(all: &[&[(&str, &str)]]) -> Vec<String> {
        subscriptions(all).wanted(CLIENT, &java()).metrics
    }

    #[test]
    fn every_property_has_to_match_whole() {
        let matched = |pattern: &str| !metrics_of(&[&[("metrics", "m"), ("match", pattern)]]).is_empty();
        for pattern in [
            "",
            "client_id=billing-.*",
            "client_id = billing-7 , client_source_port=5[0-9]+",
            "client_software_name=librdkafka|apache-kafka-java",
            "client_source_address=10\\.0\\.0\\.7",
            "client_instance_id=ASNFZ4mrze8AESIzRFVmdw",
        ] {
            assert!(matched(pattern), "{pattern}");
        }
        for pattern in [
            "client_id=billing",
            "client_id=illing-7",
            "client_id=.*,client_source_port=1",
            "client_software_version=.*",
        ] {
            assert!(!matched(pattern), "{pattern}");
        }
    }

    #[test]
    fn subscriptions_are_united_and_the_shortest_interval_counts() {
        let wanted = subscriptions(&[
            &[("metrics", "b,a"), ("interval.ms", "2000")],
            &[("metrics", "b"), ("interval.ms", "1000")],
            &[("metrics", "*"), ("interval.ms", "100"), ("match", "client_id=other")],
        ])
        .wanted(CLIENT, &java());
        assert_eq!((&wanted.metrics[..], wanted.interval_ms), (&["a".to_owned(), "b".to_owned()][..], 1000));
        assert_eq!(metrics_of(&[&[("metrics", "a")], &[("metrics", "*")]]), ["*"]);
        let none = subscriptions(&[&[("interval.ms", "400000")]]).wanted(CLIENT, &java());
        assert_eq!((none.metrics.len(), none.interval_ms), (0, 300_000));
    }

    #[test]
    fn the_id_changes_with_what_is_wanted_and_with_the_client() {
        let id = |metrics: &str, interval: &str, client| {
            let own = [("metrics", metrics), ("interval.ms", interval)];
            subscriptions(&[&own]).wanted(client, &java()).subscription_id
        };
        let first = id("a,b", "1000", CLIENT);
        assert_eq!(first, id("b,a", "1000", CLIENT));
        assert_ne!(first, id("a", "1000", CLIENT));
        assert_ne!(first, id("a,b", "1001", CLIENT));
        assert_ne!(first, id("a,b", "1000", Uuid::from_u128(7)));
        assert_eq!(hash(Uuid::from_u128(0x1 << 64 | 0x3)), 2);
        assert_eq!(hash(Uuid::from_u128(0x8000_0000_0000_0000_0000_0000_0000_0001)), 0x8000_0001);
    }

    #[test]
    fn older_metadata_change_nothing_and_the_same_is_no_new_version() {
        let mut subscriptions = subscriptions(&[&[("metrics", "a")]]);
        assert_eq!(subscriptions.version, 1);
        let same = subscriptions.configs.clone();
        subscriptions.update(2, &same);
        assert_eq!(subscriptions.version, 1);
        subscriptions.update(1, &BTreeMap::new());
        assert_eq!(subscriptions.version, 1);
        subscriptions.update(3, &BTreeMap::new());
        assert_eq!(subscriptions.version, 2);
    }
}
