//! Which quota counts for a client: the one that speaks of it most precisely.

use std::collections::HashMap;

use super::book::ClientQuotas;
use super::entity::EntityName;
use super::key::QuotaKey;

/// Who shares a measure: all connections with this user, this client id, or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The user, if it plays a part.
    pub user: Option<Box<str>>,
    /// The client id, if it plays a part.
    pub client_id: Option<Box<str>>,
}

/// What counts for a client.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientLimit {
    /// The quota's value.
    pub bound: f64,
    /// Who shares it.
    pub subject: Subject,
}

/// The quotas of one kind for users and client ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuotaLevels {
    users: HashMap<String, UserLevel>,
    default_user: UserLevel,
    /// For client ids, whoever the user.
    any_user: ClientLevel,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct UserLevel {
    clients: ClientLevel,
    own: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct ClientLevel {
    named: HashMap<String, f64>,
    default: Option<f64>,
}

impl ClientLevel {
    fn set(&mut self, name: &EntityName, bound: f64) {
        match name {
            EntityName::Default => self.default = Some(bound),
            EntityName::Named(name) => {
                self.named.insert(name.clone(), bound);
            }
        }
    }

    fn find(&self, client_id: &str) -> Option<f64> {
        self.named.get(client_id).copied().or(self.default)
    }
}

impl QuotaLevels {
    /// The quotas of a kind; `None` when there are none.
    pub fn of(quotas: &ClientQuotas, key: QuotaKey) -> Option<Self> {
        let mut levels = None;
        for (entity, values) in quotas.iter() {
            let Some(bound) = values.get(&key).map(|value| value.get()) else { continue };
            let levels = levels.get_or_insert_with(Self::default);
            match (&entity.user, &entity.client_id) {
                (Some(user), Some(client_id)) => levels.user_mut(user).clients.set(client_id, bound),
                (Some(user), None) => levels.user_mut(user).own = Some(bound),
                (None, Some(client_id)) => levels.any_user.set(client_id, bound),
                (None, None) => {}
            }
        }
        levels
    }

    fn user_mut(&mut self, user: &EntityName) -> &mut UserLevel {
        match user {
            EntityName::Default => &mut self.default_user,
            EntityName::Named(name) => self.users.entry(name.clone()).or_default(),
        }
    }

    /// What counts for a client, in Kafka's order: the user with the client id, the user with any client id, the user; the same for the default user; the
    /// client id, any client id. A quota of a user without a client id is shared by all its client ids; any other is each client id's own.
    pub fn find(&self, user: &str, client_id: &str) -> Option<ClientLimit> {
        let named = self.users.get(user);
        for level in named.into_iter().chain([&self.default_user]) {
            if let Some(bound) = level.clients.find(client_id) {
                return Some(limit(bound, Some(user), Some(client_id)));
            }
            if let Some(bound) = level.own {
                return Some(limit(bound, Some(user), None));
            }
        }
        self.any_user.find(client_id).map(|bound| limit(bound, None, Some(client_id)))
    }
}

fn limit(bound: f64, user: Option<&str>, client_id: Option<&str>) -> ClientLimit {
    ClientLimit { bound, subject: Subject { user: user.map(Into::into), client_id: client_id.map(Into::into) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::{QuotaEntity, QuotaValue, QuotaValues};

    const KEY: QuotaKey = QuotaKey::ProducerByteRate;

    fn name(text: &str) -> EntityName {
        EntityName::new((text != "*").then(|| text.to_owned()))
    }

    /// Quotas written as (user, client id, value); `*` is the default, an empty text plays no part.
    fn levels(quotas: &[(&str, &str, f64)]) -> QuotaLevels {
        let mut book = ClientQuotas::default();
        for (user, client_id, value) in quotas {
            let part = |text: &str| (!text.is_empty()).then(|| name(text));
            let entity = QuotaEntity { user: part(user), client_id: part(client_id), ip: None };
            book.set(entity, QuotaValues::from([(KEY, QuotaValue::new(*value))]));
        }
        QuotaLevels::of(&book, KEY).unwrap()
    }

    #[test]
    fn the_most_precise_quota_counts() {
        let all = [
            ("u", "c", 1.0),
            ("u", "*", 2.0),
            ("u", "", 3.0),
            ("*", "c", 4.0),
            ("*", "*", 5.0),
            ("*", "", 6.0),
            ("", "c", 7.0),
            ("", "*", 8.0),
        ];
        let subjects = [(true, true), (true, true), (true, false), (true, true), (true, true), (true, false)];
        let subjects = [&subjects[..], &[(false, true), (false, true)]].concat();
        for from in 0..all.len() {
            let found = levels(&all[from..]).find("u", "c").unwrap();
            assert_eq!(found.bound, all[from].2, "without the first {from}");
            let (user, client_id) = subjects[from];
            assert_eq!((found.subject.user.is_some(), found.subject.client_id.is_some()), (user, client_id), "{from}");
        }
        assert_eq!(levels(&all).find("u", "d").unwrap().bound, 2.0);
        assert_eq!(levels(&all).find("v", "c").unwrap().bound, 4.0);
        assert_eq!(levels(&all).find("v", "d").unwrap().bound, 5.0);
        assert_eq!(levels(&[("u", "c", 1.0)]).find("u", "d"), None);
        assert_eq!(levels(&[("", "c", 1.0)]).find("u", "c").unwrap().bound, 1.0);
    }

    #[test]
    fn a_users_quota_is_shared_and_a_client_ids_is_not() {
        let of_user = levels(&[("u", "", 3.0)]);
        assert_eq!(of_user.find("u", "a"), of_user.find("u", "b"));
        let of_clients = levels(&[("", "*", 8.0)]);
        assert_ne!(of_clients.find("u", "a").unwrap().subject, of_clients.find("u", "b").unwrap().subject);
        assert_eq!(of_clients.find("u", "a"), of_clients.find("v", "a"));
        assert_eq!(of_clients.find("u", "").unwrap().bound, 8.0, "nobody escapes by having no client id");
    }

    #[test]
    fn kinds_do_not_mix() {
        assert_eq!(QuotaLevels::of(&ClientQuotas::default(), KEY), None);
        let mut book = ClientQuotas::default();
        let entity = QuotaEntity { user: Some(name("u")), ..QuotaEntity::default() };
        book.set(entity.clone(), QuotaValues::from([(KEY, QuotaValue::new(1.0))]));
        assert_eq!(QuotaLevels::of(&book, QuotaKey::ConsumerByteRate), None);
        assert!(book.has(KEY) && !book.has(QuotaKey::ConsumerByteRate));
        book.set(entity, QuotaValues::new());
        assert_eq!(book, ClientQuotas::default());
    }
}
