//! Listeners and nodes, as they are written in the configuration.

use std::fmt;
use std::str::FromStr;

use caudal_types::NodeId;

/// The largest node id: Kafka's protocol has signed ones.
pub const NODE_ID_MAX: u32 = i32::MAX as u32;

/// A host (a name, an address, or nothing for all interfaces) and a port. IPv6 addresses stand in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The host, without brackets; empty means all interfaces.
    pub host: String,
    /// The port; never 0.
    pub port: u16,
}

impl HostPort {
    /// Whether it stands for all interfaces of the machine, so that it can be listened on but not be connected to from elsewhere.
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::")
    }

    /// What to bind: like the text, but with an address for an empty host.
    pub fn to_bind(&self) -> String {
        if self.host.is_empty() { format!("0.0.0.0:{}", self.port) } else { self.to_string() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("'{text}' has no port; write HOST:PORT"))?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err(format!("'{port}' is no port; write a number from 1 to 65535")),
            Ok(port) => port,
        };
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(ipv6) if ipv6.parse::<std::net::Ipv6Addr>().is_ok() => ipv6,
            Some(other) => return Err(format!("'{other}' is no IPv6 address")),
            None if host.contains(':') => return Err(format!("write an IPv6 address in brackets: [{host}]:{port}")),
            None if host.chars().any(|c| c.is_whitespace() || matches!(c, '/' | '@' | ',')) => {
                return Err(format!("'{host}' is no host; write a name or an address"));
            }
            None => host,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

/// A client listener: `PLAINTEXT://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaintextListener(pub HostPort);

impl fmt::Display for PlaintextListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PLAINTEXT://{}", self.0)
    }
}

impl FromStr for PlaintextListener {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(',') {
            return Err("a node has one listener for clients; write one PLAINTEXT://HOST:PORT".to_owned());
        }
        match text.split_once("://") {
            Some((name, address)) if name.eq_ignore_ascii_case("PLAINTEXT") => Ok(Self(address.parse()?)),
            Some((name, _)) => Err(format!("'{name}' is not supported; write PLAINTEXT://HOST:PORT")),
            None => Err(format!("'{text}' names no protocol; write PLAINTEXT://HOST:PORT")),
        }
    }
}

/// A node of the cluster, and where its peers reach it: `ID@HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// Which node.
    pub id: NodeId,
    /// Where its peers reach it.
    pub address: HostPort,
}

impl fmt::Display for ClusterNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.address)
    }
}

impl FromStr for ClusterNode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, address) =
            text.split_once('@').ok_or_else(|| format!("'{text}' has no node id; write ID@HOST:PORT"))?;
        let id = match id.parse() {
            Ok(number) if number <= NODE_ID_MAX => number,
            Ok(_) | Err(_) => return Err(format!("'{id}' is no node id; write a number from 0 to {NODE_ID_MAX}")),
        };
        let address: HostPort = address.parse()?;
        if address.is_wildcard() {
            return Err(format!("'{text}' names no host that the other nodes can reach; write ID@HOST:PORT"));
        }
        Ok(Self { id: NodeId(id), address })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_read() {
        let v4: HostPort = "127.0.0.1:9092".parse().unwrap();
        assert_eq!((v4.host.as_str(), v4.port), ("127.0.0.1", 9092));
        let v6: HostPort = "[::1]:9092".parse().unwrap();
        assert_eq!((v6.host.as_str(), v6.to_string().as_str()), ("::1", "[::1]:9092"));
        let all: PlaintextListener = "plaintext://:9092".parse().unwrap();
        assert!(all.0.is_wildcard());
        assert_eq!(all.0.to_bind(), "0.0.0.0:9092");
        let node: ClusterNode = "2@kafka-2.example:19092".parse().unwrap();
        assert_eq!(
            node,
            ClusterNode { id: NodeId(2), address: HostPort { host: "kafka-2.example".into(), port: 19092 } }
        );
    }

    #[test]
    fn wrong_addresses_say_what_to_write() {
        for wrong in ["", "9092", "host", "host:", "host:0", "host:65536", "::1:9092", "[nonsense]:1", "a b:1"] {
            assert!(wrong.parse::<HostPort>().is_err(), "{wrong}");
        }
        for (wrong, says) in [
            ("SASL_SSL://a:1", "not supported"),
            ("a:9092", "names no protocol"),
            ("PLAINTEXT://a:1,PLAINTEXT://b:2", "one listener"),
        ] {
            assert!(wrong.parse::<PlaintextListener>().is_err_and(|reason| reason.contains(says)), "{wrong}");
        }
        for wrong in ["a:1", "x@a:1", "-1@a:1", "1@:1", "1@0.0.0.0:1"] {
            assert!(wrong.parse::<ClusterNode>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<HostPort>();
            let _ = text.parse::<PlaintextListener>();
            let _ = text.parse::<ClusterNode>();
        }

        #[test]
        fn what_is_written_is_read_back(id in 0..=NODE_ID_MAX, host in "[a-z][a-z0-9.-]{0,20}", port in 1u16..) {
            let node = ClusterNode { id: NodeId(id), address: HostPort { host, port } };
            prop_assert_eq!(node.to_string().parse::<ClusterNode>(), Ok(node));
        }
    }
}
