//! Whom a quota is for.

use std::fmt;

use crate::layout::{Layout, Malformed, Reader, layout};

/// Kafka's name of the entity type for users.
pub const USER: &str = "user";
/// Kafka's name of the entity type for client ids.
pub const CLIENT_ID: &str = "client-id";
/// Kafka's name of the entity type for addresses.
pub const IP: &str = "ip";

/// One of a type, or all of it that have no quota of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityName {
    /// All that have none of their own.
    Default,
    /// This one.
    Named(String),
}

impl EntityName {
    /// The name as the protocol has it: null for the default.
    pub fn new(name: Option<String>) -> Self {
        name.map_or(Self::Default, Self::Named)
    }

    /// The name as the protocol has it.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(name),
        }
    }
}

impl Layout for EntityName {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Default => 0_u8.put(to),
            Self::Named(name) => {
                1_u8.put(to);
                name.put(to);
            }
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::get(from)? {
            0 => Ok(Self::Default),
            1 => Layout::get(from).map(Self::Named),
            other => Err(Malformed::Kind(other, "entity name")),
        }
    }
}

/// A user, a client id, both together, or an address; what is `None` plays no part.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaEntity {
    /// The user: the name of the principal.
    pub user: Option<EntityName>,
    /// The client id.
    pub client_id: Option<EntityName>,
    /// The address that connections come from.
    pub ip: Option<EntityName>,
}
layout!(QuotaEntity { user, client_id, ip });

impl QuotaEntity {
    /// Its parts by Kafka's names of their types.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &EntityName)> {
        let parts = [(USER, &self.user), (CLIENT_ID, &self.client_id), (IP, &self.ip)];
        parts.into_iter().filter_map(|(kind, name)| name.as_ref().map(|name| (kind, name)))
    }

    /// The part of a type.
    pub fn part(&self, kind: &str) -> Option<&EntityName> {
        self.parts().find(|(own, _)| *own == kind).map(|(_, name)| name)
    }

    /// The part of a type, to be set; `None` when there is no such type.
    pub(crate) fn part_mut(&mut self, kind: &str) -> Option<&mut Option<EntityName>> {
        match kind {
            USER => Some(&mut self.user),
            CLIENT_ID => Some(&mut self.client_id),
            IP => Some(&mut self.ip),
            _ => None,
        }
    }
}

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (kind, name)) in self.parts().enumerate() {
            let comma = if position > 0 { ", " } else { "" };
            match name.name() {
                Some(name) => write!(f, "{comma}{kind} '{name}'")?,
                None => write!(f, "{comma}the default {kind}")?,
            }
        }
        Ok(())
    }
}
